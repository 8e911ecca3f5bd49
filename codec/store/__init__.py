"""A collection of files in one file, some predicted from others, which loses nothing.

records.py     what a store holds: contents, and items, which are files with a name
schema.py      the tables of a store
sqlite.py      a store in one SQLite file
codings.py     how contents are stored, and got back byte for byte
contents.py    contents decoded with what they stand on, and coded anew
pictures.py    pictures that are stored instead of their files
collection.py  items added, deleted, hidden and counted
exporting.py   items written as files
copying.py     items copied from one store into another
"""
