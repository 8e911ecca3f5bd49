"""What the file of a picture says beside its pixels, EXIF and profile.

Photoshop's image resource blocks (`8BIM`, in JPEG's APP13 and TIFF's tag 34377) are kept as they
are, less their thumbnails; IPTC is one of them (Adobe, "Photoshop File Formats Specification").
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple
from xml.dom import minidom
from xml.parsers.expat import ExpatError

_IPTC = 0x0404
_THUMBNAILS = (0x0409, 0x040C)
_XAP = "http://ns.adobe.com/xap/1.0/"
_XMP_ORIENTATION = re.compile(rb'(tiff:Orientation(?:="|>))[0-9]')


Unit = Literal["inch", "cm"]


class Density(NamedTuple):
    """Pixels to an inch or a centimetre, across and down."""

    x: float
    y: float
    unit: Unit

    def per_inch(self) -> tuple[float, float]:
        factor = 2.54 if self.unit == "cm" else 1.0
        return self.x * factor, self.y * factor


class JpegCoding(NamedTuple):
    """How a JPEG file was quantised.

    Attributes:
        tables: 64 divisors for luma and 64 for chroma, in Pillow's order.
        subsampling: Pillow's number: 0 for 4:4:4, 1 for 4:2:2, 2 for 4:2:0.
        progressive: whether it has several scans.
    """

    tables: tuple[tuple[int, ...], tuple[int, ...]]
    subsampling: int
    progressive: bool


@dataclass(frozen=True)
class Metadata:
    """What the file of a picture says beside its pixels, EXIF and profile.

    Attributes:
        xmp: the XMP packet, without what it says of other parts of the file.
        photoshop: image resource blocks, among them IPTC.
        density: how large to print it.
        texts: (keyword, text) of PNG, or one comment of JPEG and GIF under `Comment`.
        jpeg: how a JPEG file was quantised.
        compression: of a TIFF file, Pillow's name.
        lossless: whether a WebP file was coded without loss.
    """

    xmp: bytes | None = None
    photoshop: bytes | None = None
    density: Density | None = None
    texts: tuple[tuple[str, str], ...] = ()
    jpeg: JpegCoding | None = None
    compression: str | None = None
    lossless: bool = False

    @property
    def iptc(self) -> bytes | None:
        """IPTC-IIM records, or None."""
        found = (data for code, data, _ in _resources(self.photoshop or b"") if code == _IPTC)
        return next(found, None)


NOTHING = Metadata()


def photoshop_of_iptc(records: bytes) -> bytes:
    """IPTC-IIM records as an image resource block."""
    padding = b"\0" * (len(records) % 2)
    return b"8BIM" + struct.pack(">HHI", _IPTC, 0, len(records)) + records + padding


def without_thumbnails(photoshop: bytes) -> bytes:
    """Image resource blocks without pictures of what the file showed before."""
    return b"".join(raw for code, _, raw in _resources(photoshop) if code not in _THUMBNAILS)


def _resources(blocks: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """(code, data, the whole block) of each; ends where something else begins."""
    at = 0
    while blocks[at : at + 4] == b"8BIM" and len(blocks) >= at + 12:
        code = int.from_bytes(blocks[at + 4 : at + 6], "big")
        start = at + 6 + blocks[at + 6] // 2 * 2 + 2  # behind the name, padded to an even length
        size = int.from_bytes(blocks[start : start + 4], "big")
        end = start + 4 + size + size % 2
        yield code, blocks[start + 4 : start + 4 + size], blocks[at:end]
        at = end


# Namespaces that describe other parts of a file, which no rendering has: gain maps, motion video,
# depth, the items of a container, further packets, thumbnails. Their children count, too.
_OTHER_PARTS = (
    "http://ns.adobe.com/hdr-gain-map/",
    "http://ns.adobe.com/xap/1.0/g/img/",
    "http://ns.adobe.com/xmp/note/",
    "http://ns.apple.com/HDRGainMap/",
    "http://ns.google.com/photos/",
)


def xmp_of_one_picture(xmp: bytes) -> bytes | None:
    """An XMP packet without what it says of other parts of its file; None if it cannot be read.

    A packet that says nothing of the kind is left as it is, to the byte.
    """
    if not any(name.encode() in xmp for name in _OTHER_PARTS):
        return xmp
    try:
        document = minidom.parseString(xmp.strip(b"\0 \r\n\t"))
    except (ExpatError, ValueError):
        return None
    for element in document.getElementsByTagName("*"):
        if _of_another_part(element) and element.parentNode is not None:
            element.parentNode.removeChild(element)
        for key, attribute in list(element.attributes.items()):
            if _of_another_part(element.attributes[key]) or attribute.startswith(_OTHER_PARTS):
                element.removeAttribute(key)
    return "".join(node.toxml() for node in document.childNodes).encode()


def _of_another_part(node: minidom.Node) -> bool:
    thumbnails = node.localName == "Thumbnails" and node.namespaceURI == _XAP
    return thumbnails or (node.namespaceURI or "").startswith(_OTHER_PARTS)


def upright_xmp(xmp: bytes) -> bytes:
    """An XMP packet that says that the pixels lie upright, if it says anything of it."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)
