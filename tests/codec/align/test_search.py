"""What is found between pictures, where the truth is known."""

import random

import pytest
import torch
from torch import Tensor

import codec
from codec.align.features import Features, find_warp, warp_of
from codec.align.flow import find_motion
from codec.align.light import find_grade, find_tone
from codec.align.search import best_prediction
from codec.align.trial import trial_of
from codec.learn.made_pairs import burst, graded
from codec.picture import references_of
from codec.pictures.picture_files import read_picture
from codec.pictures.sample_photos import embedded_photos
from codec.planes import to_planes
from codec.prediction.chain import Prediction, hash_of, predict
from codec.prediction.warp import CORNER_ONE, Warp
from codec.residual.quantise import WEIGHTINGS
from codec.settings import step_of


def large(number: int = 0, height: int = 240, width: int = 320) -> Tensor:
    """A piece of an embedded photo with enough in it to hold on to."""
    return read_picture(embedded_photos()[number]).pixels[:, :height, :width].contiguous()


def planes_of(pixels: Tensor) -> Tensor:
    return to_planes(pixels[None])[0]


def test_warps_are_found_to_a_tenth_of_a_pixel() -> None:
    truth = Warp((40, -64, 120, 24, -56, 88, 8, -16))
    reference = planes_of(large())
    picture = truth(reference, (240, 320))
    found = find_warp(Features(picture[0]), Features(reference[0]))
    assert found is not None
    wrong = [abs(a - b) / CORNER_ONE for a, b in zip(found.corners, truth.corners, strict=True)]
    assert max(wrong) < 0.5 and sum(wrong) / 8 < 0.2  # corners are beyond where features are
    assert (found(reference, (240, 320)) - picture)[0, 20:-20, 20:-20].abs().float().mean() < 30


def test_strangers_and_flat_pictures_have_no_warp() -> None:
    one, other, flat = planes_of(large(0)), planes_of(large(1)), torch.zeros(1, 64, 64).int()
    assert find_warp(Features(one[0]), Features(other[0])) is None
    assert find_warp(Features(flat[0]), Features(flat[0])) is None


def test_homographies_that_no_camera_sees_are_none() -> None:
    import numpy as np

    assert warp_of(np.array([[1, 0, 0], [0, 1, 0], [-0.1, 0, 1.0]]), (64, 64)) is None
    assert warp_of(np.eye(3), (64, 64)) == Warp((0,) * 8)


def test_motion_finds_what_moved() -> None:
    before = planes_of(large())[0]
    after = before.clone()
    after[64:160, 96:224] = before[68:164, 90:218]  # 6 to the left, 4 down
    vectors = find_motion(after, before, 4.0).vectors
    inside = vectors[:, 5:9, 7:13].flatten(1)
    assert (inside == torch.tensor([[-24], [16]])).all(0).float().mean() > 0.9
    outside = torch.cat((vectors[:, :3].flatten(1), vectors[:, 12:].flatten(1)), 1)
    assert (outside == 0).all(0).float().mean() > 0.9


def test_curves_and_looks_are_found() -> None:
    pixels = large(1)
    brighter = (pixels.float() * 1.3 + 4).clamp(0, 255).to(torch.uint8)
    wanted, given = planes_of(brighter), planes_of(pixels)
    tone = find_tone(wanted, given)
    assert (tone(given, (240, 320)) - wanted)[0].abs().float().mean() < 16
    look = graded(pixels, random.Random(0))
    grade = find_grade(planes_of(look), given)
    assert grade is not None
    assert (grade(given, (240, 320)) - planes_of(look)).abs().float().mean() < 12
    assert find_grade(wanted[:1], given[:1]) is None


@pytest.mark.parametrize("mode", ["mse", "perceptual"])
def test_the_best_of_several_is_taken_and_saves_bytes(mode: str) -> None:
    first, second = burst(large(), 3.0, 1.04, 1.0, random.Random(1))
    references = references_of(codec.encode([large(1), first], 70, mode=mode))
    names = list(references)
    found = best_prediction(second, references, 70, mode=mode)
    assert found is not None and found.prediction.reference == names[1]
    alone, less = codec.encode([second, second], 70, mode=mode, predictions=[None, found])
    assert len(less) < 0.4 * len(alone)
    (shown,) = codec.decode([less], references=references)
    (usual,) = codec.decode([alone])
    wrong, usually = ((x.float() - second.float()).square().mean() for x in (shown, usual))
    assert wrong < 1.3 * usually


def test_nothing_to_predict_is_none() -> None:
    references = references_of(codec.encode([large(0)], 70))
    assert best_prediction(large(1), references, 70) is None
    assert best_prediction(large(1), {}, 70) is None
    assert best_prediction(large(1, 8, 8), references, 70) is None


def test_sizes_and_colours_may_differ() -> None:
    pixels = large()
    (planes,) = codec.picture.exact(codec.encode([pixels], 80))
    references = {hash_of(planes): planes}
    crop = pixels[:, 16:200, 32:280].contiguous()
    for picture in (crop, crop[:1].contiguous()):
        found = best_prediction(picture, references, 80)
        assert found is not None and isinstance(found.prediction.steps[0], Warp)
        alone, less = codec.encode([picture, picture], 80, predictions=[None, found])
        assert len(less) < 0.4 * len(alone)
        assert codec.decode([less], references=references)[0].shape == picture.shape


def test_trials_order_predictions_as_bytes_do() -> None:
    first, second = burst(large(), 3.0, 1.04, 1.0, random.Random(2))
    references = references_of(codec.encode([first], 70, mode="mse"))
    ((name, planes),) = references.items()
    wanted = planes_of(second)
    warp = find_warp(Features(wanted[0]), Features(planes[0]))
    assert warp is not None
    chains = [(), (warp,), (warp, find_tone(wanted, warp(planes, (240, 320))))]
    every = [predict(Prediction(name, chain), references, (3, 240, 320)) for chain in chains]
    trial = trial_of(wanted, step_of(70, "mse"), WEIGHTINGS["mse"])
    guessed = [trial.rest(one.planes) for one in every]
    streams = codec.encode([second] * 4, 70, mode="mse", predictions=[*every, None])
    real = [len(data) for data in streams]
    assert guessed == sorted(guessed, reverse=True) and real[:3] == sorted(real[:3], reverse=True)
    assert 0.6 < trial.alone() / real[3] < 1.6
