"""Pillow opens and saves codestreams."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, UnidentifiedImageError

import codec
import codec.pillow
from tests.codec.test_picture import photo


def test_pillow_opens_what_encode_writes(tmp_path: Path) -> None:
    for picture, mode in ((photo(), "RGB"), (photo()[:1], "L")):
        (stream,) = codec.encode([picture], 70)
        (tmp_path / "p.dfc").write_bytes(stream)
        with Image.open(tmp_path / "p.dfc") as image:
            assert (image.format, image.mode, image.size) == ("DFC", mode, (160, 128))
            found = np.array(image).reshape(128, 160, -1)
        assert torch.equal(torch.from_numpy(found).permute(2, 0, 1), codec.decode([stream])[0])


def test_pillow_saves_what_decode_reads(tmp_path: Path) -> None:
    image = Image.fromarray(photo().permute(1, 2, 0).numpy())
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    image.save(tmp_path / "p.dfc", quality=55, mode="mse", exif=exif, icc_profile=b"profile")
    (plain,) = codec.encode([photo()], 55, mode="mse")
    assert (tmp_path / "p.dfc").read_bytes().startswith(plain)
    with Image.open(tmp_path / "p.dfc") as again:
        assert again.getexif()[0x010F] == "Camera" and again.info["icc_profile"] == b"profile"
    image.save(tmp_path / "x.dfc", lossless=True)
    with Image.open(tmp_path / "x.dfc") as again:
        assert again.tobytes() == image.tobytes()


def test_thumbnails_need_the_means_alone(tmp_path: Path) -> None:
    (stream,) = codec.encode([photo()], 80)
    image = Image.open(io.BytesIO(stream))
    image.draft(None, (20, 16))
    assert image.size == (20, 16)
    small = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    assert torch.equal(small, codec.thumbnail(stream))
    hole = bytearray(stream)
    hole[len(stream) - 200 : len(stream) - 100] = bytes(100)  # what a thumbnail does not read
    image = Image.open(io.BytesIO(hole))
    image.draft(None, (20, 16))
    assert np.array_equal(image, small.permute(1, 2, 0))
    with pytest.raises(OSError, match="checksum"):
        Image.open(io.BytesIO(hole)).load()
    image = Image.open(io.BytesIO(stream))
    image.thumbnail((10, 10))
    assert image.size == (10, 8)
    for data, size in ((stream, (100, 100)), (codec.encode([photo()], lossless=True)[0], (20, 16))):
        whole = Image.open(io.BytesIO(data))
        whole.draft(None, size)
        assert whole.size == (160, 128)


def test_what_is_broken_or_has_no_room_is_said(tmp_path: Path) -> None:
    (stream,) = codec.encode([photo(0, 40, 40)])
    broken = bytearray(stream)
    broken[-10] ^= 1
    with pytest.raises(OSError, match="checksum"):
        Image.open(io.BytesIO(bytes(broken))).load()
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(stream[:9]))
    clear = Image.new("RGBA", (8, 8), (1, 2, 3, 4))
    with pytest.raises(OSError, match="no transparency"):
        clear.save(tmp_path / "x.dfc")


@pytest.mark.parametrize("mode", ["I;16", "I", "F", "CMYK", "LAB", "HSV"])
def test_what_has_no_room_is_refused(mode: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=f"no room for mode {mode}"):
        Image.new(mode, (16, 16)).save(tmp_path / "p.dfc")
    assert not (tmp_path / "p.dfc").exists()


@pytest.mark.parametrize(("mode", "planes"), [("1", 1), ("L", 1), ("P", 3), ("YCbCr", 3)])
def test_what_eight_bits_hold_is_saved(mode: str, planes: int, tmp_path: Path) -> None:
    image = Image.fromarray(photo().permute(1, 2, 0).numpy()).convert(mode)
    image.save(tmp_path / "p.dfc", lossless=True)
    with Image.open(tmp_path / "p.dfc") as again:
        assert len(again.getbands()) == planes
        assert np.array_equal(again, image.convert(again.mode))
