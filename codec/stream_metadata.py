"""What a codestream says beside the pixels."""

from typing import NamedTuple

from codec.container import Header, Section, pack_section, unpack, unpack_header
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


def read_metadata(data: bytes) -> tuple[Header, Metadata]:
    """The header and the metadata of a codestream.

    Raises:
        FormatError: broken or foreign data.
    """
    sections = unpack(data)
    header = unpack_header(sections.one(Section.HEADER))
    return header, Metadata(*map(sections.get, _METADATA_SECTIONS))
