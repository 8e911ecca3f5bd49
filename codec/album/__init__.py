"""Albums: files in a store, grouped by when and where they were taken, some told by others.

    with codec.album.open_album("summer.dfa", create=True) as album:
        album.add(["photos/"])
        album.delete("IMG_2.jpg")
        album.export("out/")

After US 9,282,331. Every file comes back byte for byte, unless `AlbumSettings(coding=...)` asks for
pictures instead of files.
"""

from codec.album.album import Album, AlbumSettings, Scheme, open_album
from codec.album.arranging import Coded
from codec.album.groups import ByCity, ByDay, ByPlace, ByTime, ByTimeAndPlace
from codec.album.references import Form, PairCost
from codec.store.pictures import PictureCoding
from codec.store.records import StoreError

__all__ = [
    "Album",
    "AlbumSettings",
    "ByCity",
    "ByDay",
    "ByPlace",
    "ByTime",
    "ByTimeAndPlace",
    "Coded",
    "Form",
    "PairCost",
    "PictureCoding",
    "Scheme",
    "StoreError",
    "open_album",
]
