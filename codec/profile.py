"""What both sides of a picture must agree on, made once from settings or from a header."""

from dataclasses import dataclass

import torch

from codec.container import Filter, FormatError, Header, Mode
from codec.prediction.chain import Prediction
from codec.residual.coder import LosslessCoder, ResidualCoder
from codec.residual.context_sets import Contexts, contexts_of, shipped_contexts
from codec.residual.postfilter import PostFilter, postfilter_of, shipped_postfilter
from codec.residual.quantise import WEIGHTINGS
from codec.residual.rans import BYTES_PER_LANE
from codec.settings import MODES, Settings, filter_for, step_of

_BITS = 9  # of a sample, with its sign
_PREDICTED_BITS = 10  # of a difference of two
_LOSSLESS_BITS = 10  # of a reversible colour difference, with its sign
_BYTES_PER_LANE = {"full": BYTES_PER_LANE, "fast": 192}  # 192: 1 % more bytes


@dataclass(frozen=True)
class Profile:
    """How pictures are coded: made of settings by who encodes, of a header by who decodes.

    Attributes:
        planes: 1 grey or 3 colour.
        mode: see `container.Mode`.
        step_index: of the quantisation step.
        filter: what the decoder does at the end.
        networks: the context networks.
        postfilter: the network that `filter` asks for, or None.
        uniform: one transform size instead of the cheapest of three.
        bytes_per_lane: of the entropy coder.
        predicted: whether the picture is what a prediction left over.
        hints: whether contexts look at the prediction.
    """

    planes: int
    mode: Mode
    step_index: int
    filter: Filter
    networks: Contexts
    postfilter: PostFilter | None = None
    uniform: bool = False
    bytes_per_lane: int = BYTES_PER_LANE
    predicted: bool = False
    hints: bool = False

    @property
    def coder(self) -> ResidualCoder:
        bits = _PREDICTED_BITS if self.predicted else _BITS
        return ResidualCoder(self.networks, WEIGHTINGS[self.mode.name.lower()], bits)

    @property
    def lossless(self) -> LosslessCoder:
        return LosslessCoder(self.networks, _LOSSLESS_BITS)

    def header(self, height: int, width: int) -> Header:
        postfilter = 0 if self.postfilter is None else self.postfilter.fingerprint
        return Header(
            height,
            width,
            self.planes,
            self.mode,
            self.step_index,
            self.filter,
            self.networks.fingerprint,
            postfilter,
        )


def profile_of(
    settings: Settings, planes: int, device: torch.device, prediction: Prediction | None = None
) -> Profile:
    """The profile that settings ask for, of a picture alone or of one that is predicted."""
    networks = shipped_contexts("predicted" if prediction else settings.effort, device)
    planes = 1 if prediction is not None and prediction.keeps_chroma else planes
    hints = prediction is not None and prediction.hints
    if settings.lossless:
        return Profile(
            planes, Mode.LOSSLESS, 0, Filter.NONE, networks, predicted=prediction is not None
        )
    filter_ = filter_for(settings, planes)
    return Profile(
        planes,
        MODES[settings.mode],
        step_of(settings.quality, settings.mode),
        filter_,
        networks,
        shipped_postfilter(settings.mode, device) if filter_ == Filter.NETWORK else None,
        settings.effort == "fast",
        _BYTES_PER_LANE[settings.effort],
        prediction is not None,
        hints,
    )


def profile_from(
    header: Header, device: torch.device, prediction: Prediction | None = None
) -> Profile:
    """The profile that a header names.

    Raises:
        FormatError: its networks are not here.
    """
    networks = contexts_of(header.contexts, device)
    if networks is None:
        raise FormatError(f"needs context networks {header.contexts:08x}, which are not here")
    postfilter = None
    if header.filter == Filter.NETWORK and header.mode != Mode.LOSSLESS:
        postfilter = postfilter_of(header.postfilter, device)
        if postfilter is None:
            raise FormatError(f"needs post-filter {header.postfilter:08x}, which is not here")
    return Profile(
        header.planes,
        header.mode,
        header.step_index,
        header.filter,
        networks,
        postfilter,
        predicted=prediction is not None,
        hints=prediction is not None and prediction.hints,
    )
