"""The prediction of a JPEG file from other files."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from codec.align.search import Reference, quick_for_planes
from codec.jpeg.blocks import Guess, guess_of, planes_of
from codec.jpeg.coefficients import JpegFile, read_jpeg
from codec.prediction.chain import Prediction, hash_of
from codec.residual.quantise import WEIGHTINGS, steps
from codec.residual.transform import FRACTION

_DETAIL = slice(1, 15)  # frequencies whose steps stand for a file's


class BestGuess(NamedTuple):
    """How a file is predicted best.

    Attributes:
        number: of the reference.
        prediction: see there; its hash is that of the reference's planes.
        guesses: of the components.
    """

    number: int
    prediction: Prediction
    guesses: list[Guess]


class Opened(NamedTuple):
    """A file, its planes, and the hash of those."""

    file: JpegFile
    reference: Reference
    name: bytes

    @property
    def planes(self) -> Tensor:
        """(C, H, W) int32 in 1/16 grey level."""
        return self.reference.planes


@lru_cache(maxsize=2)
def opened(data: bytes) -> Opened:
    """A file taken apart, as references are: often the same one for many files.

    Raises:
        UnknownJpeg: it is none that can be.
    """
    file = read_jpeg(data)
    planes = planes_of(file)
    return Opened(file, Reference(planes), hash_of(planes))


def best_guess(file: JpegFile, references: Sequence[Opened]) -> BestGuess | None:
    """The prediction that a trial finds cheapest, or None where it finds none that helps."""
    candidates = {one.name: one.reference for one in references}
    numbers = {one.name: number for number, one in enumerate(references)}
    found = quick_for_planes(planes_of(file), candidates, step_of(file), WEIGHTINGS["mse"])
    if found is None:
        return None
    name = found.prediction.reference
    return BestGuess(numbers[name], found.prediction, guess_of(found.planes, file.components))


def step_of(file: JpegFile) -> int:
    """The step index of this codec that is nearest to a file's luma."""
    detail = torch.from_numpy(file.components[0].steps)[_DETAIL]
    wanted = float(detail.double().log().mean().exp())
    known = torch.tensor(steps()).double() / 2**FRACTION
    return int((known.log() - torch.tensor(wanted).log()).abs().argmin())
