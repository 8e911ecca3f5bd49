"""What a picture is predicted from, and how: a reference and a chain of steps.

    prediction = Prediction(hash_of(reference), (Warp(corners), Motion(vectors), Tone(curve)))
    planes = prediction(reference, (height, width))

Axes: C plane, H W pixels of the picture, h w pixels of the reference.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from codec.container import FormatError
from codec.prediction.alpha import Alpha
from codec.prediction.grade import Grade
from codec.prediction.interpolation import LIMIT
from codec.prediction.motion import Motion
from codec.prediction.tone import Tone
from codec.prediction.upsample import Upsample
from codec.prediction.warp import Warp
from codec.residual.exact import exact_arithmetic
from codec.varint import VarintError, pack_varint, unpack_varint

HASH_BYTES = 16
_MOST_STEPS = 8
_HINTS, _KEEPS_CHROMA = 1, 2  # bits of the flags


class Step(Protocol):
    """One step of a chain: planes in, planes out, in integers that are equal on every device."""

    TAG: ClassVar[int]  # stands in streams, never used anew

    def __call__(self, planes: Tensor, size: tuple[int, int]) -> Tensor:
        """(C, h, w) int32 in 1/16 grey level, within LIMIT -> (C, H, W) int32.

        Raises:
            FormatError: planes that the step cannot have been made for.
        """

    def pack(self) -> bytes: ...

    @classmethod
    def unpack(cls, data: bytes) -> Self: ...


STEPS: dict[int, type[Step]] = {
    step.TAG: step for step in (Upsample, Warp, Tone, Grade, Motion, Alpha)
}


@dataclass(frozen=True)
class Prediction:
    """A prediction of one picture; call it on the exact planes of its reference.

    Attributes:
        reference: the first HASH_BYTES of the SHA-256 of those planes, see `hash_of`.
        steps: applied in their order.
        hints: whether the contexts of the residual look at the prediction: -8 to +7 % in bytes.
        keeps_chroma: whether chroma stays as predicted and luma alone is coded.
    """

    reference: bytes
    steps: Sequence[Step] = ()
    hints: bool = False
    keeps_chroma: bool = False

    @exact_arithmetic()
    def __call__(self, planes: Tensor, size: tuple[int, int]) -> Tensor:
        """(C, h, w) int32 -> (C, H, W) int32, both in 1/16 grey level.

        Raises:
            FormatError: the steps do not lead to this size.
        """
        planes = planes.int().clamp(-LIMIT, LIMIT)
        for step in self.steps:
            planes = step(planes, size).clamp_(-LIMIT, LIMIT)
        if tuple(planes.shape[1:]) != size:
            raise FormatError(
                f"prediction: expected {size[1]}x{size[0]} pixels, "
                f"got {planes.shape[2]}x{planes.shape[1]}"
            )
        return planes

    def pack(self) -> bytes:
        flags = _HINTS * self.hints | _KEEPS_CHROMA * self.keeps_chroma
        parts = [self.reference, bytes([flags])]
        for step in self.steps:
            data = step.pack()
            parts += [bytes([step.TAG]), pack_varint(len(data)), data]
        return b"".join(parts)


def unpack_prediction(data: bytes) -> Prediction:
    """Inverse of `Prediction.pack`.

    Raises:
        FormatError: not what it made.
    """
    reference, at = data[:HASH_BYTES], HASH_BYTES + 1
    if len(data) < at or data[HASH_BYTES] & ~(_HINTS | _KEEPS_CHROMA):
        raise FormatError("prediction: expected a hash and known flags")
    steps: list[Step] = []
    while at < len(data):
        tag = data[at]
        try:
            size, at = unpack_varint(data, at + 1)
        except VarintError as error:
            raise FormatError(f"prediction: {error}") from error
        if tag not in STEPS or len(steps) == _MOST_STEPS or at + size > len(data):
            raise FormatError(f"prediction: expected at most {_MOST_STEPS} known steps, got {tag}")
        steps.append(STEPS[tag].unpack(data[at : at + size]))
        at += size
    flags = data[HASH_BYTES]
    return Prediction(reference, tuple(steps), bool(flags & _HINTS), bool(flags & _KEEPS_CHROMA))


def hash_of(planes: Tensor) -> bytes:
    """What names exact planes (C, H, W) in 1/16 grey level, whatever file they came from."""
    shape = "x".join(map(str, planes.shape))
    samples = planes.clamp(-(1 << 15), (1 << 15) - 1).to("cpu", torch.int16).contiguous()
    return hashlib.sha256(shape.encode() + samples.numpy().tobytes()).digest()[:HASH_BYTES]


def is_exact(planes: object) -> bool:
    """Whether something may be exact planes (C, H, W)."""
    return isinstance(planes, Tensor) and planes.dim() == 3 and planes.dtype == torch.int32


class Predicted(NamedTuple):
    """A prediction and what it says of a picture: (C, H, W) int32 planes in 1/16 grey level."""

    prediction: Prediction
    planes: Tensor

    def hinted(self) -> "Predicted":
        """The same whose contexts look at the prediction: which is smaller, bytes alone tell."""
        return self._replace(prediction=replace(self.prediction, hints=True))


class MissingReference(FormatError):
    """The picture that another one is predicted from is not at hand."""


def predict(
    prediction: Prediction,
    references: Mapping[bytes, Tensor],
    shape: tuple[int, int, int],
    device: torch.device | str = "cpu",
) -> Predicted:
    """A picture of C, H and W as a prediction has it.

    Args:
        prediction: what to do.
        references: exact planes (c, h, w) by their hash, see `codec.exact`.
        shape: of what is coded; a grey picture takes the luma of a reference in colour.
        device: where to compute; the result is the same everywhere.

    Raises:
        MissingReference: the reference is not there.
        FormatError: it is another one, or does not fit.
    """
    planes = references.get(prediction.reference)
    name = prediction.reference.hex()
    if planes is None:
        raise MissingReference(f"needs the picture {name}, which it is predicted from")
    if not is_exact(planes) or hash_of(planes) != prediction.reference:
        raise FormatError(f"needs the picture {name}, which it is predicted from, got another one")
    found = prediction(planes.to(device), shape[1:])
    return Predicted(prediction, fit_planes(found, 3 if prediction.keeps_chroma else shape[0]))


def fit_planes(planes: Tensor, count: int) -> Tensor:
    """Planes (c, H, W) as so many: luma alone, or with chroma that is zero."""
    if len(planes) < count:
        planes = F.pad(planes, (0, 0, 0, 0, 0, count - len(planes)))
    return planes[:count]
