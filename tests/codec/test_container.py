"""The file format: every field checked, every flipped bit noticed, nothing allocated on a word."""

import io
import random
import struct
import time
import zlib
from pathlib import Path

import pytest
import torch

import codec
from codec.container import (
    MAGIC,
    Filter,
    FormatError,
    Header,
    Mode,
    Section,
    pack,
    pack_header,
    pack_section,
    read_sections,
    unpack,
    unpack_header,
)
from codec.residual.context_sets import shipped_contexts
from codec.residual.rans import MOST_LANES, CorruptStream, pack_stream, unpack_stream
from codec.varint import VarintError, pack_varint, unpack_varint

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.dfc"))
SMALL = [p for p in GOLDEN if p.stem in ("tiny", "one", "grey", "perceptual")]
HEADER = Header(5, 7, 3, Mode.MSE, 90, Filter.EDGE, 0x12345678)


def mended(data: bytes) -> bytes:
    """The same with right checksums, as far as the sections can be followed."""
    out, at = bytearray(data), len(MAGIC) + 1
    while at < len(out):
        try:
            length, start = unpack_varint(bytes(out), at + 1)
        except VarintError:
            break
        end = start + length
        if end + 4 > len(out):
            break
        out[end : end + 4] = struct.pack("<I", zlib.crc32(out[at:end]))
        at = end + 4
    return bytes(out)


def decodes_or_refuses(data: bytes) -> bool:
    """Whether it decodes; anything but FormatError is raised further."""
    try:
        (pixels,) = codec.decode([data], max_pixels=1 << 14)
    except FormatError as error:
        assert str(error)
        return False
    header = unpack_header(unpack(data).one(Section.HEADER))
    assert pixels.shape == (header.planes, header.height, header.width)
    return True


@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: p.stem)
def test_every_flipped_bit_and_every_truncation_is_noticed(path: Path) -> None:
    data = path.read_bytes()
    positions = range(len(data)) if len(data) < 2500 else range(0, len(data), 7)
    for position in positions:
        for bit in range(8):
            broken = bytearray(data)
            broken[position] ^= 1 << bit
            with pytest.raises(FormatError):
                codec.decode([bytes(broken)])
        with pytest.raises(FormatError):
            codec.decode([data[:position]])


def mutate(data: bytes, chance: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 8))):
        kind, at = chance.randrange(4), chance.randrange(len(out))
        if kind == 0:
            out[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            out[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        elif kind == 2:
            del out[at : at + chance.randrange(1, 9)]
        else:
            out[at:at] = chance.randbytes(chance.randrange(1, 9))
        out = out or bytearray(b"\0")
    return bytes(out)


def fuzz(count: int, seed: int) -> None:
    chance = random.Random(seed)
    sources = [path.read_bytes() for path in SMALL]
    weights = [1 if len(data) > 100 else 30 for data in sources]  # the small ones are quick
    for number in range(count):
        (source,) = chance.choices(sources, weights)
        broken = mutate(source, chance)
        broken = mended(broken) if number % 2 else broken
        started = time.monotonic()
        decodes_or_refuses(broken)
        assert time.monotonic() - started < 60


def test_mutations_decode_or_are_refused() -> None:
    fuzz(600, 0)


@pytest.mark.slow
def test_a_hundred_thousand_mutations() -> None:
    fuzz(100_000, 1)


def test_headers_come_back() -> None:
    for header in (
        HEADER,
        Header(1, 1, 1, Mode.LOSSLESS, 0, Filter.NONE, 0),
        Header(300, 70_000, 3, Mode.PERCEPTUAL, 255, Filter.NETWORK, 1, 0xFFFFFFFF),
    ):
        assert unpack_header(pack_header(header)) == header


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "begins with 89 44 46 43"),
        (b"\x89PNG\r\n", "begins with"),
        (MAGIC, "version 2"),
        (MAGIC + b"\x01", "version 2"),
        (pack([(17, b"block")]), "type 17 needs a newer version"),
        (pack([(1, b"abc")])[:-1], "truncated, 1 bytes"),
        (MAGIC + b"\x02\x01\xff\xff\xff\xff\x7f", "truncated"),
        (MAGIC + b"\x02\x01\xff\xff\xff\xff\xff\xff", "length"),
    ],
)
def test_what_is_no_codestream_is_said(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        unpack(data)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (HEADER._replace(planes=2), "1 or 3 planes, got 2"),
        (HEADER._replace(height=0), "7x0"),
        (HEADER._replace(width=1 << 21), "pixels a side"),
        (HEADER._replace(width=1 << 15, height=1 << 15), "134217728 in all"),
        (HEADER._replace(mode=9), "known mode"),
        (HEADER._replace(filter=3), "known mode and filter"),
        (HEADER._replace(planes=1, filter=Filter.NETWORK), "three planes"),
    ],
)
def test_headers_out_of_range_are_refused(header: Header, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        unpack_header(pack_header(header))


def test_headers_of_the_wrong_length_are_refused() -> None:
    packed = pack_header(HEADER)
    for broken in (packed[:-1], packed + b"\0", packed[:4], pack_header(
        HEADER._replace(filter=Filter.NETWORK))[:-2]):  # fmt: skip
        with pytest.raises(FormatError, match=r"header|length"):
            unpack_header(broken)


def test_sections_that_may_be_skipped_are() -> None:
    data = pack([(1, pack_header(HEADER))]) + pack_section(200, b"of the future")
    assert (200, b"of the future") in unpack(data).found


def test_sections_may_be_repeated_where_that_has_a_meaning() -> None:
    sections = unpack(pack([(5, b"a"), (5, b"b"), (128, b"exif")]))
    assert sections.all(Section.ITEM) == [b"a", b"b"]
    assert sections.one(Section.EXIF) == b"exif" and sections.get(Section.ICC) is None
    with pytest.raises(FormatError, match="one section item, got 2"):
        sections.one(Section.ITEM)
    for data, message in (
        (pack([]), "expected a section header"),
        (pack([(1, pack_header(HEADER))] * 2), "one section header, got 2"),
    ):
        with pytest.raises(FormatError, match=message):
            codec.decode([data])
    other = bytearray(pack_header(HEADER))
    other[0] = 1
    with pytest.raises(FormatError, match="a picture, got kind 1"):
        unpack_header(bytes(other))


def test_only_the_wanted_sections_are_read() -> None:
    data = pack([(1, b"head"), (2, b"x" * 1000), (128, b"exif")])
    broken = bytearray(data)
    broken[100] ^= 1  # inside the one that is passed over
    file = io.BytesIO(bytes(broken))
    assert list(read_sections(file, {1, 128})) == [(1, b"head"), (128, b"exif")]
    with pytest.raises(FormatError, match="checksum of section 2"):
        list(read_sections(file))


def test_missing_parts_are_named() -> None:
    with pytest.raises(FormatError, match="section means"):
        here = shipped_contexts("full", torch.device("cpu")).fingerprint
        codec.decode([pack([(1, pack_header(HEADER._replace(contexts=here)))])])
    with pytest.raises(FormatError, match="networks 12345678"):
        stream = pack_stream(1, b"\0\0\1\0")
        codec.decode([pack([(1, pack_header(HEADER)), (2, stream), (3, stream)])])


def test_lanes_are_limited() -> None:
    for broken in (pack_stream(0, b""), pack_stream(MOST_LANES + 1, b"\0" * 99_999),
                   pack_stream(9, b"\0" * 35)):  # fmt: skip
        with pytest.raises(CorruptStream, match="lanes"):
            unpack_stream(broken)
    assert unpack_stream(pack_stream(3, b"\0" * 12)) == (3, b"\0" * 12)


def test_varints() -> None:
    for value in (0, 1, 127, 128, 300, 1 << 27, (1 << 35) - 1):
        assert unpack_varint(b"x" + pack_varint(value), 1) == (value, 1 + len(pack_varint(value)))


def test_a_picture_above_the_caller_s_limit_is_refused() -> None:
    with pytest.raises(FormatError, match="at most 100 pixels, got 70x45"):
        codec.decode([next(p for p in GOLDEN if p.stem == "mse").read_bytes()], max_pixels=100)
