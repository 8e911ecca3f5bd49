"""Steps of predictions against plain arithmetic, and what they must leave alone."""

import math
from collections.abc import Callable
from fractions import Fraction

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from codec.container import FormatError
from codec.pictures.mapping import ColourMapping, identity_coefficients
from codec.planes import from_planes, to_planes
from codec.prediction.alpha import QUARTERS, Alpha
from codec.prediction.grade import COEFFICIENT_BITS, Grade
from codec.prediction.interpolation import LIMIT, cubic, cubic_table
from codec.prediction.motion import BLOCK, Motion
from codec.prediction.tone import SLOPE_ONE, Tone, straight
from codec.prediction.upsample import Kernel, Upsample
from codec.prediction.warp import CORNER_ONE, Warp, homography
from codec.residual.transform import forward
from tests.codec.test_picture import photo

NO_GRADE = tuple(int(k * 2**COEFFICIENT_BITS) for k in identity_coefficients().flatten())
STEEP = (-90, 40, 111, -45, 60, 133, -20, -112)


def noise(height: int, width: int, seed: int = 0) -> Tensor:
    """(3, H, W) int32 in the range of planes."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-2048, 2048, (3, height, width), generator=generator, dtype=torch.int32)


@pytest.mark.parametrize(
    "step",
    [
        Warp((0,) * 8),
        Motion(torch.zeros(2, 3, 4, dtype=torch.int16)),
        Alpha(torch.zeros(2, 2, dtype=torch.int8)),
        Tone(tuple(straight(17))),
        Tone(tuple(straight(2)), ((SLOPE_ONE,) * 17,) * 2),
        Upsample(1, 1),
        Upsample(1, 1, Kernel.NEAREST),
    ],
    ids=lambda step: type(step).__name__.lower(),
)
def test_steps_that_change_nothing(step: Callable[[Tensor, tuple[int, int]], Tensor]) -> None:
    planes = noise(41, 50)
    assert torch.equal(step(planes, (41, 50)), planes)


def test_a_grade_that_changes_nothing_keeps_every_pixel() -> None:
    pixels = torch.randint(0, 256, (3, 40, 50), dtype=torch.uint8)
    planes = to_planes(pixels[None])[0]
    same = Grade(NO_GRADE)(planes, (40, 50))
    assert (same - planes).abs().max() <= 1
    assert torch.equal(from_planes(same[None])[0], pixels)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 1), (64, 48)])
def test_warps_follow_the_homography_of_their_corners(size: tuple[int, int]) -> None:
    corners = STEEP if min(size) > 40 else (5, -3, 2, 8, -7, 1, 4, -4)
    matrix = homography(corners, size)
    height, width = (max(n - 1, 1) for n in size)
    here = np.float32([[0, 0], [width, 0], [width, height], [0, height]])
    there = here + np.float32(corners).reshape(4, 2) / CORNER_ONE
    truth = cv2.getPerspectiveTransform(here, there)
    for x, y in ((0, 0), (width, height), (width // 2, height // 3), (width // 5, height)):
        across, down, under = (Fraction(a * x + b * y + c) for a, b, c in matrix)
        u, v, w = truth @ (x, y, 1)
        assert abs(across / under / 64 - Fraction(u / w)) < 0.02
        assert abs(down / under / 64 - Fraction(v / w)) < 0.02
        assert 0 < under <= 2**26 + 1


def test_places_are_whole_number_division() -> None:
    from codec.prediction.warp import _places

    size, reference = (40, 50), torch.Size((60, 70))
    matrix = homography(STEEP, size)
    x, y = _places(matrix, range(40), 50, reference, torch.device("cpu"))
    for number in range(0, 2000, 7):
        i, j = divmod(number, 50)
        across, down, under = (a * j + b * i + c for a, b, c in matrix)
        for found, over, length in ((x, across, 70), (y, down, 60)):
            exact = (over + (under >> 1)) // under
            assert int(found[number]) == min(max(exact, -64), 64 * length)


def test_warps_interpolate_as_cubic_convolution() -> None:
    planes = noise(30, 32)
    warp = Warp((24, 40) * 4)  # 1.5 and 2.5 pixels all over
    found = warp(planes, (30, 32))
    weights = [cubic(0.5 - tap, -0.75) for tap in (-1, 0, 1, 2)]
    patch = planes[0, 11:15, 10:14].double()
    truth = torch.tensor(weights, dtype=torch.float64)
    assert abs(float(truth @ patch @ truth) - int(found[0, 10, 10])) <= 1


def test_warps_do_not_depend_on_strips() -> None:
    planes = noise(70, 45)
    warp = Warp(STEEP)
    whole = warp(planes, (64, 48))
    assert all(torch.equal(warp.strips(planes, (64, 48), rows), whole) for rows in (1, 7, 64))


@pytest.mark.parametrize(
    "corners",
    [
        (0,) * 7,
        (0, 0, -2000, 0, -2000, 0, 0, 0),  # right of left
        (0, 0, 0, 0, -790, -630, 0, 0),  # three corners in a row
        (1 << 25,) * 8,
    ],
)
def test_corners_that_no_camera_sees(corners: tuple[int, ...]) -> None:
    with pytest.raises(FormatError):
        Warp(corners)(noise(40, 50), (40, 50))


def test_motion_blends_what_four_vectors_say() -> None:
    """Pixel by pixel, in floats."""
    height, width = 37, 50
    planes = noise(height, width)[:1]
    vectors = torch.randint(-30, 30, (2, 3, 4), dtype=torch.int16)
    found = Motion(vectors)(planes, (height, width))
    table = np.array(cubic_table(-0.75, 4)) / 256
    plane = planes[0].numpy().astype(float)

    def sampled(y: float, x: float) -> float:
        i, j = math.floor(y), math.floor(x)
        rows = np.clip(np.arange(i - 1, i + 3), 0, height - 1)
        columns = np.clip(np.arange(j - 1, j + 3), 0, width - 1)
        down, across = table[round(4 * (y - i))], table[round(4 * (x - j))]
        return float(down @ plane[np.ix_(rows, columns)] @ across)

    for y, x in ((0, 0), (8, 8), (7, 23), (20, 31), (36, 49), (15, 16), (30, 5)):
        row, column = (y + 0.5) / BLOCK - 0.5, (x + 0.5) / BLOCK - 0.5
        total = 0.0
        for i in (math.floor(row), math.floor(row) + 1):
            for j in (math.floor(column), math.floor(column) + 1):
                weight = (1 - abs(row - i)) * (1 - abs(column - j))
                dx, dy = vectors[:, min(max(i, 0), 2), min(max(j, 0), 3)].tolist()
                total += weight * sampled(y + dy / 4, x + dx / 4)
        assert abs(total - int(found[0, y, x])) <= 1


def test_motion_does_not_depend_on_how_much_is_done_at_once() -> None:
    planes = noise(70, 90)
    motion = Motion(torch.randint(-40, 40, (2, 5, 6), dtype=torch.int16))
    whole = motion(planes, (70, 90))
    assert all(torch.equal(motion.strips(planes, (70, 90), n), whole) for n in (1, 5, 1000))


def test_motion_wants_a_vector_for_every_block() -> None:
    with pytest.raises(FormatError, match="vectors"):
        Motion(torch.zeros(2, 2, 2, dtype=torch.int16))(noise(48, 48), (48, 48))


def test_bicubic_enlarging_is_that_of_pillow() -> None:
    small = photo(0, 40, 48)[0]
    large = Upsample(2, 2)(small[None].int() << 4, (80, 96))[0].numpy() / 16
    image = Image.fromarray(small.numpy().astype(np.float32))
    truth = np.array(image.resize((96, 80), Image.Resampling.BICUBIC))
    assert np.abs(large - truth)[4:-4, 4:-4].max() < 0.2  # at its edge Pillow leaves taps out


@pytest.mark.parametrize("kernel", list(Kernel))
@pytest.mark.parametrize("ratio", [(2, 2), (3, 1), (1, 2), (4, 3), (16, 5)])
def test_a_window_is_a_part_of_the_whole(kernel: Kernel, ratio: tuple[int, int]) -> None:
    across, down = ratio
    height, width = 9 * down - 1, 11 * across - (across > 1)
    small = noise(9, 11)
    whole = Upsample(across, down, kernel)(small, (height, width))
    left, top = across * 3 + across // 2, down * 2
    window = Upsample(across, down, kernel, left, top)(small, (down, across))
    assert torch.equal(window, whole[:, top : top + down, left : left + across])


def test_nearest_and_bilinear_are_what_they_are_called() -> None:
    small = noise(5, 6)
    doubled = small.repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert torch.equal(Upsample(2, 2, Kernel.NEAREST)(small, (10, 12)), doubled)
    truth = torch.nn.functional.interpolate(
        small[None].double(), scale_factor=2, mode="bilinear", align_corners=False
    )[0]
    assert (Upsample(2, 2, Kernel.BILINEAR)(small, (10, 12)) - truth).abs().max() <= 1


@pytest.mark.parametrize("factors", [(0, 2), (2, 17), (-1, 1)])
def test_factors_have_limits(factors: tuple[int, int]) -> None:
    with pytest.raises(FormatError, match="factors"):
        Upsample(*factors)


def test_curves_are_straight_between_their_nodes() -> None:
    planes = noise(30, 40).clamp(-2048, 2047)
    luma = tuple(n + 40 * k % 130 for k, n in enumerate(straight(17)))
    slopes = (tuple(range(200, 370, 10)), tuple(range(300, 130, -10)))
    found = Tone(luma, slopes, (5, -9))(planes, (30, 40)).numpy()
    place = planes[0].numpy()
    assert np.abs(found[0] - np.interp(place, straight(17), luma)).max() <= 0.51
    for number in (0, 1):
        slope = np.interp(place, straight(17), slopes[number]) / SLOPE_ONE
        truth = planes[number + 1].numpy() * slope + (5, -9)[number]
        assert np.abs(found[number + 1] - truth).max() <= 6  # the slope is rounded to 1/256


def test_grades_are_the_colour_mapping() -> None:
    coefficients = identity_coefficients()
    coefficients += 0.1 * torch.randn(3, 9, generator=torch.Generator().manual_seed(3)).double()
    whole = (coefficients * 2**COEFFICIENT_BITS).round()
    mapping = ColourMapping(whole / 2**COEFFICIENT_BITS)
    pixels = photo(1, 48, 64)
    found = Grade(tuple(int(k) for k in whole.flatten()))(to_planes(pixels[None])[0], (48, 64))
    truth = mapping(pixels[None].double() / 255)[0] * 255
    shown = from_planes(found[None])[0]
    assert (shown.double() - truth).abs().max() <= 1.0
    with pytest.raises(FormatError, match="colour"):
        Grade(NO_GRADE)(found[:1], (48, 64))


def test_alpha_scales_detail_and_keeps_means() -> None:
    planes = to_planes(photo(2, 64, 96)[None])[0]
    kept = torch.tensor([[0, 1, 2], [3, 0, 3]], dtype=torch.int8)
    found = Alpha(kept)(planes, (64, 96))
    before, after = forward(planes, 16), forward(found, 16)
    assert (before[..., 0] - after[..., 0]).abs().max() <= 64
    for i in range(2):
        for j in range(3):
            here = (slice(None), slice(4 * i, 4 * i + 4), slice(4 * j, 4 * j + 4), slice(1, None))
            share = QUARTERS[kept[i, j]] / 4
            assert (after[here] - share * before[here]).abs().max() <= 64  # a grey level
    assert torch.equal(found[:, :32, :32], planes[:, :32, :32])
    with pytest.raises(FormatError, match="regions"):
        Alpha(kept)(planes, (64, 64))


def test_samples_stay_within_what_32_bits_hold() -> None:
    extreme = torch.full((3, 40, 40), LIMIT, dtype=torch.int32)
    extreme[:, ::2, ::2] = -LIMIT
    for step in (Warp((9,) * 8), Motion(torch.full((2, 3, 3), 2).short()), Upsample(1, 1)):
        found = step(extreme, (40, 40))
        assert found.abs().max() <= 3 * LIMIT
    assert Upsample(2, 2)(extreme, (80, 80)).abs().max() <= 3 * LIMIT
