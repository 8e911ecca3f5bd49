"""What pictures are known by: twins are near, strangers far, and formulas are what they say."""

import numpy as np
import pytest
import torch
from torch import Tensor

from codec.gallery.descriptors import (
    GLOBAL_BYTES,
    KEY_BYTES,
    MOST_POINTS,
    POINT_BYTES,
    Model,
    describe,
    fisher_vector,
    interest_points,
    point_codes,
    shipped_model,
)
from codec.gallery.index import distances_to
from codec.pictures.picture_files import read_picture
from codec.pictures.resize import resize
from codec.pictures.sample_photos import embedded_photos


def photos() -> list[Tensor]:
    return [read_picture(path).pixels for path in embedded_photos()[:5]]


def test_shapes() -> None:
    found = describe(photos()[0])
    assert found is not None and 50 < len(found.places) <= MOST_POINTS
    assert found.points.shape == (len(found.places), POINT_BYTES)
    assert found.whole.shape == (GLOBAL_BYTES,) and found.key.shape == (KEY_BYTES,)
    height, width = photos()[0].shape[1:]
    assert (found.places >= -1).all() and (found.places <= (width, height)).all()


@pytest.mark.parametrize(
    "pixels", [torch.zeros(3, 40, 60, dtype=torch.uint8), torch.full((1, 1, 1), 9).byte()]
)
def test_pictures_without_anything(pixels: Tensor) -> None:
    assert describe(pixels) is None


def test_twins_are_nearer_than_strangers() -> None:
    every = [describe(one) for one in photos()]
    for number, pixels in enumerate(photos()):
        height, width = pixels.shape[1:]
        smaller = resize(pixels, [height * 2 // 3, width * 2 // 3])
        cut = pixels[:, height // 10 :, : width - width // 10]
        darker = (255 * (pixels / 255) ** 1.6).byte()
        for twin in (smaller, cut, darker):
            found = describe(twin)
            assert found is not None
            for code in ("whole", "key"):
                codes = np.stack([getattr(one, code) for one in every])
                distances = distances_to(getattr(found, code), codes)
                assert distances.argmin() == number, code


def test_grey_is_known_as_its_colours() -> None:
    pixels = photos()[0]
    grey = pixels.float().mean(0, keepdim=True).byte()
    one, other = describe(pixels), describe(grey)
    assert one is not None and other is not None
    assert distances_to(one.whole, other.whole[None])[0] < 0.35 * 8 * GLOBAL_BYTES


def test_places_do_not_depend_on_the_size() -> None:
    pixels = photos()[1]
    large, _ = interest_points(pixels.repeat_interleave(2, 1).repeat_interleave(2, 2))
    small, _ = interest_points(pixels)
    near = np.linalg.norm(large[:, None] / 2 - small, axis=2).min(1)
    assert np.median(near) < 2


def test_the_fisher_vector_is_a_gradient() -> None:
    """Autograd is the oracle: of the log-likelihood by the means of a mixture."""
    rng = np.random.default_rng(0)
    weights = np.array([0.2, 0.5, 0.3])
    means, deviations = rng.normal(size=(3, 4)), rng.uniform(0.5, 2, (3, 4))
    x = rng.normal(size=(20, 4))
    empty = np.zeros(0)
    model = Model(empty, empty, empty, weights, means, deviations, empty, empty, empty)
    at = torch.tensor(means, requires_grad=True)
    scale = torch.tensor(deviations)
    parts = torch.distributions.Normal(at, scale).log_prob(torch.tensor(x)[:, None]).sum(2)
    torch.logsumexp(parts + torch.tensor(weights).log(), 1).mean().backward()
    assert at.grad is not None
    wanted = (at.grad * scale / torch.tensor(weights).sqrt()[:, None]).flatten()
    wanted = wanted.sign() * wanted.abs().sqrt()
    wanted = wanted / wanted.norm()
    assert np.allclose(fisher_vector(x, model), wanted.numpy(), atol=1e-5)


def test_levels_of_points_are_their_distance() -> None:
    model = shipped_model()
    low, middle, high = model.levels[0] - 1, model.levels.mean(0), model.levels[1] + 1
    codes = point_codes(np.stack([low, middle, high]), model)
    assert list(distances_to(codes[0], codes)) == [0, 64, 128]
