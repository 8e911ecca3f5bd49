"""Write the API reference into out/docs: `make docs`.

Public names are imported on first use, and pdoc looks for them in the packages; so they are put
there first.
"""

from pathlib import Path

import pdoc

import codec
import defilter

for package in (codec, defilter):
    for name in package.__all__:
        setattr(package, name, getattr(package, name))
pdoc.render.configure(docformat="google")
pdoc.pdoc("codec", "defilter", output_directory=Path("out/docs"))
