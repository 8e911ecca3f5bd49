"""Pictures as layers and back: a base, and for every larger level what it adds, block by block.

Axes: C plane, H W pixels.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from codec.align.trial import trial_of
from codec.container import FormatError
from codec.layered.bases import decode_base
from codec.layered.differences import OwnCoder
from codec.layered.geometry import Size, Window, below, shrink
from codec.layered.levels import (
    Below,
    Block,
    OtherLevelBelow,
    encode_level,
    exact_level,
    show_level,
)
from codec.layered.settings import LayerSettings, check_layer_settings
from codec.pictures.picture import Picture
from codec.planes import check_picture, to_planes
from codec.residual.quantise import WEIGHTINGS
from codec.search.encoders import Encoder, OwnEncoder, encoder

# What is tried where no quality of the base is asked for: what it costs, differences save.
_BASE_QUALITIES = {
    "jpeg": (15, 25, 35, 50, 65, 80),
    "webp": (15, 30, 45, 60, 75, 85),
    "avif": (35, 45, 52, 60, 67, 75),
}
_OWN_BELOW = (30, 20, 10, 0)  # qualities of a base of our own below that of the differences


class Layers(NamedTuple):
    """A picture in layers.

    Attributes:
        base: a file of its own.
        blocks: of all levels above it, in their order.
    """

    base: bytes
    blocks: list[Block]

    @property
    def size(self) -> int:
        """Bytes of everything."""
        return len(self.base) + sum(len(block.data) for block in self.blocks)


class Shown(NamedTuple):
    """A level as it was decoded.

    Attributes:
        pixels: (C, H, W) uint8.
        level: which one it is.
        problems: a sentence for each block that could not be used; the level below shows there.
    """

    pixels: Tensor
    level: int
    problems: list[str]


def encode_layers(picture: Tensor, settings: LayerSettings, like: Picture | None = None) -> Layers:
    """A picture in layers.

    Args:
        picture: (3, H, W) RGB or (1, H, W) grey, uint8.
        settings: see `LayerSettings`.
        like: a picture whose metadata the base gets, or None.

    Raises:
        ValueError: settings that do not fit the picture or each other.
    """
    check_picture(picture)
    check_layer_settings(settings)
    pyramid = [picture]
    for _ in range(1, settings.levels):
        pyramid.insert(0, shrink(pyramid[0], settings.ratio, settings.sampling))
    base = _encode_base(pyramid, settings, like)
    _, known = decode_base(base)
    blocks: list[Block] = []
    for level in range(1, settings.levels):
        source = None if settings.closed else to_planes(pyramid[level - 1][None])[0]
        made = encode_level(pyramid[level], Below(known, source), level, settings)
        blocks += made
        if level + 1 < settings.levels:
            known = exact_level(made, known).samples
    return Layers(base, blocks)


def decode_layers(layers: Layers, level: int | None = None) -> Shown:
    """A level of a picture, the largest one unless another is asked for.

    Raises:
        FormatError: a base that cannot be decoded or that decodes to other pixels here than where
            it was written, or a level that there is not.
    """
    pixels, planes = decode_base(layers.base)
    levels = max((block.tag.levels for block in layers.blocks), default=1)
    wanted = levels - 1 if level is None else level
    if not 0 <= wanted < levels:
        raise FormatError(f"expected a level from 0 to {levels - 1}, got {wanted}")
    problems: list[str] = []
    for number in range(1, wanted + 1):
        blocks = [block for block in layers.blocks if block.tag.level == number]
        if not blocks:
            problems.append(f"level {number}: none of its blocks is here")
            break
        try:
            found = show_level(blocks, planes)
            problems += [f"level {number}: {one}" for one in found.problems]
            if number < wanted:
                planes = exact_level(blocks, planes).samples
        except OtherLevelBelow:
            if not problems:
                raise
            problems.append(f"level {number}: every block stands on one that could not be used")
            break
        pixels = found.samples
    else:
        return Shown(pixels, wanted, problems)
    return Shown(pixels, number - 1, problems)


def _encode_base(pyramid: list[Tensor], settings: LayerSettings, like: Picture | None) -> bytes:
    """The file of the smallest level: at the quality asked for, or with the fewest bytes in all."""
    own = settings.coder
    writer = encoder(settings.base)
    if settings.base == OwnEncoder.name and isinstance(own, OwnCoder):
        writer = OwnEncoder.of(own.settings, own.device)
    if settings.base_quality is not None:
        return writer.encode(pyramid[0], settings.base_quality, like)
    rest = _trial(pyramid, settings)

    def total(candidate: tuple[Encoder, int]) -> float:
        one, quality = candidate
        data = one.encode(pyramid[0], quality)
        return len(data) + rest(decode_base(data)[1])

    best, quality = min(_candidates(writer, settings), key=total)
    return best.encode(pyramid[0], quality, like)


def _candidates(writer: Encoder, settings: LayerSettings) -> list[tuple[Encoder, int]]:
    """Bases that are worth a trial: qualities, and chroma at full size and halved."""
    if settings.base == OwnEncoder.name:
        quality = settings.coder.quality
        return [(writer, max(1, quality - below)) for below in _OWN_BELOW]
    writers = [writer] if writer.full_chroma is None else [writer, writer.full_chroma]
    return [(one, quality) for one in writers for quality in _BASE_QUALITIES[settings.base]]


def _trial(pyramid: list[Tensor], settings: LayerSettings) -> Callable[[Tensor], float]:
    """About how many bytes the first difference takes on the exact planes of a base."""
    wanted = to_planes(pyramid[1][None])[0]
    size = Size(pyramid[1].shape[1], pyramid[1].shape[2])
    small = Size(pyramid[0].shape[1], pyramid[0].shape[2])
    step = below(Window(0, 0, *size), small, settings.ratio, settings.kernel).step
    trial = trial_of(wanted, settings.coder.step_index, WEIGHTINGS["mse"])
    return lambda planes: trial.rest(step(planes, size))
