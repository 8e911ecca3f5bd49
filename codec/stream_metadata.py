"""What a codestream says beside the pixels."""

from typing import NamedTuple

from torch import Tensor

from codec.container import Header, Section, pack_section, unpack, unpack_header
from codec.pictures import metadata as pictures
from codec.pictures.picture import Picture


class Metadata(NamedTuple):
    """What a codestream says beside the pixels: raw blocks, or None.

    Attributes:
        exif, icc, xmp: as their standards have them.
        photoshop: image resource blocks, among them IPTC.
    """

    exif: bytes | None = None
    icc: bytes | None = None
    xmp: bytes | None = None
    photoshop: bytes | None = None


_METADATA_SECTIONS = (Section.EXIF, Section.ICC, Section.XMP, Section.PHOTOSHOP)


def with_metadata(data: bytes, metadata: Metadata) -> bytes:
    """A codestream with metadata after its sections."""
    blocks = zip(_METADATA_SECTIONS, metadata, strict=True)
    return data + b"".join(pack_section(kind, block) for kind, block in blocks if block)


def with_metadata_of(data: bytes, like: Picture) -> bytes:
    """A codestream with the metadata of a picture."""
    blocks = Metadata(like.exif, like.profile, like.metadata.xmp, like.metadata.photoshop)
    return with_metadata(data, blocks)


def with_pixels(pixels: Tensor, data: bytes) -> Picture:
    """Pixels, which lie as EXIF says they do, with what a codestream says beside its own.

    Raises:
        FormatError: broken or foreign data.
    """
    _, found = read_metadata(data)
    said = pictures.Metadata(xmp=found.xmp, photoshop=found.photoshop)
    return Picture(pixels, exif=found.exif, profile=found.icc, metadata=said)


def read_metadata(data: bytes) -> tuple[Header, Metadata]:
    """The header and the metadata of a codestream.

    Raises:
        FormatError: broken or foreign data.
    """
    sections = unpack(data)
    header = unpack_header(sections.one(Section.HEADER))
    return header, Metadata(*map(sections.get, _METADATA_SECTIONS))
