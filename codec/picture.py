"""Still pictures: RGB or grey tensors to codestreams and back.

The stages in the order of encoding: colour, padding, `residual.analyse` (transform, sizes,
quantisation, chroma from luma), `residual.coder` (contexts and rANS), `container`. Decoding goes
back the same way and ends with a filter.

Axes: N picture of one shape, C plane, H W pixels.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from codec.container import (
    MAX_PIXELS,
    Filter,
    FormatError,
    Header,
    Mode,
    Section,
    pack,
    pack_header,
    pack_section,
    pack_stream,
    unpack,
    unpack_header,
    unpack_stream,
)
from codec.pictures.devices import check_device
from codec.residual import coder
from codec.residual.adaptive_quantisation import spread_over_cells
from codec.residual.analyse import Symbols, analyse, reconstruct, uniform_sizes
from codec.residual.colour import fixed_ycbcr_to_rgb, rgb_to_fixed_ycbcr, rgb_to_ycocg, ycocg_to_rgb
from codec.residual.context_sets import Contexts, contexts_of, shipped_contexts
from codec.residual.edge_filter import smooth
from codec.residual.postfilter import PostFilter, postfilter_of, shipped_postfilter
from codec.residual.quantise import FRACTION, WEIGHTINGS, dequantise, plane_steps, step_map
from codec.residual.rans import BYTES_PER_LANE, CorruptStream
from codec.residual.transform import CELL, REGION, SAMPLE_BITS
from codec.settings import (
    MODES,
    Settings,
    check_picture,
    check_settings,
    filter_for,
    step_of,
)

_BITS = 9  # of a sample, with its sign
_EXACT_BITS = 10  # of a reversible colour difference, with its sign
_MEAN_TO_SAMPLE = CELL << FRACTION - SAMPLE_BITS
_AT_ONCE = 1 << 23  # pixels of a batch
_BYTES_PER_LANE = {"full": BYTES_PER_LANE, "fast": 192}  # 192: 1 % more bytes


def encode(
    pictures: Sequence[Tensor],
    quality: int = 80,
    *,
    mode: str = "perceptual",
    lossless: bool = False,
    filter: str = "edge",
    effort: str = "full",
    device: torch.device | str = "cpu",
) -> list[bytes]:
    """Codestreams of pictures, each as if it were alone.

    Args:
        pictures: (3, H, W) RGB or (1, H, W) grey, uint8, of any sizes.
        quality, mode, lossless, filter, effort: see `Settings`.
        device: where to compute; the bytes are the same everywhere.

    Raises:
        ValueError: a setting or a picture that cannot be encoded.
    """
    settings = Settings(quality, mode, lossless, filter, effort)
    check_settings(settings)
    check_device(device)
    if isinstance(pictures, Tensor) and pictures.dim() == 3:
        raise ValueError("expected a list of pictures, got one: codec.encode([picture])")
    for picture in pictures:
        check_picture(picture)

    def one_batch(batch: Tensor) -> list[bytes]:
        return _encode(batch.to(device), settings)

    return _in_batches(list(pictures), _shape, _area, torch.stack, one_batch)


def decode(
    streams: Sequence[bytes],
    *,
    device: torch.device | str = "cpu",
    max_pixels: int = MAX_PIXELS,
) -> list[Tensor]:
    """Pictures (3, H, W) or (1, H, W) uint8 of codestreams, on the CPU.

    Args:
        streams: of any sizes and modes.
        device: where to compute.
        max_pixels: of one picture; memory grows with what a header says.

    Raises:
        FormatError: broken or foreign data, or a picture above `max_pixels`.
    """
    check_device(device)
    if isinstance(streams, bytes | bytearray | memoryview):
        raise ValueError("expected a list of codestreams, got one: codec.decode([stream])")
    opened = [_open_one(data, number, len(streams)) for number, data in enumerate(streams)]
    for one in opened:
        if one.header.height * one.header.width > max_pixels:
            size = f"{one.header.width}x{one.header.height}"
            raise FormatError(f"expected at most {max_pixels} pixels, got {size}")

    def one_batch(batch: list[_Opened]) -> list[Tensor]:
        return [picture.contiguous() for picture in _decode(batch, torch.device(device)).cpu()]

    return _in_batches(opened, _alike, _stated_area, list, one_batch)


def thumbnail(data: bytes, *, device: torch.device | str = "cpu") -> Tensor:
    """(C, H/8, W/8) uint8, rounded up, from the means alone; lossless ones are decoded whole."""
    opened = _open(data)
    header = opened.header
    rows, columns = (-(-n // CELL) for n in (header.height, header.width))
    device = torch.device(device)
    if header.mode == Mode.LOSSLESS:
        whole = _decode([opened], device).float()
        pad = (0, -header.width % CELL, 0, -header.height % CELL)
        small = F.avg_pool2d(F.pad(whole, pad, mode="replicate"), CELL)
        return small[0].round().to(torch.uint8).cpu()
    matrix = WEIGHTINGS[header.mode.name.lower()]
    with _reading():
        step = torch.tensor([header.step], device=device)
        contexts = _contexts(header, device)
        shape = (header.planes, *_padded(header.height, header.width))
        stream = unpack_stream(opened.section(Section.MEANS))
        means = coder.read_means([stream], shape, step, matrix, contexts, _BITS)
    sizes = torch.zeros_like(means[0])
    planes = [
        torch.floor(
            dequantise(mean, step_map(step, matrix, number > 0, sizes, None)[..., 0])
            / _MEAN_TO_SAMPLE
            + 0.5
        )
        for number, mean in enumerate(means)
    ]
    pixels = _to_pixels(torch.stack(planes, 1).int())
    return pixels[0, :, :rows, :columns].cpu()


def pad(pictures: Tensor) -> Tensor:
    """(N, C, H, W) with both sides a multiple of REGION, the last row and column repeated."""
    bottom, right = -pictures.shape[2] % REGION, -pictures.shape[3] % REGION
    if not bottom and not right:
        return pictures
    rows = torch.arange(pictures.shape[2] + bottom, device=pictures.device)
    columns = torch.arange(pictures.shape[3] + right, device=pictures.device)
    rows, columns = rows.clamp(max=pictures.shape[2] - 1), columns.clamp(max=pictures.shape[3] - 1)
    return pictures[:, :, rows][:, :, :, columns]


def to_planes(pixels: Tensor) -> Tensor:
    """(N, C, H, W) uint8 -> int32 in 1/16 grey level: luma about 0 and, of RGB, chroma."""
    if pixels.shape[1] == 3:
        return rgb_to_fixed_ycbcr(pixels)
    return (pixels.int() - 128) << SAMPLE_BITS


def _to_pixels(planes: Tensor) -> Tensor:
    if planes.shape[1] == 3:
        return fixed_ycbcr_to_rgb(planes)
    half = 1 << SAMPLE_BITS - 1
    return ((planes + half >> SAMPLE_BITS) + 128).clamp(0, 255).to(torch.uint8)


def symbols_of(pictures: Tensor, steps: Tensor, settings: Settings, contexts: Contexts) -> Symbols:
    """What would be coded of pictures (N, C, H, W) uint8 with step indices (N,)."""
    planes = to_planes(pad(pictures))
    sizes = uniform_sizes(planes) if settings.effort == "fast" else None
    return analyse(planes, steps, WEIGHTINGS[settings.mode], contexts, sizes)


def preview(
    pictures: Sequence[Tensor], settings: Sequence[Settings], *, device: torch.device | str = "cpu"
) -> list[Tensor]:
    """What decoding would show, one setting a picture, without coding a bit.

    Pictures with one shape are done together even where their qualities differ, which is how the
    quality search tries several at once.
    """
    for picture, setting in zip(pictures, settings, strict=True):
        check_settings(setting)
        check_picture(picture)

    def key(item: tuple[Tensor, Settings]) -> tuple:
        return *item[0].shape, item[1]._replace(quality=0)

    def one_batch(items: list[tuple[Tensor, Settings]]) -> list[Tensor]:
        batch = [picture for picture, _ in items]
        if items[0][1].lossless:
            return batch
        steps = [step_of(s.quality, s.mode) for _, s in items]
        return preview_steps(batch, steps, items[0][1], device=device)

    every = list(zip(pictures, settings, strict=True))
    return _in_batches(every, key, lambda item: _area(item[0]), list, one_batch)


def preview_steps(
    pictures: Sequence[Tensor],
    steps: Sequence[int],
    settings: Settings,
    *,
    device: torch.device | str = "cpu",
) -> list[Tensor]:
    """`preview` for pictures of one shape with step indices instead of qualities."""
    for picture in pictures:
        check_picture(picture)
    batch = torch.stack(list(pictures)).to(device)
    contexts = shipped_contexts(settings.effort, batch.device)
    symbols = symbols_of(batch, torch.tensor(steps, device=batch.device), settings, contexts)
    filter_ = filter_for(settings, batch.shape[1])
    postfilter = None
    if filter_ == Filter.NETWORK:
        postfilter = shipped_postfilter(settings.mode, batch.device)
    pixels = to_pixels(symbols, settings.mode, filter_, postfilter)
    return list(pixels[:, :, : batch.shape[2], : batch.shape[3]].cpu())


def entropy(
    pictures: Sequence[Tensor], settings: Settings, *, device: torch.device | str = "cpu"
) -> list[float]:
    """Bits that the symbols of each picture take in theory, under the networks' probabilities."""

    def one_batch(batch: Tensor) -> list[float]:
        batch = batch.to(device)
        step = step_of(settings.quality, settings.mode)
        steps = torch.full((len(batch),), step, device=batch.device)
        contexts = shipped_contexts(settings.effort, batch.device)
        symbols = symbols_of(batch, steps, settings, contexts)
        return coder.entropy(symbols, WEIGHTINGS[settings.mode], contexts, _BITS).tolist()

    return _in_batches(list(pictures), _shape, _area, torch.stack, one_batch)


def with_metadata(data: bytes, exif: bytes | None = None, icc: bytes | None = None) -> bytes:
    """A codestream with EXIF and ICC blocks after its sections."""
    blocks = ((Section.EXIF, exif), (Section.ICC, icc))
    return data + b"".join(pack_section(kind, block) for kind, block in blocks if block)


def metadata(data: bytes) -> tuple[Header, bytes | None, bytes | None]:
    """Header, EXIF and ICC blocks of a codestream.

    Raises:
        FormatError: broken or foreign data.
    """
    opened = _open(data)
    return opened.header, opened.sections.get(Section.EXIF), opened.sections.get(Section.ICC)


def _encode(pictures: Tensor, settings: Settings) -> list[bytes]:
    contexts = shipped_contexts(settings.effort, pictures.device)
    height, width = pictures.shape[2:]
    header = Header(
        height, width, pictures.shape[1], Mode.LOSSLESS, 0, Filter.NONE, contexts.fingerprint
    )
    if settings.lossless:
        planes = pictures.int()
        planes = rgb_to_ycocg(planes) if header.planes == 3 else planes
        streams = coder.write_lossless(planes, contexts, _EXACT_BITS)
        packed = pack_header(header)
        return [
            pack([(Section.HEADER, packed), (Section.EXACT, pack_stream(*stream))])
            for stream in streams
        ]
    filter_ = filter_for(settings, header.planes)
    postfilter = 0
    if filter_ == Filter.NETWORK:
        postfilter = shipped_postfilter(settings.mode, pictures.device).fingerprint
    header = header._replace(
        mode=MODES[settings.mode],
        step=step_of(settings.quality, settings.mode),
        filter=filter_,
        postfilter=postfilter,
    )
    steps = torch.full((len(pictures),), header.step, device=pictures.device)
    symbols = symbols_of(pictures, steps, settings, contexts)
    coded = coder.write(
        symbols, WEIGHTINGS[settings.mode], contexts, _BITS,
        bytes_per_lane=_BYTES_PER_LANE[settings.effort],
    )  # fmt: skip
    packed = pack_header(header)
    return [
        pack([
            (Section.HEADER, packed),
            (Section.MEANS, pack_stream(*one.means)),
            (Section.CELLS, pack_stream(*one.cells)),
        ])
        for one in coded
    ]  # fmt: skip


class _Opened(NamedTuple):
    """A codestream whose container and header were checked."""

    header: Header
    sections: dict[int, bytes]

    def section(self, kind: Section) -> bytes:
        if kind not in self.sections:
            raise FormatError(f"expected a section {kind.name.lower()}")
        return self.sections[kind]


def _open_one(data: bytes, number: int, count: int) -> _Opened:
    """`_open`, whose errors say which of several streams it was, counted from 0."""
    try:
        return _open(data)
    except FormatError as error:
        raise FormatError(f"stream {number}: {error}" if count > 1 else str(error)) from error


def _open(data: bytes) -> _Opened:
    if not isinstance(data, bytes | bytearray | memoryview):
        raise FormatError(f"expected the bytes of a codestream, got {type(data).__name__}")
    sections = unpack(bytes(data))
    return _Opened(unpack_header(sections[Section.HEADER]), sections)


@contextmanager
def _reading() -> Iterator[None]:
    """What the entropy decoder finds wrong is wrong with the format."""
    try:
        yield
    except CorruptStream as error:
        raise FormatError(f"entropy-coded data: {error}") from error


def _contexts(header: Header, device: torch.device) -> Contexts:
    contexts = contexts_of(header.contexts, device)
    if contexts is None:
        raise FormatError(f"needs context networks {header.contexts:08x}, which are not here")
    return contexts


def read_symbols(data: bytes, *, device: torch.device | str = "cpu") -> tuple[Header, Symbols]:
    """The header and the integers of a codestream that is not lossless, before any pixel.

    Raises:
        FormatError: broken, foreign or lossless data.
    """
    opened = _open(data)
    if opened.header.mode == Mode.LOSSLESS:
        raise FormatError("expected a picture that was quantised, got a lossless one")
    return opened.header, _read([opened], torch.device(device))


def _read(batch: list[_Opened], device: torch.device) -> Symbols:
    header = batch[0].header
    coded = [
        coder.Coded(
            unpack_stream(o.section(Section.MEANS)), unpack_stream(o.section(Section.CELLS))
        )
        for o in batch
    ]
    with _reading():
        step = torch.full((len(batch),), header.step, device=device)
        shape = (header.planes, *_padded(header.height, header.width))
        matrix = WEIGHTINGS[header.mode.name.lower()]
        return coder.read(coded, shape, step, matrix, _contexts(header, device), _BITS)


def _decode(batch: list[_Opened], device: torch.device) -> Tensor:
    """(N, C, H, W) uint8 of streams with one header."""
    header = batch[0].header
    if header.mode == Mode.LOSSLESS:
        streams = [unpack_stream(o.section(Section.EXACT)) for o in batch]
        shape = (header.planes, header.height, header.width)
        with _reading():
            contexts = _contexts(header, device)
            planes = coder.read_lossless(streams, shape, contexts, _EXACT_BITS, device)
        pixels = ycocg_to_rgb(planes) if header.planes == 3 else planes
        return pixels.clamp(0, 255).to(torch.uint8)
    postfilter = None
    if header.filter == Filter.NETWORK:
        postfilter = postfilter_of(header.postfilter, device)
        if postfilter is None:
            raise FormatError(f"needs post-filter {header.postfilter:08x}, which is not here")
    symbols = _read(batch, device)
    pixels = to_pixels(symbols, header.mode.name.lower(), header.filter, postfilter)
    return pixels[:, :, : header.height, : header.width]


def to_pixels(
    symbols: Symbols, mode: str, filter_: Filter, postfilter: PostFilter | None
) -> Tensor:
    """(N, C, H, W) uint8 padded pictures, as a decoder shows them."""
    matrix = WEIGHTINGS[mode]
    planes = reconstruct(symbols, matrix)
    if filter_ == Filter.NONE:
        return _to_pixels(planes)
    cells = None if symbols.adaptive is None else spread_over_cells(symbols.adaptive)
    steps = plane_steps(symbols.step, matrix, planes.shape[1], symbols.sizes, cells)
    smoothed = smooth(planes, steps)
    if postfilter is None:
        return _to_pixels(smoothed)
    step = steps[:, :1].float() / 2**FRACTION
    restored = postfilter.restore(planes, smoothed, step, symbols.sizes)
    return _to_pixels(restored.round().int())


def _padded(height: int, width: int) -> tuple[int, int]:
    return height + -height % REGION, width + -width % REGION


def _in_batches(
    items: list, key: Callable, pixels: Callable, join: Callable, work: Callable
) -> list:
    """Results in the order of the items, made in batches of items with one key.

    Args:
        items: what to work on.
        key: item -> what all items of a batch share.
        pixels: item -> its pixels, which bound a batch.
        join: list of items -> a batch.
        work: batch -> a list of results.
    """
    groups: dict[object, list[int]] = defaultdict(list)
    for number, item in enumerate(items):
        groups[key(item)].append(number)
    results: list = [None] * len(items)
    for numbers in groups.values():
        size = max(1, _AT_ONCE // pixels(items[numbers[0]]))
        for start in range(0, len(numbers), size):
            part = numbers[start : start + size]
            for number, result in zip(part, work(join([items[n] for n in part])), strict=True):
                results[number] = result
    return results


def _alike(opened: _Opened) -> tuple:
    """Streams that are decoded together: one header, and about as many lanes."""
    section = opened.sections.get(Section.CELLS) or opened.sections.get(Section.EXACT) or b""
    lanes = unpack_stream(section)[0] if section else 0
    return opened.header, lanes.bit_length() // 2


def _shape(picture: Tensor) -> tuple[int, ...]:
    return tuple(picture.shape)


def _area(picture: Tensor) -> int:
    return math.prod(_padded(*picture.shape[1:]))


def _stated_area(opened: _Opened) -> int:
    return math.prod(_padded(opened.header.height, opened.header.width))
