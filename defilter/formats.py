"""Files of looks: what they are called, and what they may hold."""

LOOK_EXTENSIONS = (".cube", ".png", ".json")
CUBE_SIZES = (17, 33, 65)  # grid points that other programs read
HALD_BITS = (8, 16)
