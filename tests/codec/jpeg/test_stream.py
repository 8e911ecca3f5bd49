"""JPEG files told by other files: byte for byte, smaller, and safe."""

import random

import pytest
import torch

from codec.container import FormatError
from codec.jpeg.coefficients import read_jpeg
from codec.jpeg.predicted import best_guess, opened, step_of
from codec.jpeg.stream import decode_jpeg, encode_jpeg
from codec.learn.made_pairs import burst
from codec.residual.quantise import steps
from codec.residual.transform import FRACTION
from tests.codec.jpeg.test_coefficients import jpeg
from tests.codec.test_picture import photo


def shots(quality: int = 92, **options: object) -> tuple[bytes, bytes]:
    first, second = burst(photo(0, 96, 128), 2.0, 1.03, 1.0, random.Random(3))
    return tuple(jpeg(one, quality=quality, **options) for one in (first, second))


@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"optimize": True}], ids=str)
def test_a_burst_comes_back_smaller(options: dict[str, object]) -> None:
    first, second = shots(**options)
    found = encode_jpeg(second, [jpeg(photo(2, 96, 128)), first])
    assert found is not None and found.number == 1
    assert len(found.data) < 0.75 * len(second)
    assert decode_jpeg(found.data, first) == second


def test_grey_and_odd_pictures_come_back() -> None:
    for size in ((96, 128), (61, 83)):
        first, second = burst(photo(0, *size), 1.0, 1.0, 1.0, random.Random(3))
        for child, reference in ((second[:1], first), (second, first[:1]), (second[:1], first[:1])):
            data, other = jpeg(child, quality=90), jpeg(reference, quality=90)
            found = encode_jpeg(data, [other])
            assert found is not None and decode_jpeg(found.data, other) == data


def test_headers_cost_little_where_they_are_the_same() -> None:
    first, second = shots(comment=bytes(range(256)) * 4)
    bare = shots()
    found, other = encode_jpeg(second, [first]), encode_jpeg(bare[1], [bare[0]])
    assert found is not None and other is not None
    assert len(found.data) < len(other.data) + 64


def test_strangers_are_not_predicted() -> None:
    assert encode_jpeg(jpeg(photo(0, 96, 128)), [jpeg(photo(2, 80, 64))]) is None
    assert encode_jpeg(jpeg(photo(0, 96, 128)), []) is None


def test_another_reference_is_refused() -> None:
    first, second = shots()
    found = encode_jpeg(second, [first])
    assert found is not None
    with pytest.raises(FormatError, match="needs the picture"):
        decode_jpeg(found.data, second)
    with pytest.raises(FormatError):
        decode_jpeg(found.data, b"no picture")


def test_damaged_streams_are_refused_or_another_file() -> None:
    first, second = shots(quality=60)
    found = encode_jpeg(second, [first])
    assert found is not None
    rng = random.Random(0)
    for _ in range(40):
        broken = bytearray(found.data)
        broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
        cut = bytes(broken[: rng.randrange(len(broken))]) if rng.random() < 0.3 else bytes(broken)
        try:
            decode_jpeg(cut, first)
        except FormatError:
            continue


def test_the_step_of_a_file_is_that_of_its_tables() -> None:
    file = read_jpeg(jpeg(photo(0, 16, 16), quality=50))
    detail = torch.from_numpy(file.components[0].steps)[1:15].double().log().mean().exp()
    assert steps()[step_of(file)] / 2**FRACTION == pytest.approx(float(detail), rel=0.02)


def test_the_best_of_several_references_is_taken() -> None:
    first, second = shots()
    far = jpeg(photo(0, 96, 128), quality=20)
    found = best_guess(read_jpeg(second), [opened(far), opened(first)])
    assert found is not None and found.number == 1
