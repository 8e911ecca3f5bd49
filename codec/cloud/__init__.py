"""Stores that several machines share, in a bucket or a folder.

places.py       which store a path or address means
cloud_store.py  a store of objects, with a working copy on this machine
changes.py      what a transaction changed, as bytes that others apply
objects.py      small files by key, in a bucket or a folder
descriptors.py  what pictures are known by, in a LanceDB table
"""
