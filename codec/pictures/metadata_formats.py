"""How each file format holds EXIF, XMP, IPTC, density, texts and profile: read and written."""

import io
import struct
import zlib
from collections.abc import Callable
from itertools import accumulate
from typing import Any

from PIL import ExifTags, Image, JpegImagePlugin, TiffImagePlugin, TiffTags

from codec.pictures import exif as exif_blocks
from codec.pictures.jpeg_files import coding_of, segments_of
from codec.pictures.metadata import (
    Density,
    Metadata,
    Unit,
    photoshop_of_iptc,
    without_thumbnails,
    xmp_of_one_picture,
)
from codec.pictures.picture import Picture

# What each format has room for, of what `held` names; the others have room for nothing.
ROOM = {
    "JPEG": ("EXIF", "XMP", "IPTC", "density", "texts", "profile"),
    "PNG": ("EXIF", "XMP", "density", "texts", "profile"),
    "WEBP": ("EXIF", "XMP", "profile"),
    "AVIF": ("EXIF", "XMP", "profile"),
    "TIFF": ("EXIF", "XMP", "IPTC", "density", "profile"),
    "BMP": ("density",),
    "GIF": ("texts",),
    "DFC": ("EXIF", "XMP", "IPTC", "profile"),
}
_PHOTOSHOP = b"Photoshop 3.0\0"
_XMP_SEGMENT_BYTES = 65533 - 29  # a JPEG segment, less its length and Adobe's name
_IPTC_START = b"\x1c"  # of every record (IPTC-IIM 4.2)
_COMMENT = "Comment"
_PNG_EXIF = "Raw profile type exif"  # as ImageMagick stores it
_PNG_XMP = "XML:com.adobe.xmp"
_PNG_HEADER_BYTES = 33  # signature and IHDR
_KEPT_COMPRESSIONS = ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits")
_UNITS: dict[int, Unit] = {2: "inch", 3: "cm"}  # TIFF 6.0, ResolutionUnit
_JFIF_UNITS: dict[int, Unit] = {1: "inch", 2: "cm"}
_SUB_DIRECTORIES = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
# Of the first directory of a TIFF file: what describes the picture and not its pixels.
_DESCRIPTIVE_TAGS = (
    ExifTags.Base.ImageDescription,
    ExifTags.Base.DocumentName,
    ExifTags.Base.HostComputer,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.Software,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.Copyright,
    ExifTags.Base.Rating,
    ExifTags.Base.RatingPercent,
    ExifTags.Base.XPTitle,
    ExifTags.Base.XPComment,
    ExifTags.Base.XPAuthor,
    ExifTags.Base.XPKeywords,
    ExifTags.Base.XPSubject,
)

# What a PNG file with sRGB colours says in gAMA and cHRM (PNG, third edition, 13.13 and 11.3.2.1).
_SRGB_GAMMA = 0.45455
_SRGB = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)  # white, red, green, blue
_NEAR = 0.005

# Of the same directory: what describes the pixels as they were stored (TIFF 6.0, and its technical
# notes), so that nothing is lost with it.
_STORAGE_TAGS = {
    *range(254, 260), *range(262, 267), 273, 274, *range(277, 282), 284, *range(288, 294), 297, 301,
    *range(317, 326), *range(332, 343), 347, *range(512, 522), *range(529, 533),
}  # fmt: skip
_READ_TAGS = {
    *_DESCRIPTIVE_TAGS,
    *_SUB_DIRECTORIES,
    TiffImagePlugin.X_RESOLUTION,
    TiffImagePlugin.Y_RESOLUTION,
    TiffImagePlugin.RESOLUTION_UNIT,
    TiffImagePlugin.XMP,
    TiffImagePlugin.PHOTOSHOP_CHUNK,
    TiffImagePlugin.IPTC_NAA_CHUNK,
    TiffImagePlugin.ICCPROFILE,
}


def read_exif(image: Image.Image) -> bytes | None:
    """The EXIF block of a file, or None."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return _exif_of_tiff(image.getexif())
    block = image.info.get("exif")
    if not block and _PNG_EXIF in image.info:
        block = bytes.fromhex("".join(image.info[_PNG_EXIF].split("\n")[3:]))
    if block and not block.startswith(exif_blocks.START):
        block = exif_blocks.START + block  # Pillow gives WebP's block without it
    return block or None


def _exif_of_tiff(found: Image.Exif) -> bytes | None:
    """What a TIFF file says about itself, without what describes its pixels: one directory holds
    both."""
    kept = Image.Exif()
    for tag in _DESCRIPTIVE_TAGS:
        if tag in found:
            kept[tag] = found[tag]
    for directory in _SUB_DIRECTORIES:
        kept.get_ifd(directory).update(_without_offsets(found.get_ifd(directory)))
    return kept.tobytes() if len(kept) or any(map(kept.get_ifd, _SUB_DIRECTORIES)) else None


def _without_offsets(directory: dict[int, Any]) -> dict[int, Any]:
    """A directory without the one inside it, an offset into the old file."""
    return {tag: value for tag, value in directory.items() if tag != ExifTags.IFD.Interop}


def read_metadata(image: Image.Image, data: bytes) -> Metadata:
    """What the file of an image says beside its pixels, EXIF and profile.

    Args:
        image: as Pillow has opened it.
        data: the file.
    """
    found: dict[str, Any] = {}
    texts = _texts(image)  # first: it reads what stands behind the pixels
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        found = _tiff_metadata(image, data)
    elif isinstance(image, JpegImagePlugin.JpegImageFile):
        found = _jpeg_metadata(image)
    elif "dpi" in image.info:
        found = {"density": _density(image.info["dpi"], "inch")}
    xmp = image.info.get("xmp") or None
    xmp = xmp.encode() if isinstance(xmp, str) else xmp
    return Metadata(
        xmp=xmp_of_one_picture(xmp) if xmp else None,
        texts=texts,
        lossless=image.format == "WEBP" and b"VP8L" in (data[12:16], *_webp_chunks(data)),
        **found,
    )


def _jpeg_metadata(image: JpegImagePlugin.JpegImageFile) -> dict[str, Any]:
    photoshop = without_thumbnails(b"".join(segments_of(image, "APP13", _PHOTOSHOP)))
    return {
        "photoshop": photoshop or None,
        "density": _density(
            image.info.get("jfif_density"), _JFIF_UNITS.get(image.info.get("jfif_unit", 0))
        ),
        "jpeg": coding_of(image),
    }


def _tiff_metadata(image: TiffImagePlugin.TiffImageFile, data: bytes) -> dict[str, Any]:
    tags = image.tag_v2
    photoshop = exif_blocks.value_in_tiff(data, TiffImagePlugin.PHOTOSHOP_CHUNK)
    iptc = _iptc_of_tiff(data)
    blocks = without_thumbnails(photoshop) or (photoshop_of_iptc(iptc) if iptc else b"")
    both = tags.get(TiffImagePlugin.X_RESOLUTION), tags.get(TiffImagePlugin.Y_RESOLUTION)
    return {
        "photoshop": blocks or None,
        "density": _density(both, _UNITS.get(tags.get(TiffImagePlugin.RESOLUTION_UNIT, 2))),
        "compression": image.info.get("compression"),
    }


def _density(values: Any, unit: Unit | None) -> Density | None:
    """Pixels to a unit, where a file says both numbers and the unit."""
    if not unit or not values or not all(values):
        return None
    across, down = map(float, values)
    return Density(across, down, unit)


def _iptc_of_tiff(data: bytes) -> bytes:
    """IPTC records of a TIFF file; many programs store them as 32-bit numbers, some swapped."""
    records = exif_blocks.value_in_tiff(data, TiffImagePlugin.IPTC_NAA_CHUNK)
    if records[3:4] == _IPTC_START != records[:1]:
        count = len(records) // 4
        return struct.pack(f">{count}I", *struct.unpack_from(f"<{count}I", records))
    return records


def unread(image: Image.Image, metadata: Metadata) -> tuple[str, ...]:
    """A note for each thing that a file says and that `read_metadata` cannot take over."""
    notes = []
    if image.info.get("xmp") and metadata.xmp is None:
        notes.append("holds an XMP packet that cannot be read, which is not carried over")
    if image.format == "PNG" and not {"icc_profile", "srgb"} & image.info.keys():
        notes += [f"has a {what} unlike sRGB's, without effect" for what in _unlike_srgb(image)]
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        further = sorted(set(image.tag_v2) - _READ_TAGS - _STORAGE_TAGS)
        names = ", ".join(TiffTags.lookup(tag).name + f" ({tag})" for tag in further)
        notes += [f"has TIFF tags that are not carried over: {names}"] * bool(further)
    return tuple(notes)


def _unlike_srgb(image: Image.Image) -> list[str]:
    """What the gAMA and cHRM chunks of a PNG file say that is not so in sRGB."""
    gamma = image.info.get("gamma") or _SRGB_GAMMA
    chroma = image.info.get("chromaticity") or _SRGB
    apart = any(abs(a - b) > _NEAR for a, b in zip(chroma, _SRGB, strict=False))
    return ["gamma"] * (abs(gamma - _SRGB_GAMMA) > _NEAR) + ["set of primaries"] * apart


def _texts(image: Image.Image) -> tuple[tuple[str, str], ...]:
    if image.format == "PNG":
        texts = getattr(image, "text", {})
        return tuple(
            (key, str(text)) for key, text in texts.items() if key not in (_PNG_EXIF, _PNG_XMP)
        )
    comment = image.info.get("comment")
    return ((_COMMENT, comment.decode("latin-1")),) if isinstance(comment, bytes) else ()


def _webp_chunks(data: bytes) -> list[bytes]:
    """The names of the chunks of a WebP file (RFC 9649)."""
    names, at = [], 12
    while at + 8 <= len(data):
        names.append(data[at : at + 4])
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + size + size % 2
    return names


def _held(picture: Picture) -> dict[str, bool]:
    """Which kinds of metadata a picture has."""
    metadata = picture.metadata
    return {
        "EXIF": picture.exif is not None,
        "XMP": metadata.xmp is not None,
        "IPTC": metadata.photoshop is not None,
        "density": metadata.density is not None,
        "texts": bool(metadata.texts),
        "profile": picture.profile is not None,
    }


def lost_in(picture: Picture, file_format: str) -> tuple[str, ...]:
    """A note for each kind of metadata that a format has no room for."""
    room = ROOM.get(file_format, ())
    notes = [
        f"has {name}, not written into {file_format} files"
        for name, there in _held(picture).items()
        if there and name not in room
    ]
    if file_format == "JPEG":
        notes += [f"has {name} that is too large for JPEG" for name in _too_large(picture)]
    if file_format in ("JPEG", "GIF"):  # which have one comment
        keys = ", ".join(key for key, _ in picture.metadata.texts if key != _COMMENT)
        notes += [f"has texts, not written into {file_format} files: {keys}"] * bool(keys)
    return tuple(notes)


def _too_large(picture: Picture) -> tuple[str, ...]:
    """What does not fit into one segment of a JPEG file."""
    limits = (
        ("EXIF", picture.exif, exif_blocks.MAX_BYTES),
        ("XMP", picture.metadata.xmp, _XMP_SEGMENT_BYTES),
        ("IPTC", picture.metadata.photoshop, exif_blocks.MAX_BYTES - len(_PHOTOSHOP)),
    )
    return tuple(name for name, block, most in limits if block and len(block) > most)


def save_options(picture: Picture, file_format: str) -> dict[str, Any]:
    """What Pillow's `save` takes for the metadata of a picture; see `completed` for the rest."""
    metadata = picture.metadata
    room = set(ROOM.get(file_format, ()))
    if file_format in _COMPLETED:
        room = {"profile"}
    if file_format == "JPEG":
        room -= set(_too_large(picture))
    comment = dict(metadata.texts).get(_COMMENT)
    photoshop = metadata.photoshop if "IPTC" in room else None
    options = (
        ("EXIF", "exif", picture.exif),
        ("XMP", "xmp", metadata.xmp),
        ("IPTC", "extra", photoshop and _photoshop_segment(photoshop)),
        ("density", "dpi", metadata.density and metadata.density.per_inch()),
        ("texts", "comment", comment and comment.encode("latin-1", "replace")),
        ("profile", "icc_profile", picture.profile),
    )
    return {key: value for name, key, value in options if value and name in room}


def _photoshop_segment(blocks: bytes) -> bytes:
    return b"\xff\xed" + struct.pack(">H", 2 + len(_PHOTOSHOP) + len(blocks)) + _PHOTOSHOP + blocks


def completed(data: bytes, picture: Picture, file_format: str) -> bytes:
    """A PNG or TIFF file, of any bit depth, with the metadata of a picture; others as they are."""
    return _COMPLETED[file_format](data, picture) if file_format in _COMPLETED else data


def _with_png_chunks(png: bytes, picture: Picture) -> bytes:
    """PNG with its metadata after the header chunk (PNG, third edition, section 11.3)."""
    metadata = picture.metadata
    chunks = [_png_text(key, text) for key, text in metadata.texts]
    if picture.exif:
        chunks.append(_png_chunk(b"eXIf", picture.exif.removeprefix(exif_blocks.START)))
    if metadata.xmp:
        chunks.append(_png_chunk(b"iTXt", _PNG_XMP.encode() + bytes(5) + metadata.xmp))
    if metadata.density:
        a_metre = [round(value / 0.0254) for value in metadata.density.per_inch()]
        chunks.append(_png_chunk(b"pHYs", struct.pack(">IIB", *a_metre, 1)))
    return png[:_PNG_HEADER_BYTES] + b"".join(chunks) + png[_PNG_HEADER_BYTES:]


def _png_text(key: str, text: str) -> bytes:
    name = key.encode("latin-1", "replace")[:79]
    try:
        return _png_chunk(b"tEXt", name + b"\0" + text.encode("latin-1"))
    except UnicodeEncodeError:
        return _png_chunk(b"iTXt", name + bytes(5) + text.encode())


def _png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _with_tiff_tags(tiff: bytes, picture: Picture) -> bytes:
    """TIFF with its metadata in the directory, in front of the strips, which are left as coded."""
    with Image.open(io.BytesIO(tiff)) as image:
        assert isinstance(image, TiffImagePlugin.TiffImageFile)
        tags = image.tag_v2
        dict(tags)  # reads all of them; `save` writes only what has been read
        offsets = _numbers(tags[TiffImagePlugin.STRIPOFFSETS])
        sizes = _numbers(tags[TiffImagePlugin.STRIPBYTECOUNTS])
    strips = [tiff[at : at + size] for at, size in zip(offsets, sizes, strict=True)]
    # `save` adds the length of what stands in front.
    tags[TiffImagePlugin.STRIPOFFSETS] = (0, *accumulate(sizes[:-1]))
    metadata = picture.metadata
    for tag, value in _exif_tags(picture.exif).items():
        tags[tag] = value
    for tag, block in (
        (TiffImagePlugin.XMP, metadata.xmp),
        (TiffImagePlugin.PHOTOSHOP_CHUNK, metadata.photoshop),
        (TiffImagePlugin.IPTC_NAA_CHUNK, metadata.iptc),
    ):
        if block:
            tags.tagtype[tag] = TiffTags.BYTE
            tags[tag] = block
    if metadata.density:
        tags[TiffImagePlugin.X_RESOLUTION] = metadata.density.x
        tags[TiffImagePlugin.Y_RESOLUTION] = metadata.density.y
        tags[TiffImagePlugin.RESOLUTION_UNIT] = 3 if metadata.density.unit == "cm" else 2
    buffer = io.BytesIO()
    tags.save(buffer)
    return buffer.getvalue() + b"".join(strips)


def _numbers(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,)


def _exif_tags(exif: bytes | None) -> dict[int, Any]:
    """The tags of a block that describe a picture and not its pixels, for a TIFF directory."""
    block = Image.Exif()
    if exif:
        block.load(exif)
    found: dict[int, Any] = {tag: block[tag] for tag in _DESCRIPTIVE_TAGS if tag in block}
    for tag in _SUB_DIRECTORIES:
        found |= {tag: inner} if (inner := _without_offsets(block.get_ifd(tag))) else {}
    return found


def tiff_compression(metadata: Metadata) -> str:
    """Pillow's name of the compression to write: the file's own where it fits every picture."""
    found = metadata.compression or "raw"
    return found if found in _KEPT_COMPRESSIONS else "tiff_lzw"


_COMPLETED: dict[str, Callable[[bytes, Picture], bytes]] = {
    "PNG": _with_png_chunks,
    "TIFF": _with_tiff_tags,
}
