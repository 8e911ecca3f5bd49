from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from codec.pictures.exif import (
    START,
    orientation_of,
    stored_upright,
    with_thumbnail_of,
    without_orientation,
)
from codec.pictures.layout import to_array
from tests.codec.pictures.made_files import exif_with_thumbnail, jpeg
from tests.conftest import colourful


def thumbnail(exif: bytes) -> np.ndarray:
    """As a second reader, which this project does not use, finds it."""
    exifread = pytest.importorskip("exifread")
    tags = exifread.process_file(BytesIO(jpeg(torch.zeros(3, 8, 8), exif=exif)))
    return np.asarray(Image.open(BytesIO(tags["JPEGThumbnail"])))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("tail", [b"", b"maker notes behind it"])
def test_thumbnails_show_the_new_pixels(order: str, tail: bytes) -> None:
    old = jpeg(colourful(120, 160), quality=95)
    exif = exif_with_thumbnail(old, order, tail)
    pixels = torch.full((3, 300, 400), 200, dtype=torch.uint8)
    pixels[:, :150] = 90
    renewed = with_thumbnail_of(exif, pixels)
    shown = thumbnail(renewed)
    assert shown.shape == (120, 160, 3)
    assert abs(float(shown[:50].mean()) - 90) < 3
    assert abs(float(shown[70:].mean()) - 200) < 3
    assert renewed.endswith(tail)
    assert old not in renewed
    if tail:
        assert len(renewed) == len(exif)  # nothing may move


def test_a_thumbnail_that_does_not_fit_is_put_behind_the_rest() -> None:
    exif = exif_with_thumbnail(jpeg(torch.zeros(3, 120, 160), quality=5), "<", b"behind")
    renewed = with_thumbnail_of(exif, colourful(300, 400))
    assert b"behind" in renewed[: len(exif)]
    assert thumbnail(renewed).shape == (120, 160, 3)


@pytest.mark.parametrize("tail", [0, 65000])
def test_a_thumbnail_without_room_or_of_another_kind_goes(tail: int) -> None:
    exif = exif_with_thumbnail(jpeg(torch.zeros(3, 120, 160), quality=5), "<", bytes(tail))
    exif = exif if tail else exif.replace(b"\x01\x02\x04\0", b"\x11\x01\x04\0")  # strips
    block = Image.Exif()
    block.load(with_thumbnail_of(exif, colourful(300, 400)))
    assert not block.get_ifd(ExifTags.IFD.IFD1)
    assert block[ExifTags.Base.Make] == "maker"


@pytest.mark.parametrize("length", range(0, 60, 3))
def test_broken_blocks_are_left_alone(length: int) -> None:
    exif = exif_with_thumbnail(jpeg(torch.zeros(3, 8, 8)), ">")[: len(START) + length]
    assert with_thumbnail_of(exif, colourful(8, 8)) == exif


def test_tags_that_do_not_point_to_a_thumbnail_overwrite_nothing() -> None:
    exif = exif_with_thumbnail(jpeg(torch.zeros(3, 120, 160)), "<", b"behind")
    block = bytearray(exif)
    entry = block.index(b"\x01\x02\x04\0")
    block[entry + 8 : entry + 12] = (8).to_bytes(4, "little")  # the first directory
    renewed = Image.Exif()
    renewed.load(with_thumbnail_of(bytes(block), colourful(30, 40)))
    assert renewed[ExifTags.Base.Make] == "maker"
    assert not renewed.get_ifd(ExifTags.IFD.IFD1)


@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_can_be_taken_out_without_moving_the_rest(order: str) -> None:
    exif = exif_with_thumbnail(jpeg(colourful(24, 32)), order, orientation=6)
    assert orientation_of(exif) == 6
    without = without_orientation(exif)
    assert orientation_of(without) == 1
    assert len(without) == len(exif)
    assert np.array_equal(thumbnail(without), thumbnail(exif))
    assert without_orientation(without) == without


def test_a_tiff_file_is_said_to_lie_upright() -> None:
    buffer = BytesIO()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 8
    image = Image.fromarray(to_array(colourful(6, 9)))
    image.save(buffer, "TIFF", exif=exif)
    with Image.open(BytesIO(stored_upright(buffer.getvalue()))) as again:
        assert again.getexif()[ExifTags.Base.Orientation] == 1
        assert again.size == (9, 6)
