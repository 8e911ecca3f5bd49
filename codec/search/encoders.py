"""Encoders behind one small protocol, so that search and reports drive all of them alike.

A quality is a whole number on the encoder's own scale; higher is better and larger.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from PIL import Image, features
from torch import Tensor

from codec import picture as picture_codec
from codec.pictures.picture_files import Picture
from codec.settings import QUALITIES, Settings


class EncodingError(ValueError):
    """A picture that an encoder refuses, such as one with sides that are too long for it."""


class Encoder(Protocol):
    """Pictures (C, H, W) uint8 to files and back."""

    @property
    def name(self) -> str: ...

    @property
    def suffix(self) -> str: ...

    @property
    def qualities(self) -> range: ...

    @property
    def carries_metadata(self) -> bool:
        """Whether EXIF and profile go into the file; if not, pixels have to be upright sRGB."""

    def encode(self, picture: Tensor, quality: int) -> bytes: ...

    def with_metadata(self, data: bytes, quality: int, picture: Tensor, of: Picture) -> bytes:
        """The same file with the EXIF block and the profile of a picture."""

    def decode(self, data: bytes) -> Tensor: ...


@dataclass(frozen=True)
class PillowEncoder:
    """An encoder of Pillow.

    Attributes:
        name: for commands and reports.
        suffix: of files.
        file_format: Pillow's name.
        options: what Pillow's `save` takes beside the quality.
        qualities: the scale.
    """

    name: str
    suffix: str
    file_format: str
    options: tuple[tuple[str, object], ...]
    qualities: range = range(1, 101)
    carries_metadata: bool = True

    def encode(self, picture: Tensor, quality: int) -> bytes:
        return self._save(picture, quality, {})

    def with_metadata(self, data: bytes, quality: int, picture: Tensor, of: Picture) -> bytes:
        profile = of.profile
        if profile and profile[16:20] == b"GRAY" and self.file_format != "JPEG":
            profile = None  # these formats have no grey
        extra = {k: v for k, v in (("exif", of.exif), ("icc_profile", profile)) if v}
        return self._save(picture, quality, extra) if extra else data

    def _save(self, picture: Tensor, quality: int, extra: dict[str, bytes]) -> bytes:
        buffer = io.BytesIO()
        settings = {**dict(self.options), **extra}
        try:
            _to_image(picture).save(buffer, self.file_format, quality=quality, **settings)
        except (OSError, RuntimeError, ValueError) as error:
            raise EncodingError(f"{self.name} cannot encode this picture ({error})") from error
        return buffer.getvalue()

    def decode(self, data: bytes) -> Tensor:
        return _from_image(Image.open(io.BytesIO(data)))


@dataclass(frozen=True)
class JpegXlEncoder:
    """libjxl through imagecodecs; qualities become distances as in its own command."""

    name: str = "jxl"
    suffix: str = ".jxl"
    qualities: range = range(1, 101)
    carries_metadata: bool = False
    effort: int = 7

    def with_metadata(self, data: bytes, quality: int, picture: Tensor, of: Picture) -> bytes:
        return data

    def encode(self, picture: Tensor, quality: int) -> bytes:
        import imagecodecs

        if quality >= 30:
            distance = 0.1 + (100 - quality) * 0.09
        else:
            distance = 53 / 3000 * quality**2 - 23 / 20 * quality + 25
        array = np.ascontiguousarray(picture.permute(1, 2, 0).numpy())
        array = array[..., 0] if array.shape[2] == 1 else array
        distance = min(distance, 25.0)
        try:
            data = imagecodecs.jpegxl_encode(
                array, distance=distance, effort=self.effort, numthreads=1
            )
        except (RuntimeError, ValueError) as error:
            raise EncodingError(f"jxl cannot encode this picture ({error})") from error
        return bytes(data)

    def decode(self, data: bytes) -> Tensor:
        import imagecodecs

        array = imagecodecs.jpegxl_decode(data, numthreads=1)
        array = array[..., None] if array.ndim == 2 else array
        return torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1)


@dataclass(frozen=True)
class OwnEncoder:
    """This project's codec, see `codec.picture`."""

    name: str = "dfc"
    suffix: str = ".dfc"
    qualities: range = QUALITIES
    mode: str = "perceptual"
    filter: str = "edge"
    effort: str = "full"
    device: str = "cpu"
    carries_metadata: bool = True

    def settings(self, quality: int) -> Settings:
        return Settings(quality, self.mode, False, self.filter, self.effort)

    def encode(self, picture: Tensor, quality: int) -> bytes:
        (data,) = picture_codec.encode(
            [picture], quality, mode=self.mode, filter=self.filter, effort=self.effort,
            device=self.device,
        )  # fmt: skip
        return data

    def with_metadata(self, data: bytes, quality: int, picture: Tensor, of: Picture) -> bytes:
        return picture_codec.with_metadata(data, picture_codec.Metadata(of.exif, of.profile))

    def decode(self, data: bytes) -> Tensor:
        return picture_codec.decode([data], device=self.device)[0]

    def preview(self, pictures: list[Tensor], qualities: list[int]) -> list[Tensor]:
        """What would be decoded, without coding a bit: pictures of any sizes, one quality each."""
        settings = [self.settings(quality) for quality in qualities]
        return picture_codec.preview(pictures, settings, device=self.device)


_AVIF: tuple[tuple[str, object], ...] = (
    ("subsampling", "4:2:0"),
    ("speed", 6),
    ("codec", "aom"),
    ("max_threads", 1),
)
_BY_NAME: dict[str, Callable[[], Encoder]] = {
    "jpeg": lambda: PillowEncoder(
        "jpeg", ".jpg", "JPEG", (("subsampling", "4:2:0"), ("optimize", True))
    ),
    "jpeg_baseline": lambda: PillowEncoder(
        "jpeg_baseline", ".jpg", "JPEG", (("subsampling", "4:2:0"),)
    ),
    "webp": lambda: PillowEncoder("webp", ".webp", "WEBP", (("method", 6),)),
    "avif": lambda: PillowEncoder("avif", ".avif", "AVIF", _AVIF),
    "avif_444": lambda: PillowEncoder(
        "avif_444", ".avif", "AVIF", (*_AVIF[1:], ("subsampling", "4:4:4"))
    ),
    "jxl": JpegXlEncoder,
    "dfc": OwnEncoder,
}
NAMES = tuple(_BY_NAME)


def encoder(name: str) -> Encoder:
    """An encoder by name: one out of NAMES.

    Raises:
        ValueError: no such encoder, or the libraries here cannot do it.
    """
    if name not in _BY_NAME:
        raise ValueError(f"expected a format out of {', '.join(NAMES)}, got {name!r}")
    if name.startswith("avif") and not features.check("avif"):
        raise ValueError("expected a Pillow that writes AVIF")
    return _BY_NAME[name]()


def encode_lossless(name: str, picture: Tensor) -> bytes:
    """`PNG` (optimised), `WebP lossless` or `JPEG XL lossless` of a picture.

    Raises:
        ValueError: another name.
    """
    buffer = io.BytesIO()
    if name == "PNG":
        _to_image(picture).save(buffer, "PNG", optimize=True)
    elif name == "WebP lossless":
        _to_image(picture).save(buffer, "WEBP", lossless=True, quality=100, method=6)
    elif name == "JPEG XL lossless":
        import imagecodecs

        array = np.ascontiguousarray(picture.permute(1, 2, 0).numpy())
        return bytes(imagecodecs.jpegxl_encode(array, lossless=True, effort=7, numthreads=1))
    else:
        raise ValueError(f"expected PNG, WebP lossless or JPEG XL lossless, got {name!r}")
    return buffer.getvalue()


def _to_image(picture: Tensor) -> Image.Image:
    array = picture.permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)


def _from_image(image: Image.Image) -> Tensor:
    array = np.array(image if image.mode == "L" else image.convert("RGB"))
    array = array[..., None] if array.ndim == 2 else array
    return torch.from_numpy(array).permute(2, 0, 1)
