"""One level of a picture: its blocks from the level below, and the level from its blocks.

Axes: C plane, H W pixels.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from codec.container import FormatError
from codec.layered.differences import Coder, Guess, coder_of
from codec.layered.geometry import MOST_BLOCKS, Size, Window, below, smooth_splices
from codec.layered.settings import LayerSettings, Tags
from codec.layered.tags import Tag, checksum
from codec.planes import from_planes, to_planes
from codec.prediction.chain import MissingReference


class Block(NamedTuple):
    """A difference block: what it is, and its stream."""

    tag: Tag
    data: bytes


class Below(NamedTuple):
    """The level below a level.

    Attributes:
        planes: (C, h, w) int32, exact, as a decoder has them.
        source: what an encoder enlarges instead, in open loop; None is the same.
    """

    planes: Tensor
    source: Tensor | None = None


def encode_level(picture: Tensor, known: Below, level: int, settings: LayerSettings) -> list[Block]:
    """The blocks of one level.

    Args:
        picture: (C, H, W) uint8, the level.
        known: the level below.
        level: its number, from 1.
        settings: see `LayerSettings`.

    Raises:
        ValueError: a division that does not fit the level.
    """
    planes, height, width = picture.shape
    source = None if known.source is None else known.source[:planes]
    known = Below(known.planes[:planes], source)  # a base may have no grey
    tags = _tags(Size(height, width), planes, level, settings)
    whole = _encode_blocks(picture, tags, known, settings)
    if not settings.sub_blocks:
        return whole
    quarters = [
        tag._replace(window=window, part=part)
        for tag in tags
        for part, window in enumerate(tag.window.quarters(), start=1)
    ]
    cut = _encode_blocks(picture, quarters, known, settings)
    blocks = []
    for block in whole:
        parts = [one for one in cut if one.tag.number == block.tag.number]
        fewer = parts and sum(len(one.data) for one in parts) < len(block.data)
        blocks += parts if fewer else [block]
    return blocks


def _tags(size: Size, planes: int, level: int, settings: LayerSettings) -> list[Tag]:
    windows = settings.division.windows(size)
    if len(windows) > MOST_BLOCKS:
        raise ValueError(f"expected at most {MOST_BLOCKS} blocks a level, got {len(windows)}")
    columns, rows = len({w.left for w in windows}), len({w.top for w in windows})
    return [
        Tag(
            level,
            settings.levels,
            settings.ratio,
            settings.sampling,
            columns,
            rows,
            number,
            window,
            size,
            settings.kernel,
            offset=settings.coder.offset,
            planes=planes,
            smooth=settings.smooth,
        )
        for number, window in enumerate(windows, start=1)
    ]


def _encode_blocks(
    picture: Tensor, tags: Sequence[Tag], known: Below, settings: LayerSettings
) -> list[Block]:
    pixels = [tag.window.of(picture).contiguous() for tag in tags]
    guesses = [_guess(tag, known) for tag in tags]
    small = [_chroma_is_small(*one, settings) for one in zip(pixels, guesses, strict=True)]
    tags = [tag._replace(luma_only=one) for tag, one in zip(tags, small, strict=True)]
    guesses = [guess._replace(luma_only=one) for guess, one in zip(guesses, small, strict=True)]
    if settings.soften:
        pixels = [_softened(*one) for one in zip(pixels, guesses, strict=True)]
    streams = settings.coder.encode(pixels, guesses)
    if not settings.coder.names_reference:
        tags = [
            tag._replace(known=checksum(guess.reference))
            for tag, guess in zip(tags, guesses, strict=True)
        ]
    if settings.tags == Tags.STREAM:
        streams = [settings.coder.with_tag(*one) for one in zip(streams, tags, strict=True)]
    return [Block(*one) for one in zip(tags, streams, strict=True)]


def _guess(tag: Tag, known: Below) -> Guess:
    """What a block stands on."""
    there = Size(known.planes.shape[1], known.planes.shape[2])
    window, step = below(tag.window, there, tag.ratio, tag.kernel)
    source = None if known.source is None else window.of(known.source)
    size = (tag.window.height, tag.window.width)
    return Guess(window.of(known.planes), step, size, source, tag.luma_only)


def _chroma_is_small(pixels: Tensor, guess: Guess, settings: LayerSettings) -> bool:
    """Whether both chroma planes of a difference may be left out (paragraph 122)."""
    if not settings.least_chroma or len(pixels) == 1:
        return False
    left = (to_planes(pixels[None])[0] - guess.planes())[1:].float() / 16
    return bool((left.abs().mean((1, 2)) < settings.least_chroma).all())


def _softened(pixels: Tensor, guess: Guess) -> Tensor:
    """Pixels whose difference to what is predicted was smoothed by 1 2 1 both ways."""
    kernel = torch.tensor([1.0, 2.0, 1.0]) / 4
    kernel = (kernel[:, None] * kernel).expand(len(pixels), 1, 3, 3)
    shown = guess.pixels()
    left = F.pad((pixels.int() - shown)[None].float(), (1, 1, 1, 1), mode="replicate")
    soft = F.conv2d(left, kernel, groups=len(pixels))[0].round().int()
    return (shown + soft).clamp(0, 255).to(torch.uint8)


class OtherLevelBelow(FormatError):
    """No block of a level stands on the level below that is at hand."""


class Level(NamedTuple):
    """A level that was decoded.

    Attributes:
        samples: (C, H, W), exact planes int32 or pixels uint8.
        problems: a sentence for each block that could not be used; the level below shows there.
    """

    samples: Tensor
    problems: list[str]


def exact_level(blocks: Sequence[Block], known: Tensor) -> Level:
    """The exact planes of a level, which the next one stands on.

    Args:
        blocks: of the level, in any order.
        known: (C, h, w) int32 exact planes of the level below.

    Raises:
        OtherLevelBelow: what the blocks were made from is not there.
        FormatError: blocks that do not belong together.
    """
    known = known[: blocks[0].tag.planes]  # a base may have no grey
    whole = _enlarged(blocks[0].tag, known)
    level = _assembled(blocks, known, whole, lambda coder: coder.exact)
    if not blocks[0].tag.smooth:
        return level
    windows = [block.tag.window for block in blocks]
    return level._replace(samples=whole + smooth_splices(level.samples - whole, windows))


def show_level(blocks: Sequence[Block], known: Tensor) -> Level:
    """The pixels of a level, after the filter of its decoder; arguments as of `exact_level`."""
    if blocks[0].tag.smooth:
        level = exact_level(blocks, known)
        return level._replace(samples=from_planes(level.samples[None])[0])
    known = known[: blocks[0].tag.planes]
    whole = from_planes(_enlarged(blocks[0].tag, known)[None])[0]
    return _assembled(blocks, known, whole, lambda coder: coder.show)


def _enlarged(tag: Tag, known: Tensor) -> Tensor:
    """(C, H, W) int32: the level below at the size of a level."""
    there = Size(known.shape[1], known.shape[2])
    if tag.ratio.below(tag.size) != there:
        wanted = tag.ratio.below(tag.size)
        raise FormatError(
            f"expected a level of {wanted.width}x{wanted.height} below {tag.size.width}x"
            f"{tag.size.height}, got {there.width}x{there.height}"
        )
    return _guess(tag._replace(window=Window(0, 0, *tag.size)), Below(known)).planes()


Decoding = Callable[[Sequence[bytes], Sequence[Guess]], list[Tensor]]


def _assembled(
    blocks: Sequence[Block], known: Tensor, whole: Tensor, method: Callable[[Coder], Decoding]
) -> Level:
    """Blocks put where they belong on what shows without them."""
    first = blocks[0].tag
    samples, covered = whole.clone(), torch.zeros(first.size, dtype=torch.bool)
    problems, strangers = [], 0
    for block, found in zip(blocks, _decoded(blocks, known, method), strict=True):
        tag = block.tag
        if (tag.size, tag.ratio, tag.level) != (first.size, first.ratio, first.level):
            raise FormatError("expected blocks of one picture, got some of another one")
        if isinstance(found, FormatError):
            strangers += isinstance(found, MissingReference)
            problems.append(f"block {tag.number} of {tag.columns}x{tag.rows}: {found}")
            continue
        tag.window.of(samples).copy_(found)
        tag.window.of(covered[None]).fill_(True)
    if strangers == len(blocks):
        raise OtherLevelBelow(
            "the level below has other pixels than where the differences were made: it is another "
            "file, or another decoder reads it"
        )
    if not covered.all() and not problems:
        there = {block.tag.number for block in blocks}
        missing = [n for n in range(1, first.columns * first.rows + 1) if n not in there]
        problems.append(f"blocks {missing} of {first.columns}x{first.rows} are not here")
    return Level(samples, problems)


def _decoded(
    blocks: Sequence[Block], known: Tensor, method: Callable[[Coder], Decoding]
) -> list[Tensor | FormatError]:
    """The samples of each block, or why there are none: all together, or else one by one."""
    guesses = [_guess(block.tag, Below(known)) for block in blocks]
    with contextlib.suppress(FormatError):
        for block, guess in zip(blocks, guesses, strict=True):
            _check_known(block.tag, guess)
        coders = {coder_of(block.data, block.tag.offset) for block in blocks}
        if len(coders) == 1:
            every = method(coders.pop())([block.data for block in blocks], guesses)
            return [_fitting(*one) for one in zip(every, guesses, strict=True)]
    found: list[Tensor | FormatError] = []
    for block, guess in zip(blocks, guesses, strict=True):
        try:
            _check_known(block.tag, guess)
            (one,) = method(coder_of(block.data, block.tag.offset))([block.data], [guess])
            found.append(_fitting(one, guess))
        except FormatError as error:
            found.append(error)
    return found


def _check_known(tag: Tag, guess: Guess) -> None:
    """Raise MissingReference where a block was made from another level below."""
    if tag.known and tag.known != checksum(guess.reference):
        raise MissingReference("stands on another level below")


def _fitting(samples: Tensor, guess: Guess) -> Tensor:
    """Samples that have the size of their block.

    Raises:
        FormatError: they have not.
    """
    wanted = (len(guess.reference), *guess.size)
    if tuple(samples.shape) != wanted:
        raise FormatError(f"expected a block of {wanted}, got {tuple(samples.shape)}")
    return samples
