import pytest
import skimage.data
import torch
from torch import Tensor

from codec.pictures.mapping import ColourMapping
from defilter.analysis import NO_ANALYSERS, Analysers
from defilter.areas.segmenter import AreaMap
from defilter.faces import Face, FaceDetector
from defilter.look import Look
from defilter.render import Analysis, analyse, degree_map, describe, render
from defilter.scene.similarity import SceneDescriptor

PHOTO = torch.randint(20, 230, (3, 90, 120), generator=torch.Generator().manual_seed(0)).to(
    torch.uint8
)
FACE = Face(40, 30, 40, 40, 0.9)


def times(factor: float) -> ColourMapping:
    coefficients = torch.zeros(3, 9, dtype=torch.float64)
    coefficients[:, 1] = factor
    return ColourMapping(coefficients, "rgb")


LOOK = Look(times(0.5), categories={"sky": times(0.25), "sea": times(0.75)})


def seen(
    degree: float = 1.0, faces: list[Face] | None = None, areas: AreaMap | None = None
) -> Analysis:
    return Analysis(degree, None, faces or [], areas)


def halves(*names: str) -> AreaMap:
    weights = torch.zeros(len(names), 60, 80)
    for number, part in enumerate(weights.chunk(len(names), 1)):
        part[number] = 1
    return AreaMap(names, weights)


def factors(result: Tensor) -> Tensor:
    return (result.float() / PHOTO.float()).mean(0)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_the_degree_blends(dtype: torch.dtype) -> None:
    photo = PHOTO if dtype == torch.uint8 else (PHOTO.int() * 257).to(dtype)
    for degree in (0.0, 0.3, 1.0):
        result = render(Look(times(0.5)), photo, seen(degree), NO_ANALYSERS)
        expected = photo.float() * (1 - degree / 2)
        assert result.dtype == dtype and (result.float() - expected).abs().max() <= 1


def test_faces_keep_their_colours() -> None:
    result = render(Look(times(0.5)), PHOTO, seen(1.0, [FACE]), NO_ANALYSERS)
    degree = degree_map(seen(1.0, [FACE]), NO_ANALYSERS, 90, 120)
    expected = PHOTO.float() * (1 - degree / 2)
    assert (result.float() - expected).abs().max() <= 1
    assert degree[50, 60] < 0.01 and degree[5, 5] == 1
    weak = degree_map(seen(0.4, [FACE]), NO_ANALYSERS, 90, 120)
    torch.testing.assert_close(weak, 0.4 * degree)


def test_the_seed_literally_has_blocks_and_ignores_the_scene_in_them() -> None:
    literal = Analysers(literal=True)
    degree = degree_map(seen(0.4, [FACE]), literal, 90, 120)
    assert degree[0, 0] == pytest.approx(0.4)
    inside = degree[26:74, 36:84]
    assert len(inside.unique()) <= 7 and inside.max() > 0.9  # corners of the box


def test_the_three_branches_of_figure_10() -> None:
    every = factors(render(LOOK, PHOTO, seen(areas=halves("sky", "sea")), NO_ANALYSERS))
    assert every[:40].mean() == pytest.approx(0.25, abs=0.01)
    assert every[50:].mean() == pytest.approx(0.75, abs=0.01)
    some = factors(render(LOOK, PHOTO, seen(areas=halves("sky", "town")), NO_ANALYSERS))
    assert some[:40].mean() == pytest.approx(0.25, abs=0.01)
    assert some[50:].mean() == pytest.approx(0.5, abs=0.01)
    none = render(LOOK, PHOTO, seen(areas=halves("wood", "town")), NO_ANALYSERS)
    assert torch.equal(none, render(LOOK, PHOTO, seen(), NO_ANALYSERS))


def test_borders_of_areas_are_soft() -> None:
    flat = torch.full((3, 96, 64), 200, dtype=torch.uint8)
    result = render(LOOK, flat, seen(areas=halves("sky", "sea")), NO_ANALYSERS).float()
    steps = result.diff(dim=1).abs().max()
    assert result[0, 0, 0] == 50 and result[0, -1, 0] == 150 and steps < 100


def test_areas_and_faces_and_a_weak_degree_together() -> None:
    both = seen(0.5, [FACE], halves("sky", "sea"))
    result = factors(render(LOOK, PHOTO, both, NO_ANALYSERS))
    assert result[50, 60] > 0.97
    assert result[:20, :20].mean() == pytest.approx(1 - 0.5 * 0.75, abs=0.02)


def test_the_user_is_right_about_the_strength() -> None:
    class Judge:
        def descriptors(self, pictures: Tensor) -> list[SceneDescriptor]:
            return [SceneDescriptor("sea", 0.9, [1.0])] * len(pictures)

        def degree(self, template: SceneDescriptor, photo: SceneDescriptor) -> float:
            return 0.55

    analysers = Analysers(scene=Judge())  # type: ignore[arg-type]
    look = Look(times(0.5), scene=SceneDescriptor("wood", 0.9, [1.0]))
    weak = analyse(look, PHOTO, analysers)
    assert weak.degree == 0.55 and "degree 0.55 (sea 90%, template: wood 90%); --strength 1" in (
        describe(weak, look)
    )
    assert analyse(look, PHOTO, analysers, 0.8).degree == 0.8
    asked = describe(analyse(look, PHOTO, analysers, 0.2), look)
    assert asked == "degree 0.20 (as asked)"
    assert analyse(Look(times(0.5)), PHOTO, analysers).degree == 1  # nothing to compare with
    assert analyse(look, PHOTO, NO_ANALYSERS).degree == 1


def test_faces_are_looked_for_only_where_they_are_wanted() -> None:
    portrait = torch.from_numpy(skimage.data.astronaut()).permute(2, 0, 1)
    assert len(analyse(LOOK, portrait, Analysers(faces=FaceDetector())).faces) == 1
    assert analyse(LOOK, portrait, NO_ANALYSERS).faces == []


def test_an_explicit_strength_holds_in_literal_boxes_too() -> None:
    literal = Analysers(literal=True, faces=lambda _: [FACE])  # type: ignore[arg-type]
    dark = Look(times(0.5))
    for strength in (0.0, 0.3):
        found = analyse(dark, PHOTO, literal, strength)
        assert degree_map(found, literal, 90, 120).max() <= strength + 1e-6
    assert torch.equal(render(dark, PHOTO, analyse(dark, PHOTO, literal, 0.0), literal), PHOTO)


def test_weights_that_fade_leave_no_seam() -> None:
    """An area that fades away over many rows, through the least weight that counts."""
    fading = torch.stack((torch.linspace(1, 0, 400), torch.linspace(0, 1, 400)))
    areas = AreaMap(("sky", "town"), fading[:, :, None].expand(-1, -1, 30).contiguous())
    flat = torch.full((3, 400, 30), 240, dtype=torch.uint8)
    rows = render(LOOK, flat, seen(areas=areas), NO_ANALYSERS)[0, :, 15].float()
    assert rows.diff().abs().max() <= 1 and rows[-1] - rows[0] > 50
