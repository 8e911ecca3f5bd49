"""Looks that know scenes, faces and areas: taken, kept in files, and put on photos."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import skimage.data
import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import save_file
from torch import Tensor

import defilter
from codec.pictures.mapping import ColourMapping, identity_coefficients
from codec.pictures.picture_files import Picture, read_picture, to_dtype, write_picture
from codec.pictures.sample_photos import embedded_photos
from defilter.__main__ import main
from defilter.analysis import Analysers, analysers_for, default_analysers, reduced_for_networks
from defilter.areas.segmenter import (
    AreaMap,
    Segmenter,
    load_saliency,
    load_segmenter,
    torchvision_segmenter,
)
from defilter.look import Look, LookFileError, load_look, save_look
from defilter.render import analyse, degree_map
from defilter.scene.similarity import SceneDescriptor
from defilter.study import transfer
from defilter.study.demonstration import demonstration_look
from defilter.unet import AreaDefilterUNet
from defilter.weights import WeightsError, save_weights
from tests.conftest import colourful
from tests.defilter.test_video import clip


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo whose upper half is warm and whose lower half is cold."""
    clean = read_picture(embedded_photos()[0]).floats()
    graded = demonstration_look(clean[None])[0]
    half = graded.shape[1] // 2
    graded[:, half:] = graded[:, half:].flip(0) * 0.8
    path = tmp_path_factory.mktemp("template") / "template.png"
    write_picture(Picture(to_dtype(graded, torch.uint8)), path)
    return path


@pytest.fixture(scope="module")
def portrait(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("portrait") / "portrait.png"
    write_picture(Picture(torch.from_numpy(skimage.data.astronaut()).permute(2, 0, 1)), path)
    return path


def halve(look: Look, **changes: object) -> Look:
    coefficients = identity_coefficients()
    coefficients[:, 1] = 0.5
    return replace(look, mapping=ColourMapping(coefficients), **changes)  # type: ignore[arg-type]


def test_extract_keeps_the_scene_and_says_what_networks_saw(template: Path) -> None:
    look = defilter.extract([template]).look
    judge = default_analysers().scene
    assert judge is not None and look.scene is not None
    assert look.scene.network == judge.fingerprint and look.scene.name in judge.network.classes
    bare = defilter.extract([template], analysers=defilter.NO_ANALYSERS).look
    assert bare.scene is None and bare.categories == {}
    assert torch.equal(bare.mapping.coefficients, look.mapping.coefficients)
    assert bare.coverage == look.coverage


def test_apply_with_the_file_is_transfer(template: Path, portrait: Path, tmp_path: Path) -> None:
    assert main(["extract", str(template), "-o", str(tmp_path / "look.json")]) == 0
    for command in (
        ["transfer", "--template", str(template), str(portrait), "-o", str(tmp_path / "one")],
        ["apply", str(tmp_path / "look.json"), str(portrait), "-o", str(tmp_path / "other")],
    ):
        assert main(command) == 0
    one, other = (read_picture(tmp_path / n / "portrait.png").pixels for n in ("one", "other"))
    assert torch.equal(one, other)


def test_the_user_is_told_the_degree_and_may_overrule_it(
    template: Path, portrait: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["transfer", "--template", str(template), str(portrait), "-o", str(tmp_path)]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "degree 0." in said and "template: " in said and "1 face kept" in said
    assert main([*command, "--strength", "0.25", "--no-faces"]) == 0
    said = capsys.readouterr().out
    assert "degree 0.25" in said and "face" not in said
    assert main([*command, "--no-scene", "--no-faces", "--no-areas", "--no-saliency"]) == 0
    assert "degree 1.00\n" in capsys.readouterr().out


def test_a_table_and_the_look_of_a_pair_render_everywhere(portrait: Path) -> None:
    plain = Look(ColourMapping(identity_coefficients()))
    assert analysers_for(plain) == Analysers()
    picture = read_picture(portrait)
    dark = halve(plain)
    expected = dark.render(picture.pixels)
    assert torch.equal(defilter.apply(dark, picture).pixels, expected)
    judge = default_analysers().scene
    assert judge is not None
    (view,) = judge.descriptors(reduced_for_networks(picture.pixels)[None])
    known = analysers_for(replace(dark, scene=view, provenance={"network": "x"}))
    assert known.scene is not None and known.faces is not None and known.areas is None
    kept = defilter.apply(dark, picture, analysers=known).pixels
    assert not torch.equal(kept, expected) and torch.equal(kept[:, 400:], expected[:, 400:])


def test_a_look_of_another_classifier_is_not_compared(
    portrait: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    foreign = SceneDescriptor("moor", 0.9, [1.0, 0.0], "0123456789ab")
    dark = halve(Look(ColourMapping(identity_coefficients())), scene=foreign)
    save_look(dark, tmp_path / "look.json")
    result = defilter.apply_to_files(load_look(tmp_path / "look.json"), [portrait], tmp_path / "o")
    assert len(result.written) == 1 and not result.failures
    assert caplog.text.count("another scene classifier") == 1


@pytest.mark.parametrize(
    "scene",
    [{"name": "sea"}, {"name": "sea", "confidence": 2, "features": [1], "network": "a"},
     {"name": "sea", "confidence": 0.5, "features": [], "network": "a"},
     {"name": "sea", "confidence": 0.5, "features": [float("nan")], "network": "a"},
     {"name": "sea", "confidence": 0.5, "features": [1.0] * 5000, "network": "a"}, [1], "sea"],
)  # fmt: skip
def test_scenes_in_files_are_checked(tmp_path: Path, scene: object) -> None:
    save_look(Look(ColourMapping(identity_coefficients())), tmp_path / "look.json")
    content = json.loads((tmp_path / "look.json").read_text())
    (tmp_path / "look.json").write_text(json.dumps(content | {"scene": scene}))
    with pytest.raises(LookFileError, match=r"look\.json"):
        load_look(tmp_path / "look.json")


def test_areas_of_the_file_are_rendered_with_their_looks(tmp_path: Path) -> None:
    class Halves:
        categories = ("upper", "lower")

        def __call__(self, picture: Tensor) -> AreaMap:
            weights = torch.zeros(2, 20, 20)
            weights[0, :10], weights[1, 10:] = 1, 1
            return AreaMap(self.categories, weights)

    identity = ColourMapping(identity_coefficients())
    look = Look(identity, categories={"lower": halve(Look(identity)).mapping, "sea": identity})
    save_look(look, tmp_path / "look.json")
    analysers = Analysers(areas=Halves())  # type: ignore[arg-type]
    picture = Picture(colourful(120, 80))
    changed = defilter.apply(load_look(tmp_path / "look.json"), picture, analysers=analysers).pixels
    assert torch.equal(changed[:, :40], picture.pixels[:, :40])
    difference = changed[:, 80:].float() - picture.pixels[:, 80:].float() / 2
    assert difference.abs().max() <= 1


def test_several_templates_are_seen_one_by_one(template: Path, portrait: Path) -> None:
    look = defilter.extract([template, portrait]).look
    assert look.provenance["templates"] == ["template.png", "portrait.png"]
    assert look.scene is not None
    assert sum(x * x for x in look.scene.features) == pytest.approx(1)


def test_figure_3_is_told_the_areas(template: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    arguments = {"categories": 7, "one_hot": True, "widths": [4, 8, 8]}
    network = AreaDefilterUNet(**arguments)  # type: ignore[arg-type]
    target = {"_target_": "defilter.unet.AreaDefilterUNet"}
    save_weights(network.state_dict(), target | arguments, tmp_path / "fig3.safetensors")
    loaded = defilter.load_look_network(tmp_path / "fig3.safetensors")
    look = defilter.extract([template], loaded).look
    assert look.categories  # fitted to the pairs of each area
    weights = ["--weights", str(tmp_path / "fig3.safetensors")]
    extract = ["extract", str(template), "-o", str(tmp_path / "x.json"), *weights]
    assert main(extract) == 0
    assert main(["remove", str(template), "-o", str(tmp_path / "out"), *weights]) == 0
    assert main([*extract, "--no-areas"]) == 1
    transfer.run(str(template), str(template), str(tmp_path / "t"), None, weights[1])
    two = Segmenter(torch.nn.Conv2d(3, 2, 1), ["a", "b"])
    with pytest.raises(ValueError, match="expected the 7 categories"):
        defilter.extract([template], loaded, Analysers(areas=two))


def test_weights_of_another_architecture_are_one_sentence(tmp_path: Path) -> None:
    for load, path in (
        (load_segmenter, Path("defilter/defilter.safetensors")),
        (load_saliency, Path("defilter/areas/areas.safetensors")),
    ):
        with pytest.raises(WeightsError, match="expected a"):
            load(Path(defilter.__file__).parents[1] / path)
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match="expected weights of lraspp"):
        torchvision_segmenter("lraspp_mobilenet_v3_large", {}, str(tmp_path / "x.safetensors"))


def test_models_of_torchvision_with_a_table_of_ones_own(tmp_path: Path) -> None:
    torch.manual_seed(0)
    name = "lraspp_mobilenet_v3_large"
    network = torchvision.models.get_model(name, weights=None, weights_backbone=None)
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    segment = torchvision_segmenter(
        name, {"person": "people", "dog": "animal", "cat": "animal"},
        str(tmp_path / "model.safetensors"),
    )  # fmt: skip
    assert set(segment.categories) == {"other", "people", "animal"}
    found = segment(torch.rand(3, 60, 90))
    torch.testing.assert_close(found.weights.sum(0), torch.ones(found.weights.shape[1:]))
    with pytest.raises(ValueError, match="expected categories out of"):
        torchvision_segmenter(name, {"moose": "animal"})
    for unknown in ("resnet18", "nope"):
        with pytest.raises(ValueError, match="expected one of deeplabv3"):
            torchvision_segmenter(unknown, {})


def test_maps_and_numbers_are_files(template: Path, portrait: Path, tmp_path: Path) -> None:
    transfer.run(str(template), str(portrait), str(tmp_path), None, None)
    numbers = json.loads((tmp_path / "maps/portrait.png.json").read_text())
    assert 0 <= numbers["mean_degree"] < numbers["degree"] <= 1 and len(numbers["faces"]) == 1
    assert sum(numbers["areas"].values()) <= 1.001
    degree = read_picture(tmp_path / "maps/portrait.png.degree.png").pixels[0] / 255
    assert degree[5, 5] == pytest.approx(numbers["degree"], abs=0.01)
    face = numbers["faces"][0]
    middle = int(face["top"] + face["height"] / 2), int(face["left"] + face["width"] / 2)
    assert degree[middle] < 0.02
    large = F.interpolate(read_picture(portrait).pixels[None].float(), scale_factor=4)[0]
    write_picture(Picture(large.to(torch.uint8)), tmp_path / "large.png")
    transfer.run(str(template), str(tmp_path / "large.png"), str(tmp_path / "l"), 1.0, None)
    drawn = read_picture(tmp_path / "l/maps/large.png.degree.png").pixels[0] / 255
    seen = analyse(Look(ColourMapping(identity_coefficients())), large.to(torch.uint8),
                   default_analysers(scene=False, areas=False))  # fmt: skip
    true = degree_map(seen, default_analysers(), *large.shape[1:])
    assert float((1 - drawn).mean()) == pytest.approx(float((1 - true).mean()), rel=0.02)
    off = Analysers()
    transfer.run(str(template), str(portrait), str(tmp_path / "off"), None, None, off)
    assert not (tmp_path / "off/maps/portrait.png.areas.png").exists()


def test_videos_with_one_stem_keep_both(tmp_path: Path) -> None:
    look = Look(ColourMapping(identity_coefficients()))
    for name in ("in/a.mp4", "in/a.mov", "in/b.mov"):
        (tmp_path / "in").mkdir(exist_ok=True)
        clip(tmp_path / name)
    result = defilter.apply_to_files(look, [tmp_path / "in"], tmp_path / "out")
    assert not result.failures
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["a.mov.mp4", "a.mp4", "b.mp4"]


def test_template_and_photos_of_wildly_different_sizes(tmp_path: Path) -> None:
    write_picture(Picture(colourful(16, 900)), tmp_path / "template.png")
    for size in ((1, 1), (2, 700), (900, 3), (40, 40)):
        write_picture(Picture(colourful(*size)), tmp_path / "photos" / f"{size[0]}x{size[1]}.png")
    result = defilter.transfer([tmp_path / "template.png"], [tmp_path / "photos"], tmp_path / "out")
    assert len(result.written) == 4 and not result.failures
    for one in result.written:
        assert one.target is not None
        assert read_picture(one.source).pixels.shape == read_picture(one.target).pixels.shape
    write_picture(Picture(colourful(1500, 2000, torch.uint16)), tmp_path / "deep.png")
    result = defilter.transfer([tmp_path / "template.png"], [tmp_path / "deep.png"], tmp_path / "d")
    assert read_picture(tmp_path / "d/deep.png").pixels.dtype == torch.uint16
