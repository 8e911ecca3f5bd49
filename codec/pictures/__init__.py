"""Pictures: files, colour, how far two are apart, and colour maps. Both packages stand on it."""
