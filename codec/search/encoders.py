"""Encoders behind one small protocol, so that search and reports drive all of them alike.

A quality is a whole number on the encoder's own scale; higher is better and larger.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
from PIL import Image, features
from torch import Tensor

from codec import picture as picture_codec
from codec import stream_metadata
from codec.pictures.exif import without_orientation
from codec.pictures.jpeg_source import JpegSource
from codec.pictures.layout import from_array, to_array, to_image
from codec.pictures.metadata_formats import save_options
from codec.pictures.picture import Picture
from codec.prediction.chain import Predicted
from codec.settings import QUALITIES, Settings

DEFAULT_SETTINGS = Settings()


class EncodingError(ValueError):
    """A picture that an encoder refuses, such as one with sides that are too long for it."""


class Probed(NamedTuple):
    """A picture as it comes back, (C, H, W) uint8, and the file where one was written for that."""

    decoded: Tensor
    data: bytes | None


class Encoder(Protocol):
    """Pictures (C, H, W) uint8 to files and back."""

    @property
    def name(self) -> str: ...

    @property
    def file_format(self) -> str:
        """The name under which `codec.pictures.metadata_formats` knows what has room in it."""

    @property
    def suffix(self) -> str: ...

    @property
    def device(self) -> str:
        """Where it computes."""

    @property
    def qualities(self) -> Sequence[int]:
        """Rising; those that mean the same to the encoder stand there once, as the lowest."""

    @property
    def carries_metadata(self) -> bool:
        """Whether EXIF and profile go into the file; if not, pixels have to be sRGB."""

    @property
    def carries_orientation(self) -> bool:
        """Whether pixels may lie as in their source; if not, they have to be upright."""

    @property
    def full_chroma(self) -> "Encoder | None":
        """The same with chroma at full size, for one that halves it; None where there is none."""

    @property
    def is_quick(self) -> bool:
        """Whether encoding costs next to nothing beside measuring a score."""

    def quality_of(self, source: JpegSource) -> int | None:
        """The quality that quantises just as a JPEG file was; None where there is none."""

    def probe(self, picture: Tensor, quality: int) -> Probed:
        """Code and decode, at the least cost."""

    def encode(self, picture: Tensor, quality: int, like: Picture | None = None) -> bytes:
        """A file.

        Raises:
            EncodingError: the encoder refuses such a picture.
        """

    def encode_lossless(self, picture: Tensor, like: Picture | None = None) -> bytes | None:
        """A file that gives every pixel back; None where the format has none."""

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
        lossless_options: what it takes for a lossless file; None where there is none.
        full_chroma: see `Encoder`.
        carries_orientation: see `Encoder`.
        is_quick: see `Encoder`.
        other_options: of files with the same pixels, which replace the others where that is
            smaller.
    """

    name: str
    suffix: str
    file_format: str
    options: tuple[tuple[str, object], ...]
    qualities: Sequence[int] = range(1, 101)
    lossless_options: tuple[tuple[str, object], ...] | None = None
    full_chroma: "PillowEncoder | None" = None
    carries_orientation: bool = True
    carries_metadata: bool = True
    is_quick: bool = False
    other_options: tuple[tuple[str, object], ...] = ()
    device: ClassVar[str] = "cpu"

    @property
    def _chroma(self) -> object:
        return dict(self.options).get("subsampling")

    def quality_of(self, source: JpegSource) -> int | None:
        same = self.file_format == "JPEG" and source.chroma in ("grey", self._chroma)
        return source.quality if same else None

    def probe(self, picture: Tensor, quality: int) -> Probed:
        data = self.encode(picture, quality)
        return Probed(self.decode(data), data)

    def encode(self, picture: Tensor, quality: int, like: Picture | None = None) -> bytes:
        options = {**dict(self.options), "quality": quality}
        data = self._save(picture, options, like)
        if not self.other_options:
            return data
        return min(
            data, self._save(picture, {**options, **dict(self.other_options)}, like), key=len
        )

    def encode_lossless(self, picture: Tensor, like: Picture | None = None) -> bytes | None:
        if self.lossless_options is None:
            return None
        return self._save(picture, dict(self.lossless_options), like)

    def _save(self, picture: Tensor, options: dict[str, object], like: Picture | None) -> bytes:
        extra = {} if like is None else save_options(self._carried(like), self.file_format)
        buffer = io.BytesIO()
        try:
            to_image(picture).save(buffer, self.file_format, **options, **extra)
        except (OSError, RuntimeError, ValueError) as error:
            raise EncodingError(f"{self.name} cannot encode this picture ({error})") from error
        return buffer.getvalue()

    def _carried(self, like: Picture) -> Picture:
        """What of its metadata goes into this format as it is."""
        if like.exif and not self.carries_orientation:
            like = replace(like, exif=without_orientation(like.exif))
        if like.profile and like.profile[16:20] == b"GRAY" and self.file_format != "JPEG":
            like = replace(like, profile=None)  # these formats have no grey
        return like

    def decode(self, data: bytes) -> Tensor:
        image = Image.open(io.BytesIO(data))
        return from_array(np.array(image if image.mode == "L" else image.convert("RGB")))


@dataclass(frozen=True)
class JpegXlEncoder:
    """libjxl through imagecodecs; qualities become distances as in its own command."""

    name: str = "jxl"
    file_format: str = "JPEG XL"
    suffix: str = ".jxl"
    qualities: Sequence[int] = range(1, 101)
    carries_metadata: bool = False
    carries_orientation: bool = False
    effort: int = 7
    full_chroma: None = None
    is_quick: bool = False
    device: ClassVar[str] = "cpu"

    def quality_of(self, source: JpegSource) -> int | None:
        return None

    def probe(self, picture: Tensor, quality: int) -> Probed:
        data = self.encode(picture, quality)
        return Probed(self.decode(data), data)

    def encode(self, picture: Tensor, quality: int, like: Picture | None = None) -> bytes:
        if quality >= 30:
            distance = 0.1 + (100 - quality) * 0.09
        else:
            distance = 53 / 3000 * quality**2 - 23 / 20 * quality + 25
        return self._encode(picture, distance=min(distance, 25.0), lossless=False)

    def encode_lossless(self, picture: Tensor, like: Picture | None = None) -> bytes | None:
        return self._encode(picture, distance=None, lossless=True)

    def _encode(self, picture: Tensor, distance: float | None, lossless: bool) -> bytes:
        import imagecodecs

        array = to_array(picture)
        array = array[..., 0] if array.shape[2] == 1 else array
        try:
            data = imagecodecs.jpegxl_encode(
                array, distance=distance, lossless=lossless, effort=self.effort, numthreads=1
            )
        except (RuntimeError, ValueError) as error:
            raise EncodingError(f"jxl cannot encode this picture ({error})") from error
        return bytes(data)

    def decode(self, data: bytes) -> Tensor:
        import imagecodecs

        return from_array(imagecodecs.jpegxl_decode(data, numthreads=1))


@dataclass(frozen=True)
class OwnEncoder:
    """This project's codec, see `codec.picture`."""

    name: str = "dfc"
    file_format: str = "DFC"
    suffix: str = ".dfc"
    qualities: Sequence[int] = QUALITIES
    mode: str = "perceptual"
    filter: str = "edge"
    effort: str = "full"
    device: str = "cpu"
    predicted: Predicted | None = None
    carries_metadata: bool = True
    carries_orientation: bool = True
    full_chroma: None = None
    is_quick: bool = False

    @classmethod
    def of(cls, settings: Settings, device: str) -> "OwnEncoder":
        """The encoder of settings, whose quality and lossless mode are none of its own."""
        return cls(
            mode=settings.mode, filter=settings.filter, effort=settings.effort, device=device
        )

    def quality_of(self, source: JpegSource) -> int | None:
        return None

    def settings(self, quality: int) -> Settings:
        return Settings(quality, self.mode, False, self.filter, self.effort)

    def probe(self, picture: Tensor, quality: int) -> Probed:
        return Probed(self.preview([picture], [quality])[0], None)

    def encode(self, picture: Tensor, quality: int, like: Picture | None = None) -> bytes:
        return self._encode(picture, self.settings(quality), like)

    def encode_lossless(self, picture: Tensor, like: Picture | None = None) -> bytes:
        return self._encode(picture, Settings(lossless=True, effort=self.effort), like)

    def _encode(self, picture: Tensor, settings: Settings, like: Picture | None) -> bytes:
        (data,) = picture_codec.encode(
            [picture], **settings._asdict(), device=self.device, predictions=[self.predicted]
        )
        return data if like is None else stream_metadata.with_metadata_of(data, like)

    def decode(self, data: bytes) -> Tensor:
        return picture_codec.decode([data], device=self.device)[0]

    def preview(self, pictures: list[Tensor], qualities: list[int]) -> list[Tensor]:
        """What would be decoded, without coding a bit: pictures of any sizes, one quality each."""
        settings = [self.settings(quality) for quality in qualities]
        every = [self.predicted] * len(pictures)
        return picture_codec.preview(pictures, settings, device=self.device, predictions=every)


_HALF, _FULL = ("subsampling", "4:2:0"), ("subsampling", "4:4:4")
# Of the same pixels a progressive file is 4.4 % smaller: 20 camera files at an SSIM of 0.97. Below
# about 20 kB the other kind is: by 2 to 5 % on photos of half a megapixel at qualities to 55.
_JPEG: tuple[tuple[str, object], ...] = (("optimize", True), ("progressive", True))
_SMALL_JPEG: tuple[tuple[str, object], ...] = (("progressive", False),)
_AVIF: tuple[tuple[str, object], ...] = (("speed", 6), ("codec", "aom"), ("max_threads", 1))


def _jpeg(name: str, chroma: tuple[str, str], full_chroma: PillowEncoder | None) -> PillowEncoder:
    return PillowEncoder(
        name,
        ".jpg",
        "JPEG",
        (chroma, *_JPEG),
        full_chroma=full_chroma,
        is_quick=True,
        other_options=_SMALL_JPEG,
    )


def _avif(name: str, chroma: tuple[str, str], full_chroma: PillowEncoder | None) -> PillowEncoder:
    if not features.check("avif"):
        raise ValueError("expected a Pillow that writes AVIF")
    return PillowEncoder(
        name,
        ".avif",
        "AVIF",
        (chroma, *_AVIF),
        _avif_qualities(),
        full_chroma=full_chroma,
        carries_orientation=False,
    )


@cache
def _avif_qualities() -> tuple[int, ...]:
    """The lowest quality of each quantiser: AVIF has 64 of them, and how libavif spreads them over
    its qualities differs by version, so they are told apart by what they write."""
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    seen: dict[bytes, int] = {}
    for quality in range(1, 101):
        buffer = io.BytesIO()
        Image.fromarray(noise).save(buffer, "AVIF", quality=quality, **dict(_AVIF))
        seen.setdefault(buffer.getvalue(), quality)
    return tuple(seen.values())


_WEBP_LOSSLESS: tuple[tuple[str, object], ...] = (
    ("lossless", True),
    ("quality", 100),
    ("method", 6),
)
_BY_NAME: dict[str, Callable[[], Encoder]] = {
    "jpeg": lambda: _jpeg("jpeg", _HALF, _jpeg("jpeg_444", _FULL, None)),
    "jpeg_444": lambda: _jpeg("jpeg_444", _FULL, None),
    "jpeg_baseline": lambda: PillowEncoder(
        "jpeg_baseline", ".jpg", "JPEG", (_HALF,), is_quick=True
    ),
    "webp": lambda: PillowEncoder(
        "webp", ".webp", "WEBP", (("method", 6),), lossless_options=_WEBP_LOSSLESS
    ),
    "avif": lambda: _avif("avif", _HALF, _avif("avif_444", _FULL, None)),
    "avif_444": lambda: _avif("avif_444", _FULL, None),
    "jxl": JpegXlEncoder,
}
NAMES = (*_BY_NAME, OwnEncoder.name)
_LOSSLESS = {"WebP lossless": "webp", "JPEG XL lossless": "jxl"}


def encoder(name: str, settings: Settings = DEFAULT_SETTINGS, device: str = "cpu") -> Encoder:
    """An encoder by name: one out of NAMES.

    Args:
        name: of the encoder.
        settings, device: of this project's codec, whose quality does not matter here; the others
            have none of them.

    Raises:
        ValueError: no such encoder, or the libraries here cannot do it.
    """
    if name == OwnEncoder.name:
        return OwnEncoder.of(settings, device)
    if name not in _BY_NAME:
        raise ValueError(f"expected a format out of {', '.join(NAMES)}, got {name!r}")
    return _BY_NAME[name]()


def encode_lossless(name: str, picture: Tensor) -> bytes:
    """`PNG` (optimised), `WebP lossless` or `JPEG XL lossless` of a picture.

    Raises:
        ValueError: another name.
    """
    if name == "PNG":
        buffer = io.BytesIO()
        to_image(picture).save(buffer, "PNG", optimize=True)
        return buffer.getvalue()
    if name not in _LOSSLESS:
        raise ValueError(f"expected PNG, WebP lossless or JPEG XL lossless, got {name!r}")
    data = encoder(_LOSSLESS[name]).encode_lossless(picture)
    assert data is not None
    return data


def size_of_png(picture: Tensor) -> int:
    """Bytes of a PNG file of a picture (C, H, W) uint8 that is written quickly."""
    buffer = io.BytesIO()
    to_image(picture).save(buffer, "PNG", compress_level=1)
    return buffer.tell()
