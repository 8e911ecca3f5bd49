"""A JPEG file as a prediction from another one and what is new, and back, byte for byte.

stream = encode_jpeg(data, [other, another])        # None where no file helps
data = decode_jpeg(stream.data, other)

Byte by byte: version, fingerprint of the networks (4), then prediction, headers and coefficients,
each behind its length. Headers are deflated with those of the reference as their dictionary.
"""

import zlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from codec.container import FormatError
from codec.jpeg.blocks import LARGEST, Guess, guess_of
from codec.jpeg.coefficients import (
    Component,
    JpegFile,
    UnknownJpeg,
    read_jpeg,
    shapes_of,
    write_jpeg,
)
from codec.jpeg.passes import Beside, Guesses, beside_luma, code_blocks, nothing_beside
from codec.jpeg.predicted import best_guess, opened
from codec.prediction.chain import predict, unpack_prediction
from codec.residual.context_sets import Contexts, load_contexts
from codec.residual.exact import exact_arithmetic
from codec.residual.passes import Source
from codec.residual.rans import CorruptStream, RansReader, RansWriter, pack_stream, unpack_stream
from codec.residual.sources import CellReader, CellWriter
from codec.varint import VarintError, pack_varint, unpack_varint

SHIPPED = Path(__file__).with_name("networks.safetensors")
SET = "jpeg"  # its name in that file
_VERSION = 1
_MOST_HEADERS = 1 << 26
_CPU = torch.device("cpu")


class JpegStream(NamedTuple):
    """A file as what another one says of it and what is new.

    Attributes:
        data: the bytes.
        number: of the reference that it needs.
    """

    data: bytes
    number: int


@cache
def shipped_networks() -> Contexts:
    """The networks that ship."""
    return load_contexts(SHIPPED)[SET]


def encode_jpeg(
    data: bytes, references: Sequence[bytes], networks: Contexts | None = None
) -> JpegStream | None:
    """A JPEG file predicted from the one of others that is nearest; None where none helps.

    Raises:
        UnknownJpeg: a file, or references, that are not taken apart.
    """
    file = read_jpeg(data)
    others = [opened(reference) for reference in references]
    found = best_guess(file, others)
    if found is None:
        return None
    networks = networks or shipped_networks()
    headers = _deflate(_join([file.head, file.tail]), others[found.number].file.head)
    body = _write(file, found.guesses, networks)
    parts = [found.prediction.pack(), headers, body]
    start = bytes([_VERSION]) + networks.fingerprint.to_bytes(4, "big")
    return JpegStream(start + _join(parts), found.number)


def decode_jpeg(stream: bytes, reference: bytes, networks: Contexts | None = None) -> bytes:
    """Inverse of `encode_jpeg`.

    Raises:
        FormatError: not what it made, or another reference.
    """
    networks = networks or shipped_networks()
    if stream[:1] != bytes([_VERSION]):
        raise FormatError(f"expected a predicted JPEG file of version {_VERSION}")
    if int.from_bytes(stream[1:5], "big") != networks.fingerprint:
        raise FormatError("needs context networks that this version does not have")
    try:
        packed, headers, body = _split(stream[5:], 3)
        other = opened(reference)
        head, tail = _split(_inflate(headers, other.file.head), 2)
        size, components = shapes_of(head)
        shape = (len(components), *size)
        predicted = predict(unpack_prediction(packed), {other.name: other.planes}, shape)
        guesses = guess_of(predicted.planes, components)
        return write_jpeg(JpegFile(head, tail, size, _read(body, components, guesses, networks)))
    except (UnknownJpeg, CorruptStream, VarintError, zlib.error) as error:
        raise FormatError(f"broken predicted JPEG file: {error}") from error


@exact_arithmetic()
def _write(file: JpegFile, guesses: list[Guess], networks: Contexts) -> bytes:
    values = sum(one.blocks.size for one in file.components)
    writer = RansWriter(1, _CPU, values)
    blocks = [torch.from_numpy(one.blocks) for one in file.components]

    def source(number: int) -> Source:
        off = (blocks[number] - guesses[number].levels)[None, :, :, None]
        return CellWriter(writer, off[..., 0, 0], off)

    _code(guesses, networks, source)
    (stream,) = writer.finish()
    return pack_stream(*stream)


@exact_arithmetic()
def _read(
    body: bytes, components: list[Component], guesses: list[Guess], networks: Contexts
) -> list[Component]:
    values = sum(one.blocks.size for one in components)
    reader = RansReader([unpack_stream(body)], _CPU, values)
    found = _code(guesses, networks, lambda number: CellReader(reader, 2 * LARGEST + 1))
    reader.close()
    return [
        one._replace(blocks=(guess.levels + off[0]).numpy())
        for one, guess, off in zip(components, guesses, found, strict=True)
    ]


def _code(
    guesses: list[Guess], networks: Contexts, source: Callable[[int], Source]
) -> list[Tensor]:
    """What every component is off by, (1, I, J, 64) each, as sources have it."""
    found: list[Tensor] = []
    for number, guess in enumerate(guesses):
        levels = guess.levels[None]
        there = torch.ones(levels.shape[:3], dtype=torch.bool)
        given = Guesses(levels, guess.fractions[None], guess.steps[None], there)
        beside: Beside = (
            beside_luma(found[0], levels[..., 0], found[1] if number == 2 else None)
            if number
            else nothing_beside(given)
        )
        name = "chroma" if number else "luma"
        found.append(code_blocks(name, networks, source(number), given, beside))
    return found


def _join(parts: Sequence[bytes]) -> bytes:
    return b"".join(pack_varint(len(part)) + part for part in parts)


def _split(data: bytes, count: int) -> list[bytes]:
    found, at = [], 0
    for _ in range(count):
        size, at = unpack_varint(data, at)
        if at + size > len(data):
            raise FormatError("expected parts that end in the data")
        found.append(data[at : at + size])
        at += size
    return found


def _deflate(data: bytes, dictionary: bytes) -> bytes:
    packer = zlib.compressobj(9, zdict=dictionary)
    return packer.compress(data) + packer.flush()


def _inflate(data: bytes, dictionary: bytes) -> bytes:
    unpacker = zlib.decompressobj(zdict=dictionary)
    found = unpacker.decompress(data, _MOST_HEADERS)
    if not unpacker.eof:
        raise FormatError("expected whole headers")
    return found
