"""Albums: pictures grouped by when and where they were taken, some predicted from others.

After US 9,282,331.

capture.py     when and where a picture was taken, as its file says
groups.py      which pictures belong together
references.py  which of them the others are predicted from
arranging.py   a group arranged: tried, chosen, coded anew
album.py       an album in a store: add, delete, restore, purge
page.py        a page to look at
"""
