"""Alphabet and rANS: what is put comes back, by hand and by property."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from codec.residual import alphabet, rans
from codec.residual.rans import CorruptStream, RansReader, RansWriter, lanes_for
from codec.residual.sources import get_values, put_values

CPU = torch.device("cpu")


def random_logits(n: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-128, 128, (n, 4), generator=generator).to(torch.int8)


def decode_by_hand(lanes: int, data: bytes, boundaries: list[list[int]]) -> list[int]:
    """A scalar rANS decoder from the format's description, one put of symbols."""
    words = [data[i] | data[i + 1] << 8 for i in range(0, len(data), 2)]
    states = [words[2 * i] << 16 | words[2 * i + 1] for i in range(lanes)]
    rest = iter(words[2 * lanes :])
    symbols = []
    for first in range(0, len(boundaries), lanes):
        active = min(lanes, len(boundaries) - first)
        for lane in range(active):
            bounds = boundaries[first + lane]
            slot = states[lane] & 0x7FFF
            symbol = max(k for k in range(len(bounds) - 1) if bounds[k] <= slot)
            width = bounds[symbol + 1] - bounds[symbol]
            states[lane] = width * (states[lane] >> 15) + slot - bounds[symbol]
            symbols.append(symbol)
        for lane in range(active):
            if states[lane] < 1 << 16:
                states[lane] = states[lane] << 16 | next(rest)
    assert states == [1 << 16] * lanes
    assert next(rest, None) is None
    return symbols


def test_boundaries_are_complete_and_leave_no_symbol_out() -> None:
    logits = torch.cartesian_prod(*[torch.tensor([-128, -40, 0, 33, 127])] * 4).to(torch.int8)
    for bounds in (
        alphabet.event_boundaries(logits),
        alphabet.tail_boundaries(logits),
        alphabet.class_boundaries(logits),
    ):
        assert (bounds[:, 0] == 0).all()
        assert (bounds[:, -1] == alphabet.TOTAL).all()
        assert (bounds.diff(dim=1) >= 1).all()


def test_boundaries_follow_the_logits() -> None:
    logits = torch.tensor([[16, -16, 32, 0]], dtype=torch.int8)

    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    zero, positive, one = sigmoid(1), sigmoid(-1), sigmoid(2)
    expected = [
        zero,
        (1 - zero) * positive * one,
        (1 - zero) * positive * (1 - one),
        (1 - zero) * (1 - positive) * one,
        (1 - zero) * (1 - positive) * (1 - one),
    ]
    found = alphabet.event_boundaries(logits).diff(dim=1)[0] / alphabet.TOTAL
    torch.testing.assert_close(found, torch.tensor(expected), atol=2e-4, rtol=0)
    tail = alphabet.tail_boundaries(logits).diff(dim=1)[0] / alphabet.TOTAL
    geometric = torch.tensor([0.5 ** (i + 1) for i in range(8)])
    torch.testing.assert_close(tail[:8], geometric, atol=1e-3, rtol=0)


def test_tables_do_not_hang_on_the_last_bit_of_a_libm() -> None:
    for i in range(-128, 128):
        x = alphabet.TOTAL / (1 + math.exp(-i / alphabet.LOGIT_STEPS))
        assert i == 0 or abs(x - math.floor(x) - 0.5) > 1e-7
    for n in range(1, alphabet.TOTAL + 1):
        x = -alphabet.COST_UNIT * math.log2(n / alphabet.TOTAL)
        assert abs(x - math.floor(x) - 0.5) > 1e-9


def test_costs_are_what_the_writer_spends() -> None:
    logits = random_logits(500)
    values = torch.randint(-60, 60, (500,), dtype=torch.int32)
    values[:20] = torch.tensor([46, 47, 48, 61, 62, 63, 100, 255, 1000, 65535] * 2).int()
    values[10:20] *= -1
    found = alphabet.value_costs(logits, values)
    for i in range(len(values)):
        writer = RansWriter(1, CPU)
        put_values(writer, logits[i : i + 1], values[i : i + 1], torch.zeros(1, dtype=torch.int64))
        assert int(found[i]) / alphabet.COST_UNIT == pytest.approx(writer.bits().item(), abs=0.02)


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.lists(st.integers(0, 700), min_size=2, max_size=2), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
)
def test_what_is_put_comes_back(counts: list[list[int]], seed: int) -> None:
    pictures = [list(x) for x in zip(*counts, strict=True)]
    writer = RansWriter(2, CPU)
    put = []
    generator = torch.Generator().manual_seed(seed)
    for number, part in enumerate(counts):
        bounds = alphabet.event_boundaries(random_logits(sum(part), seed + number))
        slots = torch.randint(alphabet.TOTAL, (sum(part), 1), generator=generator)
        symbols = (slots >= bounds[:, 1:-1]).sum(1)
        writer.put(bounds, symbols, part)
        put.append((bounds, symbols, part))
    bits = writer.bits()
    streams = writer.finish()
    reader = RansReader(streams, CPU)
    for bounds, symbols, part in put:
        assert torch.equal(reader.get(bounds, part), symbols)
    reader.close()
    assert len(pictures) == 2
    for (lanes, data), theory in zip(streams, bits.tolist(), strict=True):
        assert abs(lanes - lanes_for(int(theory / 8), 0)) <= 1
        assert len(data) <= theory / 8 * 1.001 + 4 * lanes + 2


def test_a_picture_alone_has_the_same_words() -> None:
    bounds = alphabet.event_boundaries(random_logits(9000))
    symbols = torch.randint(5, (9000,))
    together = RansWriter(3, CPU)
    together.put(bounds, symbols, [4000, 0, 5000])
    alone = RansWriter(1, CPU)
    alone.put(bounds[4000:], symbols[4000:], [5000])
    assert together.finish()[2] == alone.finish()[0]


def test_unlike_pictures_have_the_same_words_too() -> None:
    logits = torch.tensor([[127, 0, 0, 0]], dtype=torch.int8).expand(60_000, -1)
    cheap, dear = alphabet.event_boundaries(logits), alphabet.event_boundaries(random_logits(9000))
    symbols = torch.cat((torch.zeros(60_000, dtype=torch.int64), torch.randint(5, (9000,))))
    writer = RansWriter(2, CPU)
    writer.put(torch.cat((cheap, dear)), symbols, [60_000, 9000])
    together = writer.finish()
    alone = RansWriter(1, CPU)
    alone.put(dear, symbols[60_000:], [9000])
    assert together[1] == alone.finish()[0]
    assert together[0][0] < together[1][0]


def test_streams_of_many_values_have_many_lanes() -> None:
    writer = RansWriter(1, CPU, values=1 << 20)
    writer.put(alphabet.event_boundaries(random_logits(3)), torch.zeros(3).long(), [3])
    ((lanes, data),) = writer.finish()
    assert lanes == 16
    RansReader([(lanes, data)], CPU, values=1 << 20)
    with pytest.raises(CorruptStream, match="at least 17 lanes"):
        RansReader([(lanes, data)], CPU, values=(1 << 20) + 1)


def test_a_scalar_decoder_agrees() -> None:
    bounds = alphabet.event_boundaries(random_logits(4001))
    symbols = torch.randint(5, (4001,))
    writer = RansWriter(1, CPU)
    writer.put(bounds, symbols, [4001])
    ((lanes, data),) = writer.finish()
    assert lanes > 1
    assert decode_by_hand(lanes, data, bounds.tolist()) == symbols.tolist()


def test_corrupt_words_are_noticed() -> None:
    bounds = alphabet.event_boundaries(random_logits(3000))
    symbols = torch.randint(5, (3000,))
    writer = RansWriter(1, CPU)
    writer.put(bounds, symbols, [3000])
    ((lanes, data),) = writer.finish()
    for broken in (data[:-2], data + b"\0\0", data[:40] + b"\x55\xaa" + data[42:]):
        with pytest.raises(CorruptStream):
            reader = RansReader([(lanes, broken)], CPU)
            reader.get(bounds, [3000])
            reader.close()
    with pytest.raises(CorruptStream, match="at least"):
        RansReader([(4, b"\0" * 15)], CPU)


def test_values_of_every_size() -> None:
    values = torch.tensor([0, 1, -1, 2, -2, 16, 17, -17, 18, 31, 32, -33, 500, -4000, 70000])
    logits = random_logits(len(values))
    owner = torch.tensor([0] * 7 + [2] * 8)
    writer = RansWriter(3, CPU)
    put_values(writer, logits, values.int(), owner)
    reader = RansReader(writer.finish(), CPU)
    assert torch.equal(get_values(reader, logits, owner, 70000), values.int())
    reader.close()


def test_a_value_beyond_the_largest_is_refused() -> None:
    writer = RansWriter(1, CPU)
    logits, owner = random_logits(1), torch.zeros(1, dtype=torch.int64)
    put_values(writer, logits, torch.tensor([5000], dtype=torch.int32), owner)
    with pytest.raises(CorruptStream, match="up to 100"):
        get_values(RansReader(writer.finish(), CPU), logits, owner, 100)


def test_arrays_and_tensors_give_the_same_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loops run on NumPy arrays on a CPU and on tensors elsewhere."""
    logits = random_logits(3000)
    values = torch.randint(-9, 9, (3000,), dtype=torch.int32)
    owner = torch.arange(3).repeat_interleave(torch.tensor([100, 2000, 900]))

    def there_and_back() -> tuple[list[tuple[int, bytes]], torch.Tensor]:
        writer = RansWriter(3, CPU, bytes_per_lane=64)
        put_values(writer, logits, values, owner)
        streams = writer.finish()
        reader = RansReader(streams, CPU)
        found = get_values(reader, logits, owner, 100)
        reader.close()
        return streams, found

    arrays = there_and_back()
    monkeypatch.setattr(rans, "_numpy_on_cpu", lambda *tensors: (torch.where, list(tensors)))
    tensors = there_and_back()
    assert arrays[0] == tensors[0]
    assert torch.equal(arrays[1], values) and torch.equal(tensors[1], values)
