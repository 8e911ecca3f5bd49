"""What each part of a picture shows, and looks of their own for the parts."""
