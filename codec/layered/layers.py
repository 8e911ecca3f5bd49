"""Pictures as layers and back: a base, and for every larger level what it adds, block by block.

Axes: C plane, H W pixels.
"""

from typing import NamedTuple

from torch import Tensor

from codec.container import FormatError
from codec.layered.bases import decode_base
from codec.layered.differences import OwnCoder
from codec.layered.geometry import shrink
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
from codec.search.encoders import OwnEncoder, encoder

# By base, the quality with the fewest bytes in all for differences of quality 50, and how much it
# grows with theirs: photos without JPEG traces, at 50, 75 and 90, JPEG at 20 to 85; 15 beside it
# costs 1 to 5 %.
_BASE_QUALITIES = {"jpeg": (37, 0.28), "webp": (60, 0.62), "avif": (45, 0.4), "dfc": (70, 0.6)}


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
    base = _encode_base(pyramid[0], settings, like)
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
    sound: tuple[list[Block], Tensor] | None = None  # the last good level, and what it stands on
    for number in range(1, wanted + 1):
        blocks = [block for block in layers.blocks if block.tag.level == number]
        if not blocks:
            problems.append(f"level {number}: none of its blocks is here")
            break
        try:
            found = (exact_level if number < wanted else show_level)(blocks, planes)
        except OtherLevelBelow:
            if not problems:
                raise
            problems.append(f"level {number}: every block stands on one that could not be used")
            break
        problems += [f"level {number}: {one}" for one in found.problems]
        sound, planes = (blocks, planes), found.samples
    else:
        return Shown(planes if sound else pixels, wanted, problems)
    return Shown(show_level(*sound).samples if sound else pixels, number - 1, problems)


def _encode_base(picture: Tensor, settings: LayerSettings, like: Picture | None) -> bytes:
    """The file of the smallest level, with chroma at full size: halved twice it costs more."""
    own = settings.coder
    writer = encoder(settings.base)
    if settings.base == OwnEncoder.name and isinstance(own, OwnCoder):
        writer = OwnEncoder.of(own.settings, own.device)
    return (writer.full_chroma or writer).encode(picture, base_quality(settings), like)


def base_quality(settings: LayerSettings) -> int:
    """The quality that was asked for, or the one that makes the fewest bytes in all."""
    if settings.base_quality is not None:
        return settings.base_quality
    middle, slope = _BASE_QUALITIES[settings.base]
    return min(100, round(middle + slope * (settings.coder.quality - 50)))
