"""Galleries: the pictures that resemble one, among everything that there is.

After the Chinese patent application on image coding with pictures of a cloud gallery.

descriptors.py  what a picture is known by: interest points, codes of points and of the whole
index.py        the nearest of many codes
"""
