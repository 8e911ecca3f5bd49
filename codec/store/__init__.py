"""A collection of files in one file, some predicted from others, which loses nothing.

records.py     what a store holds: contents, and items, which are files with a name
sqlite.py      a store in one SQLite file
codings.py     how contents are stored, and got back byte for byte
collection.py  files in, files out, deleted, hidden and checked
"""
