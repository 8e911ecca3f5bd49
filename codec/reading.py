"""Codestreams opened, and their integers read.

Axes: N picture of one shape, C plane, H W pixels.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from codec.container import FormatError, Header, Mode, Section, Sections, unpack, unpack_header
from codec.planes import from_planes, lossless_planes, padded
from codec.prediction.chain import Prediction, predict, unpack_prediction
from codec.profile import Profile
from codec.residual.analyse import Symbols
from codec.residual.coder import Coded, CodedLossless
from codec.residual.colour import ycocg_to_rgb
from codec.residual.rans import CorruptStream, unpack_stream
from codec.symbols import hints_for

References = Mapping[bytes, Tensor]  # exact planes (C, H, W) by their hash
NO_REFERENCES: References = MappingProxyType({})


def check_references(references: References) -> None:
    """Raise ValueError for what holds no references by their hash."""
    if not isinstance(references, Mapping):
        kind = type(references).__name__
        raise ValueError(f"expected exact planes by their hash (codec.references_of), got a {kind}")


class Opened(NamedTuple):
    """A codestream whose container, header and prediction were checked."""

    header: Header
    sections: Sections
    prediction: Prediction | None


def open_one(data: bytes, number: int, count: int) -> Opened:
    """`open_stream`, whose errors say which of several streams it was, counted from 0."""
    try:
        return open_stream(data)
    except FormatError as error:
        raise FormatError(f"stream {number}: {error}" if count > 1 else str(error)) from error


def open_stream(data: bytes) -> Opened:
    if not isinstance(data, bytes | bytearray | memoryview):
        raise FormatError(f"expected the bytes of a codestream, got {type(data).__name__}")
    sections = unpack(bytes(data))
    packed = sections.get(Section.PREDICTION)
    prediction = None if packed is None else unpack_prediction(packed)
    header = unpack_header(sections.one(Section.HEADER))
    keeps_chroma = prediction is not None and prediction.keeps_chroma
    if keeps_chroma and (header.planes != 1 or header.mode == Mode.LOSSLESS):
        raise FormatError("prediction: expected luma alone, with loss, where chroma is kept")
    return Opened(header, sections, prediction)


@contextmanager
def reading() -> Iterator[None]:
    """What the entropy decoder finds wrong is wrong with the format."""
    try:
        yield
    except CorruptStream as error:
        raise FormatError(f"entropy-coded data: {error}") from error


def guess_of(batch: list[Opened], references: References, device: torch.device) -> Tensor | None:
    """(N, C, H, W) planes that the predictions of a batch say, or None where it has none."""
    header = batch[0].header
    shape = (header.planes, header.height, header.width)
    found = [
        predict(one.prediction, references, shape, device).planes
        for one in batch
        if one.prediction is not None
    ]
    return torch.stack(found) if found else None


def read(batch: list[Opened], profile: Profile, guess: Tensor | None) -> Symbols:
    """The symbols of streams with one header, not lossless; `guess` (N, C, H, W) is padded."""
    header, coder = batch[0].header, profile.coder
    device = profile.networks.device
    indices = [header.step_index] * len(batch)
    hints = hints_for(profile, guess, torch.tensor(indices, device=device))
    terms = coder.terms(indices, hints)
    with reading():
        coded = [
            Coded(
                unpack_stream(one.sections.one(Section.MEANS)),
                unpack_stream(one.sections.one(Section.CELLS)),
                own,
            )
            for one, own in zip(batch, terms, strict=True)
        ]
        return coder.read(coded, padded_shape(header), device, hints)


def read_lossless(batch: list[Opened], profile: Profile, guess: Tensor | None) -> Tensor:
    """(N, C, H, W) uint8."""
    header = batch[0].header
    shape = (header.planes, header.height, header.width)
    with reading():
        streams = [
            CodedLossless(unpack_stream(one.sections.one(Section.LOSSLESS)), profile.lossless.bits)
            for one in batch
        ]
        planes = profile.lossless.read(streams, shape, profile.networks.device)
    if guess is not None:
        planes = planes + lossless_planes(from_planes(guess))
    pixels = ycocg_to_rgb(planes) if header.planes == 3 else planes
    return pixels.clamp(0, 255).to(torch.uint8)


def padded_shape(header: Header) -> tuple[int, int, int]:
    """C, H and W that are coded."""
    return header.planes, padded(header.height), padded(header.width)


def lanes_of(opened: Opened) -> int:
    """About how many lanes: a CPU decodes streams that need as many steps together."""
    sections = opened.sections
    streams = [sections.get(kind) for kind in (Section.CELLS, Section.LOSSLESS)]
    with reading():
        found = [unpack_stream(data)[0] for data in streams if data]
    return found[0].bit_length() // 2 if found else 0
