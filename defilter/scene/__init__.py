"""Which scene a picture shows, and how alike the scenes of two pictures are."""
