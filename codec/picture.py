"""Pictures: RGB or grey tensors to codestreams and back.

The stages in the order of encoding: colour, padding, less the prediction if there is one,
`residual.analyse` (transform, sizes, quantisation, chroma from luma), `residual.coder` (contexts
and rANS), `container`. Decoding goes back the same way and ends with a filter. What both sides must
agree on is a `Profile`.

Axes: N picture of one shape, C plane, H W pixels.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from codec.batches import in_batches
from codec.container import MAX_PIXELS, FormatError, Header, Mode, Section, pack, pack_header
from codec.pictures.devices import check_device
from codec.planes import (
    areas_of,
    check_picture,
    from_planes,
    lossless_planes,
    pad,
    padded_area,
    to_planes,
)
from codec.prediction.chain import Predicted, Prediction, hash_of
from codec.profile import Profile, profile_from, profile_of
from codec.reading import (
    NO_REFERENCES,
    Opened,
    References,
    check_references,
    guess_of,
    lanes_of,
    open_one,
    open_stream,
    padded_shape,
    read,
    read_lossless,
    reading,
)
from codec.residual.analyse import Symbols
from codec.residual.exact import exact_arithmetic
from codec.residual.quantise import FRACTION, dequantise, step_map
from codec.residual.rans import pack_stream, unpack_stream
from codec.residual.transform import CELL, SAMPLE_BITS
from codec.settings import Settings, check_settings, step_of
from codec.symbols import exact_planes, symbols_of, to_pixels

_MEAN_TO_SAMPLE = CELL << FRACTION - SAMPLE_BITS


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
    every = _every_prediction(pictures, predictions)

    def one_batch(numbers: list[int]) -> list[bytes]:
        batch = torch.stack([pictures[n] for n in numbers]).to(device)
        guess, prediction = _guess_for(every, numbers, device)
        profile = profile_of(settings, batch.shape[1], device, prediction)
        streams = _encode(batch, profile, guess)
        return [
            _with_prediction(stream, every[n]) for stream, n in zip(streams, numbers, strict=True)
        ]

    return in_batches(_keys(pictures, every), areas_of(pictures), device, one_batch)


def decode(
    streams: Sequence[bytes],
    *,
    references: References = NO_REFERENCES,
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
    references: References = NO_REFERENCES,
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
    references: References = NO_REFERENCES,
    device: torch.device | str = "cpu",
) -> dict[bytes, Tensor]:
    """The exact planes of streams by their hash, as `decode` and `best_prediction` take them.

    Streams that stand on each other go one after the other; `codec.FileReferences` does that for
    files, and takes pictures, too.
    """
    every = exact(streams, references=references, device=device)
    return {hash_of(planes): planes for planes in every}


def _decoded(
    streams: Sequence[bytes],
    references: References,
    device: torch.device,
    max_pixels: int,
    finish: Callable[[Symbols, Profile, Tensor | None], Tensor],
) -> list[Tensor]:
    if isinstance(streams, bytes | bytearray | memoryview):
        raise ValueError("expected a list of codestreams, got one: codec.decode([stream])")
    check_references(references)
    opened = [open_one(data, number, len(streams)) for number, data in enumerate(streams)]
    for one in opened:
        if one.header.height * one.header.width > max_pixels:
            size = f"{one.header.width}x{one.header.height}"
            raise FormatError(f"expected at most {max_pixels} pixels, got {size}")

    # Fetched here, as a store of references may not bear being asked by several threads.
    wanted = {one.prediction.reference for one in opened if one.prediction is not None}
    known = {name: planes for name in wanted if (planes := references.get(name)) is not None}

    def one_batch(numbers: list[int]) -> list[Tensor]:
        batch = [opened[n] for n in numbers]
        profile = profile_from(batch[0].header, device, batch[0].prediction)
        found = _decode(batch, profile, known, finish).cpu()
        return [picture.contiguous() for picture in found]

    keys = [
        (
            one.header,
            one.prediction and (one.prediction.hints, one.prediction.keeps_chroma),
            lanes_of(one) if device.type == "cpu" else 0,
        )
        for one in opened
    ]
    areas = [padded_area(one.header.height, one.header.width) for one in opened]
    return in_batches(keys, areas, device, one_batch)


@exact_arithmetic()
def thumbnail(
    data: bytes, *, references: References = NO_REFERENCES, device: torch.device | str = "cpu"
) -> Tensor:
    """(C, H/8, W/8) uint8, rounded up, from the means alone; lossless and predicted pictures, whose
    means are differences, are decoded whole."""
    device = check_device(device)
    opened = open_stream(data)
    header = opened.header
    profile = profile_from(header, device, opened.prediction)
    rows, columns = (-(-n // CELL) for n in (header.height, header.width))
    if header.mode == Mode.LOSSLESS or opened.prediction is not None:
        whole = _decode([opened], profile, references, to_pixels).float()
        pad = (0, -header.width % CELL, 0, -header.height % CELL)
        small = F.avg_pool2d(F.pad(whole, pad, mode="replicate"), CELL)
        return small[0].round().to(torch.uint8).cpu()
    with reading():
        step_index = torch.tensor([header.step_index], device=device)
        stream = unpack_stream(opened.sections.one(Section.MEANS))
        means = profile.coder.read_means([stream], padded_shape(header), step_index)
    sizes = torch.zeros_like(means[0])
    planes = [
        torch.floor(
            dequantise(mean, step_map(step_index, profile.coder.weighting, chroma, sizes)[..., 0])
            / _MEAN_TO_SAMPLE
            + 0.5
        )
        for mean, chroma in zip(means, (False, True, True), strict=False)
    ]
    pixels = from_planes(torch.stack(planes, 1).int())
    return pixels[0, :, :rows, :columns].cpu()


def preview(
    pictures: Sequence[Tensor],
    settings: Sequence[Settings],
    *,
    device: torch.device | str = "cpu",
    predictions: Sequence[Predicted | None] | None = None,
) -> list[Tensor]:
    """What decoding would show, one setting a picture, without coding a bit.

    Pictures with one shape are done together even where their qualities differ, which is how the
    quality search tries several at once.
    """
    for picture, setting in zip(pictures, settings, strict=True):
        check_settings(setting)
        check_picture(picture)
    steps = [step_of(setting.quality, setting.mode) for setting in settings]
    return preview_steps(pictures, steps, settings, device=device, predictions=predictions)


def preview_steps(
    pictures: Sequence[Tensor],
    step_indices: Sequence[int],
    settings: Sequence[Settings],
    *,
    device: torch.device | str = "cpu",
    predictions: Sequence[Predicted | None] | None = None,
) -> list[Tensor]:
    """`preview` with step indices instead of the qualities of the settings."""
    device = check_device(device)
    every = _every_prediction(pictures, predictions)

    def one_batch(numbers: list[int]) -> list[Tensor]:
        first = settings[numbers[0]]
        batch = torch.stack([pictures[n] for n in numbers]).to(device)
        if first.lossless:
            return list(batch.cpu())
        guess, prediction = _guess_for(every, numbers, device)
        profile = profile_of(first, batch.shape[1], device, prediction)
        with exact_arithmetic():
            padded = None if guess is None else pad(guess)
            symbols = symbols_of(batch, [step_indices[n] for n in numbers], profile, padded)
            pixels = to_pixels(symbols, profile, padded)
        return list(pixels[:, :, : batch.shape[2], : batch.shape[3]].cpu())

    keys = [
        (*key, setting._replace(quality=0))
        for key, setting in zip(_keys(pictures, every), settings, strict=True)
    ]
    return in_batches(keys, areas_of(pictures), device, one_batch)


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

    return in_batches([tuple(p.shape) for p in pictures], areas_of(pictures), device, one_batch)


Sectioned = list[tuple[int, bytes]]  # types and payloads


@exact_arithmetic()
def _encode(pictures: Tensor, profile: Profile, guess: Tensor | None) -> list[Sectioned]:
    """The sections of pictures (N, C, H, W) uint8, less their predicted planes (N, C, H, W)."""
    header = (Section.HEADER, pack_header(profile.header(*pictures.shape[2:])))
    if profile.mode == Mode.LOSSLESS:
        planes = lossless_planes(pictures)
        if profile.planes < pictures.shape[1]:
            raise ValueError("expected every plane to be coded where nothing may be lost")
        if guess is not None:
            planes = planes - lossless_planes(from_planes(guess))
        return [
            [header, (Section.LOSSLESS, pack_stream(*one.planes))]
            for one in profile.lossless.write(planes)
        ]
    padded = None if guess is None else pad(guess)
    symbols = symbols_of(pictures, [profile.step_index] * len(pictures), profile, padded)
    return [
        [
            header,
            (Section.MEANS, pack_stream(*one.means)),
            (Section.CELLS, pack_stream(*one.cells)),
        ]
        for one in profile.coder.write(symbols, profile.bytes_per_lane)
    ]


def _with_prediction(sections: Sectioned, predicted: Predicted | None) -> bytes:
    """A stream; what a picture stands on comes before what is left over of it."""
    if predicted is None:
        return pack(sections)
    prediction = (Section.PREDICTION, predicted.prediction.pack())
    return pack([sections[0], prediction, *sections[1:]])


def _every_prediction(
    pictures: Sequence[Tensor], predictions: Sequence[Predicted | None] | None
) -> list[Predicted | None]:
    """One a picture, checked."""
    every: list[Predicted | None] = [None] * len(pictures)
    if isinstance(predictions, Predicted):
        raise ValueError("expected a list of predictions, got one: predictions=[predicted]")
    if predictions is not None:
        every = list(predictions)
    if len(every) != len(pictures):
        raise ValueError(f"expected {len(pictures)} predictions or None, got {len(every)}")
    for picture, one in zip(pictures, every, strict=True):
        if one is not None and not isinstance(one, Predicted):
            kind = type(one).__name__
            raise ValueError(f"expected what codec.best_prediction returns, got a {kind}")
        if one is not None and one.prediction.keeps_chroma and len(picture) == 1:
            raise ValueError("expected a colour picture where chroma stays as predicted, got grey")
        if one is not None and one.planes.shape != picture.shape:
            shapes = f"{tuple(one.planes.shape)} for {tuple(picture.shape)}"
            raise ValueError(f"expected predictions of the shape of their pictures, got {shapes}")
    return every


def _keys(pictures: Sequence[Tensor], every: Sequence[Predicted | None]) -> list[tuple[Any, ...]]:
    """What pictures of one batch have in common."""
    return [
        (tuple(picture.shape), one and (one.prediction.hints, one.prediction.keeps_chroma))
        for picture, one in zip(pictures, every, strict=True)
    ]


def _guess_for(
    every: Sequence[Predicted | None], numbers: list[int], device: torch.device
) -> tuple[Tensor | None, Prediction | None]:
    """The predicted planes (N, C, H, W) of a batch, and one of its predictions."""
    found = [one for n in numbers if (one := every[n]) is not None]
    if not found:
        return None, None
    return torch.stack([one.planes for one in found]).to(device), found[0].prediction


def read_symbols(
    data: bytes, *, references: References = NO_REFERENCES, device: torch.device | str = "cpu"
) -> tuple[Header, Symbols]:
    """The header and the integers of a codestream that is not lossless, before any pixel.

    Raises:
        FormatError: broken, foreign or lossless data, or a missing reference.
    """
    device = check_device(device)
    opened = open_stream(data)
    if opened.header.mode == Mode.LOSSLESS:
        raise FormatError("expected a picture that was quantised, got a lossless one")
    profile = profile_from(opened.header, device, opened.prediction)
    guess = guess_of([opened], references, device)
    return opened.header, read([opened], profile, None if guess is None else pad(guess))


@exact_arithmetic()
def _decode(
    batch: list[Opened],
    profile: Profile,
    references: References,
    finish: Callable[[Symbols, Profile, Tensor | None], Tensor],
) -> Tensor:
    """(N, C, H, W) of streams with one header: uint8 pixels, or exact planes."""
    header = batch[0].header
    guess = guess_of(batch, references, profile.networks.device)
    if header.mode == Mode.LOSSLESS:
        pixels = read_lossless(batch, profile, guess)
        return pixels if finish is to_pixels else to_planes(pixels)
    padded = None if guess is None else pad(guess)
    found = finish(read(batch, profile, padded), profile, padded)
    return found[:, :, : header.height, : header.width]
