"""The form of the gallery's application: what was coded comes back, and nothing else is read."""

import random
from itertools import pairwise

import pytest
import torch

from codec.container import FormatError
from codec.gallery import literal
from codec.learn.made_pairs import burst
from codec.search.scores import SCORES
from tests.codec.test_picture import photo


@pytest.fixture(scope="module")
def shots() -> list[torch.Tensor]:
    return burst(photo(1, 200, 280), 4.0, 1.04, 1.0, random.Random(0), 2)


@pytest.mark.parametrize("is_robust", [True, False])
def test_a_picture_comes_back(shots: list[torch.Tensor], is_robust: bool) -> None:
    similar, pixels = shots
    psnr = SCORES["psnr"].measure
    reached, sizes = [], []
    for quality in (60, 80, 95):
        stream = literal.encode(pixels, similar, quality, is_robust)
        assert stream is not None
        shown = literal.decode(stream, similar)
        assert shown.shape == pixels.shape and shown.dtype == torch.uint8
        reached.append(psnr(pixels, shown))
        sizes.append(len(stream))
    assert all(a < b for a, b in pairwise(reached)) and all(a < b for a, b in pairwise(sizes))
    assert reached[-1] > max(36, psnr(pixels, similar) + 5)


def test_blocks_are_found_wherever_they_are() -> None:
    generator = torch.Generator().manual_seed(0)
    reference = torch.randint(0, 256, (3, 40, 56), generator=generator)
    numbers = literal._nearest_blocks(
        reference[:, :, list(range(16, 56)) + list(range(16))], reference
    )
    whole = literal._blocks(reference).reshape(3, 4, -1)
    assert numbers.reshape(3, 4)[0, :2].tolist() == [1, 2] and len(whole) == 3
    own = literal._nearest_blocks(reference, reference)
    assert torch.equal(own, torch.arange(12))
    assert torch.equal(literal._assembled(reference, own, (40, 56)), reference.int())


def test_what_is_no_stream_is_refused(shots: list[torch.Tensor]) -> None:
    similar, pixels = shots
    stream = literal.encode(pixels, similar, 80)
    assert stream is not None
    with pytest.raises(FormatError, match="predicted from"):
        literal.decode(stream, pixels)
    rng = random.Random(0)
    for number in range(60):
        broken = bytearray(stream)
        broken[rng.randrange(min(len(broken), 300))] ^= rng.randrange(1, 256)
        cut = rng.randrange(len(broken)) if number % 3 == 0 else len(broken)
        try:
            shown = literal.decode(bytes(broken[:cut]), similar)
        except ValueError:
            continue
        assert shown.shape == pixels.shape


def test_nothing_in_common_is_no_stream(shots: list[torch.Tensor]) -> None:
    assert literal.encode(shots[0], torch.full_like(shots[0], 90), 80) is None
