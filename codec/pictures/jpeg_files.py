"""What stands in JPEG files around the picture, and whether its data are whole."""

import re

from PIL import JpegImagePlugin

from codec.pictures.metadata import JpegCoding
from codec.pictures.picture import MAX_PIXELS, PictureError

_START = b"\xff\xd8\xff"
_END = b"\xff\xd9"
_BARE = (0x01, *range(0xD0, 0xDA))  # markers without a length: TEM, RST0 to RST7, SOI, EOI
# Inside a scan, FF 00 is a value and FF D0 to FF D7 are restarts.
_MARKER = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]", re.DOTALL)
# What libjpeg says of data that break off or mean nothing. "Extraneous bytes" alone may be a
# scanner's padding as well as what is left over behind a hole.
_DAMAGED = "Corrupt JPEG data"
_LOSSES = ("premature end of data", "bad Huffman code", "instead of RST")
# How application segments begin that are read, or that say nothing of the picture: thumbnails of
# JFXX, the colour transform of Adobe, the quality of Photoshop ("Ducky").
_KNOWN_SEGMENTS = (
    b"JFIF\0", b"JFXX\0", b"Exif\0\0", b"http://ns.adobe.com/", b"ICC_PROFILE\0", b"MPF\0",
    b"urn:iso:std:iso:ts:21496:-1\0", b"JP", b"Photoshop 3.0\0", b"Adobe", b"Ducky",
)  # fmt: skip
_NO_FRAME = (0xC4, 0xC8, 0xCC)  # of the markers from C0 to CF
_COMMON_FRAMES = ((0xC0, 8), (0xC1, 8), (0xC2, 8))  # baseline, extended, progressive
# Sampling factors (across, down) of luma -> Pillow's number, where chroma has (1, 1).
_SUBSAMPLINGS = {(1, 1): 0, (2, 1): 1, (2, 2): 2}


def is_jpeg(data: bytes) -> bool:
    """Whether a file begins as JPEG files do."""
    return data.startswith(_START)


def end_of_picture(data: bytes) -> int | None:
    """The number of bytes of the first picture of a JPEG file, or None if it has no end."""
    at = 2
    while (found := _MARKER.search(data, at)) is not None:
        code, at = data[found.end() - 1], found.end()
        if code == _END[1]:
            return at
        if code not in _BARE:
            at += int.from_bytes(data[at : at + 2], "big")
    return None


def whole(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """A JPEG file with its end, and a note where that was missing or data may be damaged.

    Raises:
        PictureError: pixels are missing or broken.
    """
    notes: tuple[str, ...] = ()
    if end_of_picture(data) is None:
        data = data.rstrip(b"\xff") + _END
        notes = ("lacks the end of its file, but no pixel",)
    warning = _warning(data)
    if any(loss in warning for loss in _LOSSES):
        raise PictureError(f"truncated or broken ({warning}), expected a whole picture")
    if _DAMAGED in warning:
        notes += (f"may be damaged ({warning})",)
    return data, notes


def _warning(data: bytes) -> str:
    """What a strict decoder says, or nothing; the smallest output costs the least time.

    JPEG has no checksums: a hole that decodes to other pixels by chance is not found.
    """
    import simplejpeg

    if _frame(data) not in _COMMON_FRAMES:  # lossless ones and 12 bits crash the decoder
        return ""
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(data)
        if height * width > MAX_PIXELS:
            return ""  # it is refused anyway
        wanted = {"RGB": "RGB", "CMYK": "CMYK", "YCCK": "CMYK"}.get(space, "GRAY")
        simplejpeg.decode_jpeg(data, wanted, fastdct=True, min_height=1, min_width=1)
    except ValueError as error:  # what it cannot read at all is left to Pillow to judge
        return str(error)
    return ""


def _frame(data: bytes) -> tuple[int, int] | None:
    """Marker and bits a sample of the frame header (ITU-T T.81, B.2.2), or None."""
    at = 2
    while (found := _MARKER.search(data, at)) is not None:
        code, at = data[found.end() - 1], found.end()
        if 0xC0 <= code <= 0xCF and code not in _NO_FRAME:
            return code, data[at + 2] if at + 2 < len(data) else 0
        if code not in _BARE:
            at += int.from_bytes(data[at : at + 2], "big")
    return None


def coding_of(image: JpegImagePlugin.JpegImageFile) -> JpegCoding | None:
    """Tables, subsampling and scans of a JPEG file; None for CMYK, which is written as RGB."""
    if len(image.layer) not in (1, 3):
        return None
    luma, chroma = image.layer[0], image.layer[-1]
    try:
        tables = tuple(image.quantization[luma[3]]), tuple(image.quantization[chroma[3]])
    except KeyError:
        return None
    even = all(layer[1:3] == (1, 1) for layer in image.layer[1:])
    subsampling = _SUBSAMPLINGS.get((luma[1], luma[2]), 0) if even and len(image.layer) == 3 else 0
    return JpegCoding(tables, subsampling, "progressive" in image.info)


def segments_of(image: JpegImagePlugin.JpegImageFile, name: str, start: bytes) -> list[bytes]:
    """What stands behind a beginning in all application segments of a name, such as `APP13`."""
    return [
        data[len(start) :] for app, data in image.applist if app == name and data.startswith(start)
    ]


def other_parts(image: JpegImagePlugin.JpegImageFile, data: bytes) -> tuple[str, ...]:
    """A note for whatever the file holds that a rendering does not."""
    xmp = image.info.get("xmp", b"")
    behind = data[end_of_picture(data) or len(data) :].strip(b"\0")
    gain_map = b"hdrgm:" in xmp or bool(
        segments_of(image, "APP2", b"urn:iso:std:iso:ts:21496:-1\0")
    )
    motion = b"MotionPhoto" in xmp or b"MicroVideo" in xmp or b"MotionPhoto_Data" in behind
    pictures = max(getattr(image, "n_frames", 1) - 1, 0)
    credentials = any(b"c2pa" in part for part in segments_of(image, "APP11", b"JP"))
    extended = bool(segments_of(image, "APP1", b"http://ns.adobe.com/xmp/extension/\0"))
    named = gain_map or motion or pictures
    unknown = sorted({app for app, part in image.applist if not _known(app, part)})
    return tuple(
        note
        for there, note in (
            (gain_map, "holds an HDR gain map, which is not carried over"),
            (
                pictures and not gain_map,
                f"holds {pictures + 1} pictures, of which the first is used",
            ),
            (motion, "holds a motion video, which is not carried over"),
            (
                behind and not named,
                f"holds {len(behind):,} bytes behind the picture, which are not carried over",
            ),
            (extended, "holds an extended XMP packet, which is not carried over"),
            (unknown, f"holds segments of unknown use ({', '.join(unknown)}), not carried over"),
            (credentials, "holds content credentials, which do not hold for another picture"),
        )
        if there
    )


def _known(app: str, part: bytes) -> bool:
    return app == "COM" or part.startswith(_KNOWN_SEGMENTS) or not part.strip(b"\0")
