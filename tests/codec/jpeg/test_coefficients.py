"""JPEG files taken apart and put together: byte for byte, or refused."""

import io
import random

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from codec.jpeg.blocks import FRACTION_ONE, guess_of, planes_of
from codec.jpeg.coefficients import UnknownJpeg, read_jpeg, write_jpeg
from codec.jpeg.huffman import HuffmanError, HuffmanTable
from codec.planes import to_planes
from tests.codec.test_picture import photo

SIZES = [(1, 1), (8, 8), (7, 17), (16, 16), (33, 15), (100, 130)]


def jpeg(pixels: Tensor, **options: object) -> bytes:
    """A JPEG file as Pillow writes it."""
    buffer = io.BytesIO()
    array = pixels.permute(1, 2, 0).numpy()
    image = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("quality", [3, 60, 98])
def test_files_come_back(size: tuple[int, int], subsampling: int, quality: int) -> None:
    for options in ({}, {"optimize": True}, {"restart_marker_blocks": 3}):
        data = jpeg(photo(1, *size), quality=quality, subsampling=subsampling, **options)
        assert write_jpeg(read_jpeg(data)) == data
        grey = jpeg(photo(1, *size)[:1], quality=quality, **options)
        assert write_jpeg(read_jpeg(grey)) == grey


def test_what_stands_around_comes_back() -> None:
    data = jpeg(photo(0, 40, 40), comment=b"a comment", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0")
    for tail in (b"", b"\0\0\0", b"a video behind \xff\xd8\xff\xd9", b"\xff" * 9):
        assert write_jpeg(read_jpeg(data + tail)) == data + tail
    # Bytes between the last block and the end of the picture.
    assert write_jpeg(read_jpeg(data[:-2] + b"\0\x07" + data[-2:])) == data[:-2] + b"\0\x07\xff\xd9"
    assert write_jpeg(read_jpeg(data[:-2])) == data[:-2]


def test_noise_and_long_runs_come_back() -> None:
    """Every size of value, runs of more than sixteen zeros, and FF in the data."""
    noise = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    lines = torch.zeros(1, 64, 64, dtype=torch.uint8)
    lines[:, ::2] = 255
    for pixels in (noise, lines, torch.zeros(3, 64, 64, dtype=torch.uint8)):
        for quality in (1, 50, 100):
            data = jpeg(pixels, quality=quality)
            assert write_jpeg(read_jpeg(data)) == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8",
        b"\xff\xd8\xff\xe0\0\x04\0\0",
        jpeg(photo(0, 40, 40), progressive=True),
        jpeg(photo(0, 40, 40))[:-200],
    ],
    ids=["nothing", "start", "no scan", "progressive", "cut"],
)
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(UnknownJpeg):
        read_jpeg(data)


def test_cmyk_is_refused() -> None:
    buffer = io.BytesIO()
    Image.new("CMYK", (16, 16)).save(buffer, "JPEG")
    with pytest.raises(UnknownJpeg):
        read_jpeg(buffer.getvalue())


def test_damaged_files_come_back_or_are_refused() -> None:
    data = jpeg(photo(2, 48, 64), quality=85)
    rng = random.Random(0)
    refused = 0
    for _ in range(300):
        broken = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            broken[rng.randrange(2, len(broken))] = rng.randrange(256)
        try:
            assert write_jpeg(read_jpeg(bytes(broken))) == broken
        except UnknownJpeg:
            refused += 1
    assert 0 < refused < 300


def test_a_huffman_table_with_too_many_codes_is_refused() -> None:
    with pytest.raises(HuffmanError, match="fit their lengths"):
        HuffmanTable((3, *[0] * 15), b"abc").codes()


@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_planes_are_those_of_a_decoder(subsampling: int) -> None:
    """Pillow's libjpeg is the oracle: luma to a grey level and a half, where it is not clipped."""
    data = jpeg(photo(0, 50, 70), quality=90, subsampling=subsampling)
    image = Image.open(io.BytesIO(data))
    image.draft("YCbCr", None)
    decoded = torch.from_numpy(np.array(image).astype(np.int32)).permute(2, 0, 1)
    planes = planes_of(read_jpeg(data))
    assert planes.shape == (3, 50, 70) and planes.dtype == torch.int32
    luma = planes[0] / 16 + 128
    inside = (luma > 1) & (luma < 254)
    assert (luma - decoded[0])[inside].abs().max() <= 1.5
    chroma = planes[1:] / 16 + 128
    assert (chroma - decoded[1:]).abs().mean() < 1.5
    assert (planes - to_planes(photo(0, 50, 70)[None])[0]).abs().float().mean() < 16 * 4


@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_its_own_planes_guess_a_file(subsampling: int) -> None:
    file = read_jpeg(jpeg(photo(0, 50, 70), quality=85, subsampling=subsampling))
    guesses = guess_of(planes_of(file), file.components)
    luma = torch.from_numpy(file.components[0].blocks)
    rows, columns = 50 // 8, 70 // 8  # blocks that are whole
    inside = (slice(rows), slice(columns))
    assert torch.equal(guesses[0].levels[inside], luma[inside])
    assert guesses[0].fractions[inside].abs().max() < FRACTION_ONE // 8
    for guess, one in zip(guesses, file.components, strict=True):
        off = (guess.levels - torch.from_numpy(one.blocks)).abs().float()
        assert guess.levels.shape == one.blocks.shape and off.mean() < 0.2
