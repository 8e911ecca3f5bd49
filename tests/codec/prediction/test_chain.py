"""Chains of steps as bytes, and what they stand on."""

import math
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.container import FormatError
from codec.prediction.alpha import Alpha
from codec.prediction.binary_coder import BinaryReader, BinaryWriter
from codec.prediction.chain import (
    STEPS,
    MissingReference,
    Prediction,
    Step,
    hash_of,
    predict,
    unpack_prediction,
)
from codec.prediction.fields import LARGEST, pack_field, unpack_field
from codec.prediction.grade import Grade
from codec.prediction.motion import Motion
from codec.prediction.tone import Tone, straight
from codec.prediction.upsample import Kernel, Upsample
from codec.prediction.warp import Warp
from tests.codec.prediction.test_steps import NO_GRADE, STEEP, noise

EVERY: tuple[Step, ...] = (
    Upsample(3, 2, Kernel.BILINEAR, 5, 7),
    Warp(STEEP),
    Motion(torch.randint(-40, 40, (2, 4, 5), dtype=torch.int16)),
    Tone(tuple(n + k for k, n in enumerate(straight(17))), ((250,) * 17, (270,) * 17), (3, -4)),
    Tone(tuple(straight(2))),
    Grade(NO_GRADE),
    Alpha(torch.randint(0, 4, (2, 3), dtype=torch.int8)),
)


def test_steps_come_back_from_their_bytes() -> None:
    planes = noise(64, 80)
    for step in EVERY:
        again = type(step).unpack(step.pack())
        assert torch.equal(again(planes, (64, 80)), step(planes, (64, 80)))
        assert again.pack() == step.pack() and STEPS[step.TAG] is type(step)


@pytest.mark.parametrize("hints", [False, True])
def test_predictions_come_back_from_their_bytes(hints: bool) -> None:
    prediction = Prediction(bytes(range(16)), EVERY[:4], hints, not hints)
    again = unpack_prediction(prediction.pack())
    assert again.reference == prediction.reference and len(again.steps) == 4
    assert (again.hints, again.keeps_chroma) == (hints, not hints)
    assert again.pack() == prediction.pack()


def test_broken_predictions_are_refused_or_are_others() -> None:
    """Nothing but FormatError, whatever the bytes: a stream's checksum says the rest."""
    chance = random.Random(0)
    data = Prediction(bytes(16), EVERY).pack()
    for number in range(4000):
        broken = bytearray(data)
        for _ in range(1 + number % 3):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        broken = broken[: chance.randrange(len(broken))] if number % 2 else broken
        try:
            unpack_prediction(bytes(broken))
        except FormatError as error:
            assert str(error)


def test_a_wrong_size_is_said() -> None:
    with pytest.raises(FormatError, match="expected 40x30 pixels, got 50x30"):
        Prediction(bytes(16))(noise(30, 50), (30, 40))


def test_references_are_checked() -> None:
    planes = noise(20, 24)
    prediction = Prediction(hash_of(planes))
    assert torch.equal(predict(prediction, {hash_of(planes): planes}, (3, 20, 24)).planes, planes)
    with pytest.raises(MissingReference, match=hash_of(planes).hex()):
        predict(prediction, {}, (3, 20, 24))
    for wrong in (planes + 1, planes[0], planes.float()):
        with pytest.raises(FormatError, match="got another one"):
            predict(prediction, {hash_of(planes): wrong}, (3, 20, 24))


def test_hashes_tell_pictures_apart() -> None:
    planes = noise(6, 8)
    changed = planes.clone()
    changed[2, 5, 7] += 1
    every = (planes, changed, planes.reshape(3, 8, 6), planes[:1], planes.reshape(1, 18, 8))
    assert len({hash_of(one) for one in every}) == 5
    assert hash_of(planes.long()) == hash_of(planes) == hash_of(planes.short())


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_fields_come_back(data: st.DataObject) -> None:
    shape = [data.draw(st.integers(1, most)) for most in (3, 9, 9)]
    size = data.draw(st.sampled_from((1, 6, 200, LARGEST)))
    seed = data.draw(st.integers(0, 99))
    generator = torch.Generator().manual_seed(seed)
    field = torch.randint(-size, size + 1, shape, generator=generator)
    assert torch.equal(unpack_field(pack_field(field)).long(), field)


def test_fields_that_follow_their_neighbours_are_small() -> None:
    slope = (torch.arange(32)[:, None] * 3 + torch.arange(48) * 2)[None]
    assert len(pack_field(torch.zeros(1, 32, 48))) < 12
    assert len(pack_field(slope)) < 130
    noisy = torch.randint(-8, 8, (1, 32, 48))
    assert len(pack_field(noisy)) < 1.35 * 32 * 48 * 4 / 8  # the median of noise is worth nothing


def test_decisions_take_about_what_they_tell() -> None:
    chance = random.Random(0)
    decisions = [chance.random() < 0.05 for _ in range(4000)]
    writer = BinaryWriter()
    for bit in decisions:
        writer.decide("one", bit)
    data = writer.finish()
    share = sum(decisions) / len(decisions)
    entropy = -share * math.log2(share) - (1 - share) * math.log2(1 - share)
    assert 8 * len(data) < 1.06 * len(decisions) * entropy
    reader = BinaryReader(data)
    assert [reader.decide("one", False) for _ in decisions] == decisions


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x01\x00\x05", b"\x05\x01\x01", b"\xff" * 9])
def test_fields_that_are_none(data: bytes) -> None:
    with pytest.raises(FormatError):
        unpack_field(data)
