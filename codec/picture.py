"""Pictures: RGB or grey tensors to codestreams and back.

The stages in the order of encoding: colour, padding, less the prediction if there is one,
`residual.analyse` (transform, sizes, quantisation, chroma from luma), `residual.coder` (contexts and
rANS), `container`. Decoding goes back the same way and ends with a filter. What both sides must
agree on is a `Profile`.

Axes: N picture of one shape, C plane, H W pixels.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from codec.batches import in_batches
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
    unpack,
    unpack_header,
)
from codec.pictures.devices import check_device
from codec.prediction.chain import Predicted, Prediction, hash_of, predict, unpack_prediction
from codec.prediction.interpolation import LIMIT
from codec.profile import Profile, profile_from, profile_of
from codec.residual.adaptive_quantisation import choose_adaptive
from codec.residual.analyse import Symbols, hints_of, is_coded, uniform_sizes
from codec.residual.coder import Coded, CodedLossless
from codec.residual.colour import (
    fixed_ycbcr_to_rgb,
    rgb_to_fixed_ycbcr,
    rgb_to_ycocg,
    ycocg_to_rgb,
)
from codec.residual.edge_filter import smooth
from codec.residual.exact import exact_arithmetic
from codec.residual.quantise import FRACTION, dequantise, plane_steps, step_map
from codec.residual.rans import CorruptStream, pack_stream, unpack_stream
from codec.residual.transform import CELL, REGION, SAMPLE_BITS, forward
from codec.settings import Settings, check_settings, step_of

References = Mapping[bytes, Tensor]  # exact planes (C, H, W) by their hash
_NONE: References = MappingProxyType({})
_MEAN_TO_SAMPLE = CELL << FRACTION - SAMPLE_BITS


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


def encode(  # noqa: PLR0913 - the settings by name, as people type them
    pictures: Sequence[Tensor],
    quality: int = 80,
    *,
    mode: str = "perceptual",
    lossless: bool = False,
    filter: str = "edge",
    effort: str = "full",
    device: torch.device | str = "cpu",
    predictions: Sequence[Predicted | None] | None = None,
) -> list[bytes]:
    """Codestreams of pictures, each as if it were alone.

    Args:
        pictures: (3, H, W) RGB or (1, H, W) grey, uint8, of any sizes.
        quality, mode, lossless, filter, effort: see `Settings`.
        device: where to compute; the bytes are the same everywhere.
        predictions: what each picture is predicted from, see `codec.best_prediction`; None alone.

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
    every = [None] * len(pictures) if predictions is None else list(predictions)
    _check_predictions(pictures, every)

    def one_batch(numbers: list[int]) -> list[bytes]:
        batch = torch.stack([pictures[n] for n in numbers]).to(device)
        found = [guess for n in numbers if (guess := every[n]) is not None]
        first = found[0].prediction if found else None
        return _encode(batch, profile_of(settings, batch.shape[1], device, first), found)

    keys = [
        (tuple(p.shape), one and one.prediction.hints)
        for p, one in zip(pictures, every, strict=True)
    ]
    return in_batches(keys, _areas(pictures), device, one_batch)


def decode(
    streams: Sequence[bytes],
    *,
    references: References = _NONE,
    device: torch.device | str = "cpu",
    max_pixels: int = MAX_PIXELS,
) -> list[Tensor]:
    """Pictures (3, H, W) or (1, H, W) uint8 of codestreams, on the CPU.

    Args:
        streams: of any sizes and modes.
        references: the exact planes that predicted ones stand on, by their hash, see `exact`.
        device: where to compute.
        max_pixels: of one picture; memory grows with what a header says.

    Raises:
        FormatError: broken or foreign data, a reference that is not there or another one, or a
            picture above `max_pixels`.
    """
    return _decoded(streams, references, check_device(device), max_pixels, to_pixels)


def exact(
    streams: Sequence[bytes],
    *,
    references: References = _NONE,
    device: torch.device | str = "cpu",
    max_pixels: int = MAX_PIXELS,
) -> list[Tensor]:
    """What other pictures may be predicted from: exact planes (C, H, W) int32, on the CPU.

    They are in 1/16 grey level, as they are before a filter network, which is not exact.
    Arguments and errors as for `decode`.
    """
    return _decoded(streams, references, check_device(device), max_pixels, exact_planes)


def references_of(
    streams: Sequence[bytes],
    *,
    references: References = _NONE,
    device: torch.device | str = "cpu",
) -> dict[bytes, Tensor]:
    """The exact planes of streams by their hash, as `decode` and `best_prediction` take them."""
    return {hash_of(planes): planes for planes in exact(streams, references=references, device=device)}


def _decoded(
    streams: Sequence[bytes],
    references: References,
    device: torch.device,
    max_pixels: int,
    finish: Callable[[Symbols, Profile, Tensor | None], Tensor],
) -> list[Tensor]:
    if isinstance(streams, bytes | bytearray | memoryview):
        raise ValueError("expected a list of codestreams, got one: codec.decode([stream])")
    opened = [_open_one(data, number, len(streams)) for number, data in enumerate(streams)]
    for one in opened:
        if one.header.height * one.header.width > max_pixels:
            size = f"{one.header.width}x{one.header.height}"
            raise FormatError(f"expected at most {max_pixels} pixels, got {size}")

    def one_batch(numbers: list[int]) -> list[Tensor]:
        batch = [opened[n] for n in numbers]
        profile = profile_from(batch[0].header, device, batch[0].prediction)
        found = _decode(batch, profile, references, finish).cpu()
        return [picture.contiguous() for picture in found]

    keys = [
        (
            one.header,
            one.prediction and one.prediction.hints,
            _lanes(one) if device.type == "cpu" else 0,
        )
        for one in opened
    ]
    areas = [_padded_area(one.header.height, one.header.width) for one in opened]
    return in_batches(keys, areas, device, one_batch)


@exact_arithmetic()
def thumbnail(
    data: bytes, *, references: References = _NONE, device: torch.device | str = "cpu"
) -> Tensor:
    """(C, H/8, W/8) uint8, rounded up, from the means alone; lossless and predicted pictures, whose
    means are differences, are decoded whole."""
    device = check_device(device)
    opened = _open(data)
    header = opened.header
    profile = profile_from(header, device, opened.prediction)
    rows, columns = (-(-n // CELL) for n in (header.height, header.width))
    if header.mode == Mode.LOSSLESS or opened.prediction is not None:
        whole = _decode([opened], profile, references, to_pixels).float()
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


def symbols_of(
    pictures: Tensor, step_indices: list[int], profile: Profile, guess: Tensor | None = None
) -> Symbols:
    """What would be coded of pictures (N, C, H, W) uint8, each with a step index of its own.

    Args:
        guess: (N, C, H, W) padded planes that a prediction says, or None.
    """
    planes = to_planes(pad(pictures))
    sizes = uniform_sizes(planes) if profile.uniform else None
    steps = torch.tensor(step_indices, device=pictures.device)
    coder = profile.coder
    if guess is None:
        return coder.analyse(planes, steps, sizes)
    # What a step may hide in depends on the picture, not on what a prediction missed of it.
    adaptive = choose_adaptive(forward(planes[:, 0], CELL)) if coder.weighting.slope else None
    rest = planes - guess
    zone = coder.choose_mean_dead_zone(rest, steps)
    return coder.analyse(rest, steps, sizes, _hints(profile, guess, steps), adaptive, zone)


def _hints(profile: Profile, guess: Tensor | None, steps: Tensor) -> Tensor | None:
    return hints_of(guess[:, 0], steps) if profile.hints and guess is not None else None


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
    return in_batches(keys, _areas(pictures), device, one_batch)


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

    return in_batches([tuple(p.shape) for p in pictures], _areas(pictures), device, one_batch)


@exact_arithmetic()
def _encode(pictures: Tensor, profile: Profile, predicted: list[Predicted]) -> list[bytes]:
    """Codestreams of pictures (N, C, H, W) uint8, predicted all or none."""
    header = pack_header(profile.header(*pictures.shape[2:]))
    starts = [[(Section.HEADER, header)] for _ in pictures]
    guess = None
    if predicted:
        guess = torch.stack([one.planes for one in predicted]).to(pictures.device)
        for sections, one in zip(starts, predicted, strict=True):
            sections.append((Section.PREDICTION, one.prediction.pack()))
    if profile.mode == Mode.LOSSLESS:
        planes = _lossless_planes(pictures)
        if guess is not None:
            planes = planes - _lossless_planes(_to_pixels(guess))
        return [
            pack([*start, (Section.LOSSLESS, pack_stream(*one.planes))])
            for start, one in zip(starts, profile.lossless.write(planes), strict=True)
        ]
    padded = None if guess is None else pad(guess)
    symbols = symbols_of(pictures, [profile.step_index] * len(pictures), profile, padded)
    return [
        pack([
            *start,
            (Section.MEANS, pack_stream(*one.means)),
            (Section.CELLS, pack_stream(*one.cells)),
        ])
        for start, one in zip(
            starts, profile.coder.write(symbols, profile.bytes_per_lane), strict=True
        )
    ]  # fmt: skip


def _check_predictions(pictures: Sequence[Tensor], every: Sequence[Predicted | None]) -> None:
    if len(every) != len(pictures):
        raise ValueError(f"expected {len(pictures)} predictions or None, got {len(every)}")
    for picture, one in zip(pictures, every, strict=True):
        if one is not None and one.planes.shape != picture.shape:
            shapes = f"{tuple(one.planes.shape)} for {tuple(picture.shape)}"
            raise ValueError(f"expected predictions of the shape of their pictures, got {shapes}")


def _lossless_planes(pixels: Tensor) -> Tensor:
    """(N, C, H, W) uint8 -> int32: YCoCg-R of RGB."""
    return rgb_to_ycocg(pixels.int()) if pixels.shape[1] == 3 else pixels.int()


class _Opened(NamedTuple):
    """A codestream whose container, header and prediction were checked."""

    header: Header
    sections: Sections
    prediction: Prediction | None


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
    packed = sections.get(Section.PREDICTION)
    prediction = None if packed is None else unpack_prediction(packed)
    return _Opened(unpack_header(sections.one(Section.HEADER)), sections, prediction)


@contextmanager
def _reading() -> Iterator[None]:
    """What the entropy decoder finds wrong is wrong with the format."""
    try:
        yield
    except CorruptStream as error:
        raise FormatError(f"entropy-coded data: {error}") from error


def read_symbols(
    data: bytes, *, references: References = _NONE, device: torch.device | str = "cpu"
) -> tuple[Header, Symbols]:
    """The header and the integers of a codestream that is not lossless, before any pixel.

    Raises:
        FormatError: broken, foreign or lossless data, or a missing reference.
    """
    device = check_device(device)
    opened = _open(data)
    if opened.header.mode == Mode.LOSSLESS:
        raise FormatError("expected a picture that was quantised, got a lossless one")
    profile = profile_from(opened.header, device, opened.prediction)
    guess = _guess([opened], references, device)
    return opened.header, _read([opened], profile, None if guess is None else pad(guess))


def _guess(
    batch: list[_Opened], references: References, device: torch.device
) -> Tensor | None:
    """(N, C, H, W) planes that the predictions of a batch say, or None where it has none."""
    header = batch[0].header
    shape = (header.planes, header.height, header.width)
    found = [
        predict(one.prediction, references, shape, device).planes
        for one in batch
        if one.prediction is not None
    ]
    return torch.stack(found) if found else None


def _read(batch: list[_Opened], profile: Profile, guess: Tensor | None) -> Symbols:
    header, coder = batch[0].header, profile.coder
    device = profile.networks.device
    indices = [header.step_index] * len(batch)
    hints = _hints(profile, guess, torch.tensor(indices, device=device))
    terms = coder.terms(indices, hints)
    with _reading():
        coded = [
            Coded(
                unpack_stream(one.sections.one(Section.MEANS)),
                unpack_stream(one.sections.one(Section.CELLS)),
                own,
            )
            for one, own in zip(batch, terms, strict=True)
        ]
        return coder.read(coded, _padded_shape(header), device, hints)


@exact_arithmetic()
def _decode(
    batch: list[_Opened],
    profile: Profile,
    references: References,
    finish: Callable[[Symbols, Profile, Tensor | None], Tensor],
) -> Tensor:
    """(N, C, H, W) of streams with one header: uint8 pixels, or exact planes."""
    header = batch[0].header
    guess = _guess(batch, references, profile.networks.device)
    if header.mode == Mode.LOSSLESS:
        pixels = _read_lossless(batch, profile, guess)
        return pixels if finish is to_pixels else to_planes(pixels)
    padded = None if guess is None else pad(guess)
    found = finish(_read(batch, profile, padded), profile, padded)
    return found[:, :, : header.height, : header.width]


def _read_lossless(batch: list[_Opened], profile: Profile, guess: Tensor | None) -> Tensor:
    """(N, C, H, W) uint8."""
    header = batch[0].header
    shape = (header.planes, header.height, header.width)
    with _reading():
        streams = [
            CodedLossless(unpack_stream(one.sections.one(Section.LOSSLESS)), profile.lossless.bits)
            for one in batch
        ]
        planes = profile.lossless.read(streams, shape, profile.networks.device)
    if guess is not None:
        planes = planes + _lossless_planes(_to_pixels(guess))
    pixels = ycocg_to_rgb(planes) if header.planes == 3 else planes
    return pixels.clamp(0, 255).to(torch.uint8)


def exact_planes(symbols: Symbols, profile: Profile, guess: Tensor | None = None) -> Tensor:
    """(N, C, H, W) int32 padded planes that others may be predicted from."""
    return _filtered(symbols, profile, guess)[-1].clamp(-LIMIT, LIMIT)


def to_pixels(symbols: Symbols, profile: Profile, guess: Tensor | None = None) -> Tensor:
    """(N, C, H, W) uint8 padded pictures, as a decoder shows them."""
    planes, smoothed = _filtered(symbols, profile, guess)
    if profile.postfilter is None:
        return _to_pixels(smoothed)
    step = plane_steps(symbols.steps, planes.shape[1], symbols.sizes)[:, :1].float() / 2**FRACTION
    restored = profile.postfilter.restore(planes, smoothed, step, symbols.sizes).round().int()
    return _to_pixels(_where_coded(symbols, restored, planes, guess))


def _filtered(
    symbols: Symbols, profile: Profile, guess: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The decoded planes, and what the edge filter makes of them."""
    planes = profile.coder.reconstruct(symbols)
    if guess is not None:
        planes = planes + guess
    if profile.filter == Filter.NONE:
        return planes, planes
    smoothed = smooth(planes, plane_steps(symbols.steps, planes.shape[1], symbols.sizes))
    return planes, _where_coded(symbols, smoothed, planes, guess)


def _where_coded(symbols: Symbols, filtered: Tensor, planes: Tensor, guess: Tensor | None) -> Tensor:
    """Filtered planes, but a prediction that nothing was added to stays: it was filtered before."""
    if guess is None:
        return filtered
    coded = is_coded(symbols).repeat_interleave(CELL, 1).repeat_interleave(CELL, 2)
    return torch.where(coded[:, None], filtered, planes)


def _padded_shape(header: Header) -> tuple[int, int, int]:
    height, width = (n + -n % REGION for n in (header.height, header.width))
    return header.planes, height, width


def _padded_area(height: int, width: int) -> int:
    return (height + -height % REGION) * (width + -width % REGION)


def _areas(pictures: Sequence[Tensor]) -> list[int]:
    return [_padded_area(*picture.shape[1:]) for picture in pictures]


def _lanes(opened: _Opened) -> int:
    """About how many lanes: a CPU decodes streams that need as many steps together."""
    sections = opened.sections
    streams = [sections.get(kind) for kind in (Section.CELLS, Section.LOSSLESS)]
    with _reading():
        found = [unpack_stream(data)[0] for data in streams if data]
    return found[0].bit_length() // 2 if found else 0
