"""Encoders: what their files carry, and what their qualities mean."""

import io

import pytest
import torch
from PIL import ExifTags, Image, ImageCms

from codec.pictures.exif import without_orientation
from codec.pictures.metadata import Metadata
from codec.pictures.picture import Picture
from codec.search import encoder
from tests.codec.test_picture import photo


def exif_with_thumbnail(order: str, orientation: bool = True) -> bytes:
    """Two directories: make, orientation and model; then a thumbnail."""

    def number(value: int, size: int) -> bytes:
        return value.to_bytes(size, "little" if order == "II" else "big")

    def entry(tag: int, kind: int, count: int, value: bytes) -> bytes:
        return number(tag, 2) + number(kind, 2) + number(count, 4) + value.ljust(4, b"\0")

    thumbnail = encoder("jpeg").encode(photo(0, 16, 16), 50)
    first = [entry(0x010F, 2, 4, b"Cam\0"), entry(0x0110, 2, 4, b"One\0")]
    if orientation:
        first.append(entry(0x0112, 3, 1, number(6, 2)))
    second_at = 8 + 2 + 12 * len(first) + 4
    data_at = second_at + 2 + 12 * 3 + 4
    second = [
        entry(0x0103, 3, 1, number(6, 2)),
        entry(0x0201, 4, 1, number(data_at, 4)),
        entry(0x0202, 4, 1, number(len(thumbnail), 4)),
    ]
    directories = [
        number(len(entries), 2) + b"".join(entries) + number(following, 4)
        for entries, following in ((first, second_at), (second, 0))
    ]
    header = order.encode() + number(42, 2) + number(8, 4)
    return b"Exif\0\0" + header + b"".join(directories) + thumbnail


@pytest.mark.parametrize("order", ["II", "MM"])
def test_only_the_orientation_goes(order: str) -> None:
    block = exif_with_thumbnail(order)
    read = Image.Exif()
    read.load(without_orientation(block))
    assert 0x0112 not in read and read[0x010F] == "Cam" and read[0x0110] == "One"
    second = read.get_ifd(ExifTags.IFD.IFD1)
    assert second[0x0202] == len(block) - block.index(b"\xff\xd8")
    assert len(without_orientation(block)) == len(block)
    plain = exif_with_thumbnail(order, orientation=False)
    assert without_orientation(plain) == plain


@pytest.mark.parametrize("cut", [0, 6, 9, 14, 20])
def test_broken_blocks_stay(cut: int) -> None:
    broken = exif_with_thumbnail("II")[:cut]
    assert without_orientation(broken) == broken


@pytest.mark.parametrize("name", ["jpeg", "jpeg_444", "webp", "avif"])
def test_metadata_travels_whole(name: str) -> None:
    one, exif = encoder(name), exif_with_thumbnail("MM")
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"></x:xmpmeta>'
    data = one.encode(
        photo(), 60, Picture(photo(), exif=exif, profile=icc, metadata=Metadata(xmp=xmp))
    )
    with Image.open(io.BytesIO(data)) as image:
        kept = image.info["exif"].removeprefix(b"Exif\0\0")
        expected = exif if one.carries_orientation else without_orientation(exif)
        assert kept == expected.removeprefix(b"Exif\0\0")
        assert image.info["icc_profile"] == icc and image.info["xmp"] == xmp
        assert image.getexif().get(0x0112, 1) == (6 if one.carries_orientation else 1)
    assert torch.equal(one.decode(data), one.decode(one.encode(photo(), 60)))


def test_jpeg_files_are_the_smaller_of_both_kinds() -> None:
    """Progressive where they are large, not where they are small, and no larger than usual."""
    large = photo().repeat_interleave(3, 1).repeat_interleave(3, 2)
    noise = torch.randint(0, 64, large.shape, generator=torch.Generator().manual_seed(0))
    large = (large.int() + noise).clamp(max=255).to(torch.uint8)
    for pixels, is_progressive in ((photo(), False), (large, True)):
        usual, smaller = (encoder(name).encode(pixels, 70) for name in ("jpeg_baseline", "jpeg"))
        assert len(smaller) < len(usual)
        with Image.open(io.BytesIO(smaller)) as image:
            assert ("progressive" in image.info) == is_progressive
        assert torch.equal(encoder("jpeg").decode(smaller), encoder("jpeg").decode(usual))


def test_qualities_of_avif_that_mean_the_same_stand_there_once() -> None:
    one, picture = encoder("avif"), photo(1, 40, 56)
    files: dict[bytes, int] = {}
    for quality in range(1, 101):
        files.setdefault(one.encode(picture, quality), quality)
    assert set(files.values()) <= set(one.qualities)
    assert len(files) >= len(one.qualities) - 2  # at the lowest two may come out the same
    assert list(one.qualities) == sorted(one.qualities)


@pytest.mark.parametrize(("name", "has"), [("jpeg", False), ("avif", False), ("webp", True),
                                           ("jxl", True), ("dfc", True)])  # fmt: skip
def test_lossless_where_there_is_such_a_thing(name: str, has: bool) -> None:
    picture = photo(0, 24, 32)
    data = encoder(name).encode_lossless(picture)
    assert (data is not None) == has
    if data is not None:
        assert torch.equal(encoder(name).decode(data), picture)
