"""Pictures: RGB or grey tensors to codestreams and back.

The stages in the order of encoding: colour, padding, `residual.analyse` (transform, sizes,
quantisation, chroma from luma), `residual.coder` (contexts and rANS), `container`. Decoding goes
back the same way and ends with a filter. What both sides must agree on is a `Profile`.

Axes: N picture of one shape, C plane, H W pixels.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

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
    Sections,
    check_size,
    pack,
    pack_header,
    pack_section,
    unpack,
    unpack_header,
)
from codec.pictures.devices import check_device
from codec.pictures.picture import Picture
from codec.pictures.workers import spread, worker_count
from codec.residual.analyse import Symbols, uniform_sizes
from codec.residual.coder import Coded, CodedLossless, LosslessCoder, ResidualCoder
from codec.residual.colour import (
    fixed_ycbcr_to_rgb,
    rgb_to_fixed_ycbcr,
    rgb_to_ycocg,
    ycocg_to_rgb,
)
from codec.residual.context_sets import Contexts, contexts_of, shipped_contexts
from codec.residual.edge_filter import smooth
from codec.residual.exact import exact_arithmetic
from codec.residual.postfilter import PostFilter, postfilter_of, shipped_postfilter
from codec.residual.quantise import FRACTION, WEIGHTINGS, dequantise, plane_steps, step_map
from codec.residual.rans import BYTES_PER_LANE, CorruptStream, pack_stream, unpack_stream
from codec.residual.transform import CELL, REGION, SAMPLE_BITS
from codec.settings import MODES, Settings, check_settings, filter_for, step_of

_BITS = 9  # of a sample, with its sign
_LOSSLESS_BITS = 10  # of a reversible colour difference, with its sign
_MEAN_TO_SAMPLE = CELL << FRACTION - SAMPLE_BITS
# Pixels of a batch: on a CPU what its caches and memory bear, elsewhere what a launch is worth.
_AT_ONCE = {"cpu": 1 << 23}
_AT_ONCE_ELSEWHERE = 1 << 27
_LEAST_SHARED = 1 << 19  # pixels: a batch below that is not worth dividing among threads
_BYTES_PER_LANE = {"full": BYTES_PER_LANE, "fast": 192}  # 192: 1 % more bytes

Result = TypeVar("Result")


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
    """

    planes: int
    mode: Mode
    step_index: int
    filter: Filter
    networks: Contexts
    postfilter: PostFilter | None = None
    uniform: bool = False
    bytes_per_lane: int = BYTES_PER_LANE

    @property
    def coder(self) -> ResidualCoder:
        return ResidualCoder(self.networks, WEIGHTINGS[self.mode.name.lower()], _BITS)

    @property
    def lossless(self) -> LosslessCoder:
        return LosslessCoder(self.networks, _LOSSLESS_BITS)

    def header(self, height: int, width: int) -> Header:
        postfilter = 0 if self.postfilter is None else self.postfilter.fingerprint
        return Header(
            height, width, self.planes, self.mode, self.step_index, self.filter,
            self.networks.fingerprint, postfilter,
        )  # fmt: skip


def profile_of(settings: Settings, planes: int, device: torch.device) -> Profile:
    """The profile that settings ask for."""
    networks = shipped_contexts(settings.effort, device)
    if settings.lossless:
        return Profile(planes, Mode.LOSSLESS, 0, Filter.NONE, networks)
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
    )


def profile_from(header: Header, device: torch.device) -> Profile:
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
    step_index, filter_ = header.step_index, header.filter
    return Profile(header.planes, header.mode, step_index, filter_, networks, postfilter)


def check_picture(picture: Tensor) -> None:
    """Raise ValueError for what is no picture tensor, or too large."""
    if not isinstance(picture, torch.Tensor):
        raise ValueError(f"expected a picture as a torch tensor, got {type(picture).__name__}")
    shape = tuple(picture.shape)
    if picture.dtype != torch.uint8 or len(shape) != 3 or shape[0] not in (1, 3) or 0 in shape:
        raise ValueError(
            f"expected a uint8 picture (3, H, W) or (1, H, W), got {picture.dtype} {shape}"
        )
    try:
        check_size(*shape[1:])
    except FormatError as error:
        raise ValueError(str(error)) from error


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
    device = check_device(device)
    if isinstance(pictures, Tensor) and pictures.dim() == 3:
        raise ValueError("expected a list of pictures, got one: codec.encode([picture])")
    for picture in pictures:
        check_picture(picture)

    def one_batch(numbers: list[int]) -> list[bytes]:
        batch = torch.stack([pictures[n] for n in numbers]).to(device)
        return _encode(batch, profile_of(settings, batch.shape[1], device))

    return _in_batches([tuple(p.shape) for p in pictures], _areas(pictures), device, one_batch)


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
    device = check_device(device)
    if isinstance(streams, bytes | bytearray | memoryview):
        raise ValueError("expected a list of codestreams, got one: codec.decode([stream])")
    opened = [_open_one(data, number, len(streams)) for number, data in enumerate(streams)]
    for one in opened:
        if one.header.height * one.header.width > max_pixels:
            size = f"{one.header.width}x{one.header.height}"
            raise FormatError(f"expected at most {max_pixels} pixels, got {size}")

    def one_batch(numbers: list[int]) -> list[Tensor]:
        batch = [opened[n] for n in numbers]
        pixels = _decode(batch, profile_from(batch[0].header, device)).cpu()
        return [picture.contiguous() for picture in pixels]

    keys = [(one.header, _lanes(one) if device.type == "cpu" else 0) for one in opened]
    areas = [_padded_area(one.header.height, one.header.width) for one in opened]
    return _in_batches(keys, areas, device, one_batch)


@exact_arithmetic()
def thumbnail(data: bytes, *, device: torch.device | str = "cpu") -> Tensor:
    """(C, H/8, W/8) uint8, rounded up, from the means alone; lossless ones are decoded whole."""
    device = check_device(device)
    opened = _open(data)
    header = opened.header
    profile = profile_from(header, device)
    rows, columns = (-(-n // CELL) for n in (header.height, header.width))
    if header.mode == Mode.LOSSLESS:
        whole = _decode([opened], profile).float()
        pad = (0, -header.width % CELL, 0, -header.height % CELL)
        small = F.avg_pool2d(F.pad(whole, pad, mode="replicate"), CELL)
        return small[0].round().to(torch.uint8).cpu()
    with _reading():
        step_index = torch.tensor([header.step_index], device=device)
        stream = unpack_stream(opened.sections.one(Section.MEANS))
        means = profile.coder.read_means([stream], _padded_shape(header), step_index)
    sizes = torch.zeros_like(means[0])
    planes = [
        torch.floor(
            dequantise(mean, step_map(step_index, profile.coder.weighting, chroma, sizes)[..., 0])
            / _MEAN_TO_SAMPLE
            + 0.5
        )
        for mean, chroma in zip(means, (False, True, True), strict=False)
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


def symbols_of(pictures: Tensor, step_indices: list[int], profile: Profile) -> Symbols:
    """What would be coded of pictures (N, C, H, W) uint8, each with a step index of its own."""
    planes = to_planes(pad(pictures))
    sizes = uniform_sizes(planes) if profile.uniform else None
    return profile.coder.analyse(planes, torch.tensor(step_indices, device=pictures.device), sizes)


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
    steps = [step_of(setting.quality, setting.mode) for setting in settings]
    return preview_steps(pictures, steps, settings, device=device)


def preview_steps(
    pictures: Sequence[Tensor],
    step_indices: Sequence[int],
    settings: Sequence[Settings],
    *,
    device: torch.device | str = "cpu",
) -> list[Tensor]:
    """`preview` with step indices instead of the qualities of the settings."""
    device = check_device(device)

    def one_batch(numbers: list[int]) -> list[Tensor]:
        first = settings[numbers[0]]
        batch = torch.stack([pictures[n] for n in numbers]).to(device)
        if first.lossless:
            return list(batch.cpu())
        profile = profile_of(first, batch.shape[1], device)
        with exact_arithmetic():
            symbols = symbols_of(batch, [step_indices[n] for n in numbers], profile)
            pixels = to_pixels(symbols, profile)
        return list(pixels[:, :, : batch.shape[2], : batch.shape[3]].cpu())

    keys = [
        (tuple(picture.shape), setting._replace(quality=0))
        for picture, setting in zip(pictures, settings, strict=True)
    ]
    return _in_batches(keys, _areas(pictures), device, one_batch)


def entropy(
    pictures: Sequence[Tensor], settings: Settings, *, device: torch.device | str = "cpu"
) -> list[float]:
    """Bits that the symbols of each picture take in theory, under the networks' probabilities."""
    device = check_device(device)

    def one_batch(numbers: list[int]) -> list[float]:
        batch = torch.stack([pictures[n] for n in numbers]).to(device)
        profile = profile_of(settings, batch.shape[1], device)
        symbols = symbols_of(batch, [profile.step_index] * len(batch), profile)
        return profile.coder.entropy(symbols).tolist()

    return _in_batches([tuple(p.shape) for p in pictures], _areas(pictures), device, one_batch)


class Metadata(NamedTuple):
    """What a codestream says beside the pixels: raw blocks, or None.

    Attributes:
        exif, icc, xmp: as their standards have them.
        photoshop: image resource blocks, among them IPTC.
    """

    exif: bytes | None = None
    icc: bytes | None = None
    xmp: bytes | None = None
    photoshop: bytes | None = None


_METADATA_SECTIONS = (Section.EXIF, Section.ICC, Section.XMP, Section.PHOTOSHOP)


def with_metadata(data: bytes, metadata: Metadata) -> bytes:
    """A codestream with metadata after its sections."""
    blocks = zip(_METADATA_SECTIONS, metadata, strict=True)
    return data + b"".join(pack_section(kind, block) for kind, block in blocks if block)


def with_metadata_of(data: bytes, like: Picture) -> bytes:
    """A codestream with the metadata of a picture."""
    blocks = Metadata(like.exif, like.profile, like.metadata.xmp, like.metadata.photoshop)
    return with_metadata(data, blocks)


def read_metadata(data: bytes) -> tuple[Header, Metadata]:
    """The header and the metadata of a codestream.

    Raises:
        FormatError: broken or foreign data.
    """
    opened = _open(data)
    return opened.header, Metadata(*map(opened.sections.get, _METADATA_SECTIONS))


@exact_arithmetic()
def _encode(pictures: Tensor, profile: Profile) -> list[bytes]:
    """Codestreams of pictures (N, C, H, W) uint8."""
    header = pack_header(profile.header(*pictures.shape[2:]))
    if profile.mode == Mode.LOSSLESS:
        planes = pictures.int()
        planes = rgb_to_ycocg(planes) if profile.planes == 3 else planes
        return [
            pack([(Section.HEADER, header), (Section.LOSSLESS, pack_stream(*one.planes))])
            for one in profile.lossless.write(planes)
        ]
    symbols = symbols_of(pictures, [profile.step_index] * len(pictures), profile)
    return [
        pack([
            (Section.HEADER, header),
            (Section.MEANS, pack_stream(*one.means)),
            (Section.CELLS, pack_stream(*one.cells)),
        ])
        for one in profile.coder.write(symbols, profile.bytes_per_lane)
    ]  # fmt: skip


class _Opened(NamedTuple):
    """A codestream whose container and header were checked."""

    header: Header
    sections: Sections


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
    return _Opened(unpack_header(sections.one(Section.HEADER)), sections)


@contextmanager
def _reading() -> Iterator[None]:
    """What the entropy decoder finds wrong is wrong with the format."""
    try:
        yield
    except CorruptStream as error:
        raise FormatError(f"entropy-coded data: {error}") from error


def read_symbols(data: bytes, *, device: torch.device | str = "cpu") -> tuple[Header, Symbols]:
    """The header and the integers of a codestream that is not lossless, before any pixel.

    Raises:
        FormatError: broken, foreign or lossless data.
    """
    device = check_device(device)
    opened = _open(data)
    if opened.header.mode == Mode.LOSSLESS:
        raise FormatError("expected a picture that was quantised, got a lossless one")
    return opened.header, _read([opened], profile_from(opened.header, device))


def _read(batch: list[_Opened], profile: Profile) -> Symbols:
    header, coder = batch[0].header, profile.coder
    terms = coder.terms([header.step_index] * len(batch), None)
    with _reading():
        coded = [
            Coded(
                unpack_stream(one.sections.one(Section.MEANS)),
                unpack_stream(one.sections.one(Section.CELLS)),
                own,
            )
            for one, own in zip(batch, terms, strict=True)
        ]
        return coder.read(coded, _padded_shape(header), profile.networks.device)


@exact_arithmetic()
def _decode(batch: list[_Opened], profile: Profile) -> Tensor:
    """(N, C, H, W) uint8 of streams with one header."""
    header = batch[0].header
    if header.mode == Mode.LOSSLESS:
        shape = (header.planes, header.height, header.width)
        with _reading():
            streams = [
                CodedLossless(unpack_stream(one.sections.one(Section.LOSSLESS)), _LOSSLESS_BITS)
                for one in batch
            ]
            planes = profile.lossless.read(streams, shape, profile.networks.device)
        pixels = ycocg_to_rgb(planes) if header.planes == 3 else planes
        return pixels.clamp(0, 255).to(torch.uint8)
    pixels = to_pixels(_read(batch, profile), profile)
    return pixels[:, :, : header.height, : header.width]


def to_pixels(symbols: Symbols, profile: Profile) -> Tensor:
    """(N, C, H, W) uint8 padded pictures, as a decoder shows them."""
    planes = profile.coder.reconstruct(symbols)
    if profile.filter == Filter.NONE:
        return _to_pixels(planes)
    steps = plane_steps(symbols.steps, planes.shape[1], symbols.sizes)
    smoothed = smooth(planes, steps)
    if profile.postfilter is None:
        return _to_pixels(smoothed)
    step = steps[:, :1].float() / 2**FRACTION
    restored = profile.postfilter.restore(planes, smoothed, step, symbols.sizes)
    return _to_pixels(restored.round().int())


def _padded_shape(header: Header) -> tuple[int, int, int]:
    height, width = (n + -n % REGION for n in (header.height, header.width))
    return header.planes, height, width


def _padded_area(height: int, width: int) -> int:
    return (height + -height % REGION) * (width + -width % REGION)


def _areas(pictures: Sequence[Tensor]) -> list[int]:
    return [_padded_area(*picture.shape[1:]) for picture in pictures]


def _in_batches(
    keys: Sequence[Hashable],
    areas: Sequence[int],
    device: torch.device,
    work: Callable[[list[int]], list[Result]],
) -> list[Result]:
    """Results of things 0 .. n - 1 in their order, made in batches and, on a CPU, by threads.

    Args:
        keys: things with one key share a batch.
        areas: pixels of each.
        device: where the work is done.
        work: the numbers of a batch -> their results.
    """
    batches = list(_batches(keys, areas, device))
    results: dict[int, Result] = {}
    # A GPU is driven by one thread: its queue is what keeps it busy.
    done = spread(work, batches) if device.type == "cpu" else map(work, batches)
    for numbers, found in zip(batches, done, strict=True):
        results.update(zip(numbers, found, strict=True))
    return [results[number] for number in range(len(keys))]


def _batches(
    keys: Sequence[Hashable], areas: Sequence[int], device: torch.device
) -> Iterator[list[int]]:
    groups: dict[Hashable, list[int]] = {}
    for number, key in enumerate(keys):
        groups.setdefault(key, []).append(number)
    for numbers in groups.values():
        area = areas[numbers[0]]
        size = max(1, _AT_ONCE.get(device.type, _AT_ONCE_ELSEWHERE) // area)
        if device.type == "cpu" and area * len(numbers) >= worker_count() * _LEAST_SHARED:
            size = min(size, -(-len(numbers) // worker_count()))
        for start in range(0, len(numbers), size):
            yield numbers[start : start + size]


def _lanes(opened: _Opened) -> int:
    """About how many lanes: a CPU decodes streams that need as many steps together."""
    sections = opened.sections
    streams = [sections.get(kind) for kind in (Section.CELLS, Section.LOSSLESS)]
    with _reading():
        found = [unpack_stream(data)[0] for data in streams if data]
    return found[0].bit_length() // 2 if found else 0
