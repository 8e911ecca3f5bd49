"""Pictures that are stored instead of their files: streams of this codec, predicted where smaller.

What comes back is the picture at the quality that was asked for, not the file.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from codec.files import eight_bits
from codec.picture import decode, exact, preview
from codec.pictures.jpeg_source import jpeg_source
from codec.pictures.picture import PictureError
from codec.pictures.picture_files import picture_of
from codec.prediction.chain import hash_of
from codec.reading import open_stream
from codec.search.criteria import Criterion
from codec.search.scores import SCORES
from codec.settings import QUALITIES, Settings
from codec.smallest import smallest
from codec.stream_metadata import read_metadata, with_metadata, with_metadata_of

MOST_DRIFT = 0.3  # dB that a picture may lose by being coded anew, however often
_LEAST_LEFT = 1e-4  # of that, as a share of the error, before nothing may be lost any more


class CodedPicture(NamedTuple):
    """A picture as a stream.

    Attributes:
        data: the bytes.
        reference: hash of the exact planes that it is predicted from, or None.
        planes: hash of its own.
        psnr: in dB, to what was given; None where every pixel comes back.
    """

    data: bytes
    reference: bytes | None
    planes: bytes
    psnr: float | None


@dataclass(frozen=True)
class PictureCoding:
    """How pictures are stored.

    Attributes:
        settings: see there; with criteria, its quality does not matter.
        criteria: scores to reach, see `codec.search.criteria.at_least`.
        device: where to compute.
    """

    settings: Settings = field(default_factory=Settings)
    criteria: Sequence[Criterion] | None = None
    device: str = "cpu"

    def finer(self, steps: int) -> "PictureCoding | None":
        """The same with a quality that is higher by so many, or None where there is none to raise:
        without loss, at the top, or where a score says what is enough."""
        quality = self.settings.quality + steps
        if self.criteria is not None or self.settings.lossless or quality not in QUALITIES:
            return None
        return replace(self, settings=self.settings._replace(quality=quality))

    def code(
        self, data: bytes, path: Path, references: Mapping[bytes, Tensor] | None = None
    ) -> CodedPicture | None:
        """The picture of a file as a stream, or None where this codec has no room for it.

        Args:
            data: the bytes of the file.
            path: its name, for messages.
            references: exact planes by their hash, which it may be predicted from.
        """
        try:
            picture = picture_of(data, path, keep_profile=True)
            pixels = eight_bits(picture, path)
        except PictureError:
            return None
        source = None if self.criteria is None else jpeg_source(data)
        found = smallest(pixels, self.settings, self.criteria, references, source, self.device)
        return self._finished(with_metadata_of(found.data, picture), pixels, references)

    def code_again(
        self,
        stream: bytes,
        known: Mapping[bytes, Tensor],
        references: Mapping[bytes, Tensor],
        goal: float | None,
    ) -> CodedPicture:
        """A stored picture as another stream, at the lowest quality that loses little enough.

        Args:
            stream: of the picture.
            known: what that stands on.
            references: what the new one may stand on.
            goal: PSNR in dB of the new one to the old one; None is lossless.
        """
        (pixels,) = decode([stream], references=known, device=self.device)
        metadata = read_metadata(stream)[1]
        low, high = QUALITIES[0], QUALITIES[-1] + 1  # the last one stands for lossless
        while low < high:
            middle = (low + high) // 2
            (shown,) = preview([pixels], [self._at(middle)], device=self.device)
            if goal is not None and SCORES["psnr"].measure(pixels, shown) >= goal:
                high = middle
            else:
                low = middle + 1
        found = smallest(pixels, self._at(low), None, references, None, self.device)
        return self._finished(with_metadata(found.data, metadata), pixels, references)

    def _at(self, quality: int) -> Settings:
        """Settings of a quality; of one past the best, lossless ones."""
        lossless = quality not in QUALITIES
        kept = min(quality, QUALITIES[-1])
        return self.settings._replace(quality=kept, lossless=lossless, mode="mse")

    def _finished(
        self, data: bytes, pixels: Tensor, references: Mapping[bytes, Tensor] | None
    ) -> CodedPicture:
        known = references or {}
        (planes,) = exact([data], references=known, device=self.device)
        (shown,) = decode([data], references=known, device=self.device)
        reached = SCORES["psnr"].measure(pixels, shown)
        prediction = open_stream(data).prediction
        reference = None if prediction is None else prediction.reference
        loss = None if math.isinf(reached) else reached
        return CodedPicture(data, reference, hash_of(planes), loss)


def allowed(psnr: float, drift: float) -> float | None:
    """PSNR in dB that a picture has to keep to itself when it is coded anew; None is all of it.

    Half of what is left of MOST_DRIFT may be used, so that there is always some left. Errors add up
    as independent ones do.

    Args:
        psnr: to what was added.
        drift: dB that it is worse since.
    """
    left = 10 ** (MOST_DRIFT / 10) - 10 ** (drift / 10)
    return psnr - 10 * math.log10(left / 2) if left > _LEAST_LEFT else None


def drifted(psnr: float, drift: float, again: float) -> float:
    """The drift in dB after a picture was coded anew with that PSNR to itself."""
    return 10 * math.log10(10 ** (drift / 10) + 10 ** ((psnr - again) / 10))
