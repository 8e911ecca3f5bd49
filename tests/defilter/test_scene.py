from pathlib import Path

import pytest
import torch
import torchvision
from scipy.stats import norm, rankdata

from codec.pictures.picture_files import Picture, write_picture
from defilter.learn.scene_pictures import (
    AugmentedScenes,
    Scenes,
    dataset_scenes,
    embedded_scenes,
    load_scenes,
    split,
)
from defilter.scene.network import SceneClassifier, normal_scores, pooled, see
from defilter.scene.similarity import (
    SceneComparer,
    SceneDescriptor,
    fit_space,
    load_scene_comparer,
    pool_descriptors,
    save_space,
    visible_degree,
)
from defilter.weights import WeightsError, save_weights
from tests.conftest import colourful


def small(classes: list[str] | int = 3) -> SceneClassifier:
    torch.manual_seed(0)
    return SceneClassifier(classes, [4, 4, 8, 8, 8], [16, 8], 0.1).eval()


def judge(confidence: float = 0.6) -> SceneComparer:
    network = small(["sea", "wood", "town"])
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(60) % 3
    centres = torch.eye(8)[:3]
    features = torch.nn.functional.normalize(
        centres[labels] + 0.2 * torch.randn(60, 8, generator=generator), dim=1
    )
    space = fit_space("conv5", (features, labels), (features, labels), 0.1)
    return SceneComparer(network, space, confidence)


def test_the_network_is_the_figure_and_small_enough() -> None:
    network = SceneClassifier(15, [32, 64, 96, 128, 128], [256, 128], 0.4)
    assert 4 * sum(p.numel() for p in network.parameters()) <= 4_000_000
    layers = network.layers(torch.zeros(2, 1, 128, 128))
    assert list(layers) == ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7"]
    assert network(torch.zeros(2, 1, 128, 128)).shape == (2, 15)
    with pytest.raises(ValueError, match="five widths"):
        SceneClassifier(15, [32], [256, 128], 0.4)


def test_ranks_are_normal_scores_whatever_the_curve() -> None:
    y = torch.rand(3, 1, 64, 64)
    scores = normal_scores(y)
    ranks = torch.from_numpy(rankdata(y[0].numpy())) - 0.5
    expected = torch.from_numpy(norm.ppf(ranks / ranks.numel())).view(1, 64, 64)
    inner = expected.abs() < 2.5
    assert (scores[0] - expected).abs()[inner].max() < 0.2  # 256 levels
    assert (scores[0] - expected).abs()[inner].mean() < 0.01
    assert (normal_scores(y**2 * 0.5 + 0.1) - scores).abs().mean() < 0.03
    assert normal_scores(torch.full((1, 1, 8, 8), 0.3)).abs().max() == 0


def test_what_it_sees_does_not_know_exposure_contrast_or_colour() -> None:
    picture = torch.rand(1, 3, 90, 130) * 0.5 + 0.2
    seen = see(picture)
    torch.testing.assert_close(see(picture * 0.7 + 0.1), seen, atol=0.03, rtol=0)
    assert seen.mean().abs() < 1e-4 and abs(seen.std() - 1) < 0.02
    assert see(torch.zeros(1, 3, 5, 4)).abs().max() == 0
    assert torch.allclose(pooled(torch.rand(3, 8, 4, 4)).norm(dim=1), torch.ones(3))


def test_one_class_is_one_unless_it_is_doubtful() -> None:
    judging = judge()
    near, far = [1.0, *[0.0] * 7], [0.0, 1.0, *[0.0] * 6]

    def alike(one: tuple[str, float, list[float]], other: tuple[str, float, list[float]]) -> float:
        views = (SceneDescriptor(*view, judging.fingerprint) for view in (one, other))
        return judging.similarity(*views)

    assert alike(("sea", 0.9, near), ("sea", 0.9, far)) == 1
    doubtful = alike(("sea", 0.9, near), ("sea", 0.3, far))
    other = alike(("sea", 0.9, near), ("wood", 0.9, far))
    assert doubtful == other and 0 <= other < 1
    assert alike(("sea", 0.9, near), ("wood", 0.9, near)) == 1
    with pytest.raises(ValueError, match="expected 8 scene features"):
        alike(("sea", 0.9, near), ("wood", 0.9, [1.0]))
    with pytest.raises(ValueError, match="expected scenes seen by the classifier"):
        judging.similarity(
            SceneDescriptor("sea", 0.1, near), SceneDescriptor("sea", 0.1, near, "another")
        )


def test_the_degree_is_one_that_people_see() -> None:
    degrees = [visible_degree(s / 100) for s in range(101)]
    assert degrees[0] == 0.5 and degrees[-1] == 1 and degrees == sorted(degrees)
    assert visible_degree(0.33) >= 0.75  # the median over unrelated photos
    comparing = judge()
    near, far = ([1.0, *[0.0] * 7], [0.0, 1.0, *[0.0] * 6])
    one, other = (
        SceneDescriptor(name, 0.9, features, comparing.fingerprint)
        for name, features in (("sea", near), ("wood", far))
    )
    similarity = comparing.similarity(one, other)
    assert comparing.degree(one, other) == visible_degree(similarity) >= 0.5 > similarity
    assert comparing.literally().degree(one, other) == similarity
    assert comparing.degree(one, one) == comparing.literally().degree(one, one) == 1


def test_views_of_several_templates_are_pooled() -> None:
    sea, wood = (
        SceneDescriptor("sea", 0.9, [1.0, 0.0], "a"),
        SceneDescriptor("wood", 0.5, [0.0, 1.0], "a"),
    )
    views = [sea, wood, wood]
    pooled = pool_descriptors(views)
    assert (pooled.name, pooled.network) == ("wood", "a")
    assert pooled.confidence == pytest.approx(1 / 3)
    assert pooled.features == pytest.approx([1 / 5**0.5, 2 / 5**0.5])
    assert pool_descriptors(views[:1]).confidence == pytest.approx(0.9)


def test_similarity_falls_with_distance_and_spreads_over_different_scenes() -> None:
    space = judge().space
    found = space.alike(torch.linspace(0, 3 * float(space.knots[-1]), 200))
    assert (found.diff() <= 0).all() and found[0] == 1 and found[-1] == 0
    middle = space.alike(space.knots)
    assert middle[0] == pytest.approx(0.95) and middle[-1] == pytest.approx(0.05)
    assert middle[16] == pytest.approx(0.5)


def test_whitened_distance_is_mahalanobis() -> None:
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(400, 8, generator=generator) * torch.arange(1, 9)
    labels = torch.arange(400) % 2
    space = fit_space("conv5", (features, labels), (features[:50], labels[:50]), 0.0)
    means = torch.stack([features[labels == k].mean(0) for k in (0, 1)])
    covariance = torch.cov((features - means[labels]).double().T, correction=0)
    d = (features[0] - features[1]).double()
    expected = (d @ torch.linalg.inv(covariance) @ d).sqrt()
    found = space.distances(features[:1], features[1:2])
    assert found.item() == pytest.approx(expected.item(), rel=1e-4)


def test_a_judge_in_files(tmp_path: Path) -> None:
    before = judge()
    architecture = {
        "_target_": "defilter.scene.network.SceneClassifier", "classes": ["sea", "wood", "town"],
        "widths": [4, 4, 8, 8, 8], "hidden": [16, 8], "dropout": 0.1,
    }  # fmt: skip
    weights, space = tmp_path / "scene.safetensors", tmp_path / "space.safetensors"
    save_weights(before.network.state_dict(), architecture, weights)
    save_space(before.space, before.network, space)
    after = load_scene_comparer(weights, space)
    picture = torch.rand(1, 3, 100, 80)
    assert after.descriptors(picture) == before.descriptors(picture)
    save_space(before.space, small(4), space)
    with pytest.raises(WeightsError, match="belongs to another classifier"):
        load_scene_comparer(weights, space)
    with pytest.raises(WeightsError, match="fit=scene_space"):
        load_scene_comparer(weights, tmp_path / "none.safetensors")


def test_folders_of_classes(tmp_path: Path) -> None:
    for name in ("sea", "wood"):
        (tmp_path / name).mkdir()
        for number in range(3):
            write_picture(Picture(colourful(20, 30)), tmp_path / name / f"{number}.png")
    scenes = load_scenes(tmp_path, ["wood", "sea"])
    assert scenes.luma.shape == (6, 1, 128, 128) and scenes.label.tolist() == [0, 0, 0, 1, 1, 1]
    with pytest.raises(ValueError, match="expected a folder for each of wood, town"):
        load_scenes(tmp_path, ["wood", "town"])


def test_batches_are_cropped_mixed_and_repeatable() -> None:
    scenes = embedded_scenes(4)
    train, held_out = split(scenes, "train"), split(scenes, "val")
    assert len(held_out.label) == 4 and len(train.label) == 36
    data = AugmentedScenes(scenes, 4, 0.6, 0.5)
    one, two = (data.batch(16, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(one.luma, two.luma) and torch.equal(one.target, two.target)
    assert torch.allclose(one.target.sum(1), torch.ones(16))
    assert ((one.target > 0).sum(1) == 2).any() and ((one.target == 1).any(1)).any()
    still = AugmentedScenes(Scenes(scenes.luma, scenes.label), 4, 1.0, 0.0)
    assert (still.batch(8, torch.Generator().manual_seed(1)).target.max(1).values == 1).all()


def test_a_torchvision_dataset_gives_so_many_of_each_class() -> None:
    fake = torchvision.datasets.FakeData(40, (3, 20, 30), num_classes=3)
    scenes = dataset_scenes(fake, 5)
    assert scenes.luma.shape[1:] == (1, 128, 128)
    assert scenes.label.bincount().tolist() == [5, 5, 5]
