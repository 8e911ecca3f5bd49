"""Galleries: files in a store, each told by what resembles it among everything that is there.

    with codec.gallery.open_gallery("everything.dfa", create=True) as gallery:
        gallery.add(["photos/"])
        for hit in gallery.find("again.jpg"):
            print(hit.name, hit.distance, hit.inliers)

After the Chinese patent application on coding pictures with those of a cloud gallery.
"""

from codec.gallery.gallery import Code, Gallery, Hit, open_gallery
from codec.gallery.page import write_page

__all__ = ["Code", "Gallery", "Hit", "open_gallery", "write_page"]
