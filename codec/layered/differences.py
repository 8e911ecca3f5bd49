"""Coders of what a level adds to the one below: this project's, and those of US 2018/0007375.

Axes: C plane, H W pixels.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from codec.container import MAGIC, FormatError, Section, pack_section, unpack
from codec.layered.bases import decode_picture
from codec.layered.tags import Tag, unpack_tag
from codec.picture import decode, encode, exact
from codec.pictures.colour import LUMA_WEIGHTS
from codec.pictures.layout import to_image
from codec.planes import from_planes, to_planes
from codec.prediction.chain import Predicted, Prediction, hash_of
from codec.prediction.upsample import Upsample
from codec.settings import Settings

LOSSLESS = 101  # stands above every quality
_ZIP = b"PK\x03\x04"
JPEG = b"\xff\xd8"
_INSIDE = "difference"  # the name in a zip file
_BROKEN_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    KeyError,
    OSError,
    RuntimeError,
    EOFError,
    ValueError,
)
_TAGGED = b"layer "
_NO_BLOCK = "difference: expected a .dfc, .jpg or .zip file"


class Guess(NamedTuple):
    """What is known of a block before its difference.

    Attributes:
        reference: (C, h, w) int32 exact planes of the part of the level below that it stands on.
        step: how they are enlarged.
        size: H and W of the block.
        source: what an encoder enlarges instead, in open loop; None is the reference.
        luma_only: whether chroma stays as predicted.
    """

    reference: Tensor
    step: Upsample
    size: tuple[int, int]
    source: Tensor | None = None
    luma_only: bool = False

    def planes(self) -> Tensor:
        """(C, H, W) int32 in 1/16 grey level."""
        return self.step(self.reference if self.source is None else self.source, self.size)

    def pixels(self) -> Tensor:
        """(C, H, W) int32 grey levels, 0 .. 255."""
        return from_planes(self.planes()[None])[0].int()


class Coder(Protocol):
    """Codes the differences of blocks (C, H, W) uint8."""

    @property
    def suffix(self) -> str:
        """Of files."""

    @property
    def offset(self) -> int:
        """That differences are clamped to and shifted by; 0 if they are not."""

    @property
    def names_reference(self) -> bool:
        """Whether streams say what they stand on."""

    @property
    def quality(self) -> int:
        """Of the differences, 1 to 100; LOSSLESS where nothing is lost."""

    def encode(self, pixels: Sequence[Tensor], guesses: Sequence[Guess]) -> list[bytes]:
        """The streams of blocks."""

    def with_tag(self, data: bytes, tag: Tag) -> bytes:
        """A stream that says what it is, which other programs pass over."""

    def exact(self, streams: Sequence[bytes], guesses: Sequence[Guess]) -> list[Tensor]:
        """The exact planes (C, H, W) int32 of blocks.

        Raises:
            FormatError: broken data, or a guess that the encoder did not have.
        """

    def show(self, streams: Sequence[bytes], guesses: Sequence[Guess]) -> list[Tensor]:
        """Their pixels; errors as of `exact`."""


@dataclass(frozen=True)
class OwnCoder:
    """Differences as predicted pictures of this codec.

    Attributes:
        settings: how they are coded.
        device: where to compute.
    """

    settings: Settings = field(default_factory=Settings)
    device: str = "cpu"
    suffix: ClassVar[str] = ".dfc"
    offset: ClassVar[int] = 0
    names_reference: ClassVar[bool] = True

    @property
    def quality(self) -> int:
        return LOSSLESS if self.settings.lossless else self.settings.quality

    def encode(self, pixels: Sequence[Tensor], guesses: Sequence[Guess]) -> list[bytes]:
        every = [
            Predicted(
                # Contexts must not see what a decoder has not, so an open loop has no hints.
                Prediction(
                    hash_of(guess.reference), (guess.step,), guess.source is None, guess.luma_only
                ),
                guess.planes(),
            )
            for guess in guesses
        ]
        return encode(pixels, **self.settings._asdict(), device=self.device, predictions=every)

    def with_tag(self, data: bytes, tag: Tag) -> bytes:
        return data + pack_section(Section.LAYER, tag.pack())

    def exact(self, streams: Sequence[bytes], guesses: Sequence[Guess]) -> list[Tensor]:
        return exact(streams, references=_references(guesses), device=self.device)

    def show(self, streams: Sequence[bytes], guesses: Sequence[Guess]) -> list[Tensor]:
        return decode(streams, references=_references(guesses), device=self.device)


@dataclass(frozen=True)
class OffsetCoder:
    """Paragraphs 112-117: differences in RGB, clamped to an offset and shifted by it, as JPEG.

    Attributes:
        offset: 1 to 127; 16 to 64 are preferred.
        quality: of the JPEG, 1 to 100.
    """

    offset: int = 32
    quality: int = 80
    suffix: ClassVar[str] = ".jpg"
    names_reference: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 < self.offset < 128:
            raise ValueError(f"expected an offset from 1 to 127, got {self.offset}")

    def encode(self, pixels: Sequence[Tensor], guesses: Sequence[Guess]) -> list[bytes]:
        found = []
        for own, guess in zip(pixels, guesses, strict=True):
            shifted = clamp_and_shift(difference(own, guess), self.offset)
            buffer = io.BytesIO()
            to_image(shifted).save(buffer, "JPEG", quality=self.quality, optimize=True)
            found.append(buffer.getvalue())
        return found

    def with_tag(self, data: bytes, tag: Tag) -> bytes:
        """With a comment, right behind the start of the image."""
        comment = _TAGGED + tag.pack()
        size = (len(comment) + 2).to_bytes(2, "big")
        return data[:2] + b"\xff\xfe" + size + comment + data[2:]

    def exact(self, streams: Sequence[bytes], guesses: Sequence[Guess]) -> list[Tensor]:
        return [to_planes(shown[None])[0] for shown in self.show(streams, guesses)]

    def show(self, streams: Sequence[bytes], guesses: Sequence[Guess]) -> list[Tensor]:
        return [
            _sum(decode_picture(data).int() - self.offset, guess)
            for data, guess in zip(streams, guesses, strict=True)
        ]


@dataclass(frozen=True)
class ZipCoder:
    """Paragraph 120: differences in RGB as they are, in a zip file."""

    suffix: ClassVar[str] = ".zip"
    offset: ClassVar[int] = 0
    names_reference: ClassVar[bool] = False
    quality: ClassVar[int] = LOSSLESS

    def encode(self, pixels: Sequence[Tensor], guesses: Sequence[Guess]) -> list[bytes]:
        found = []
        for own, guess in zip(pixels, guesses, strict=True):
            buffer = io.BytesIO()
            raw = difference(own, guess).numpy().astype("<i2").tobytes()
            with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
                archive.writestr(zipfile.ZipInfo(_INSIDE), raw, zipfile.ZIP_DEFLATED)
            found.append(buffer.getvalue())
        return found

    def with_tag(self, data: bytes, tag: Tag) -> bytes:
        buffer = io.BytesIO(data)
        with zipfile.ZipFile(buffer, "a") as archive:
            archive.comment = _TAGGED + tag.pack()
        return buffer.getvalue()

    def exact(self, streams: Sequence[bytes], guesses: Sequence[Guess]) -> list[Tensor]:
        return [to_planes(shown[None])[0] for shown in self.show(streams, guesses)]

    def show(self, streams: Sequence[bytes], guesses: Sequence[Guess]) -> list[Tensor]:
        return [_unzipped(*one) for one in zip(streams, guesses, strict=True)]


def coder_of(data: bytes, offset: int) -> Coder:
    """What decodes a block.

    Raises:
        FormatError: nothing does.
    """
    if data.startswith(MAGIC):
        return OwnCoder()
    if data.startswith(_ZIP):
        return ZipCoder()
    if data.startswith(JPEG):
        try:
            return OffsetCoder(offset)
        except ValueError as error:
            raise FormatError(f"difference: {error}") from error
    raise FormatError(_NO_BLOCK)


def tag_of(data: bytes) -> Tag | None:
    """What a block says of itself, or None.

    Raises:
        FormatError: broken data.
    """
    if data.startswith(MAGIC):
        packed = unpack(data).get(Section.LAYER)
        return None if packed is None else unpack_tag(packed)
    if data.startswith(_ZIP):
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                comment = archive.comment
        except _BROKEN_ZIP as error:
            raise FormatError(f"difference: {error}") from error
    elif data.startswith(JPEG):
        is_comment = data[2:4] == b"\xff\xfe"
        comment = data[6 : 4 + int.from_bytes(data[4:6], "big")] if is_comment else b""
    else:
        raise FormatError(_NO_BLOCK)
    return unpack_tag(comment[len(_TAGGED) :]) if comment.startswith(_TAGGED) else None


def clamp_and_shift(difference: Tensor, offset: int) -> Tensor:
    """Differences limited to -offset .. offset, plus offset: uint8 in 0 .. 2 offset.

    US 2018/0007375, paragraphs 114-115: with an offset of 16, -20 and 10 become 0 and 26.
    """
    return (difference.clamp(-offset, offset) + offset).to(torch.uint8)


def difference(pixels: Tensor, guess: Guess) -> Tensor:
    """(C, H, W) int32, the first image less the third; (1, H, W) of luma if chroma is left out.

    Paragraph 115 has it the other way round, which the sum of paragraph 136 would not undo.
    """
    found = pixels.int() - guess.pixels()
    if not guess.luma_only:
        return found
    weights = torch.tensor(LUMA_WEIGHTS)[:, None, None]
    return (found * weights).sum(0, keepdim=True).round().int()


def _sum(found: Tensor, guess: Guess) -> Tensor:
    """(C, H, W) uint8: a difference put back; one of luma counts in every channel."""
    shown = guess.pixels()
    if found.shape[1:] != shown.shape[1:] or len(found) not in (1, len(shown)):
        shapes = f"{tuple(shown.shape)}, got {tuple(found.shape)}"
        raise FormatError(f"difference: expected {shapes}")
    return (found + shown).clamp(0, 255).to(torch.uint8)


def _unzipped(data: bytes, guess: Guess) -> Tensor:
    planes = 1 if guess.luma_only else len(guess.reference)
    shape = (planes, *guess.size)
    wanted = 2 * planes * guess.size[0] * guess.size[1]
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open(_INSIDE) as file:
            raw = file.read(wanted + 1)
    except _BROKEN_ZIP as error:
        raise FormatError(f"difference: {error}") from error
    if len(raw) != wanted:
        raise FormatError(f"difference: expected {wanted} bytes, got {len(raw)}")
    return _sum(torch.from_numpy(np.frombuffer(raw, "<i2").reshape(shape).astype(np.int32)), guess)


def _references(guesses: Sequence[Guess]) -> dict[bytes, Tensor]:
    return {hash_of(guess.reference): guess.reference for guess in guesses}
