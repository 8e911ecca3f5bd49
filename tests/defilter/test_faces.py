import time

import pytest
import skimage.data
import torch
import torch.nn.functional as F
from torch import Tensor

from defilter.faces import Face, FaceDetector, Protection
from defilter.study.faces import (
    TEXTURES,
    as_pixels,
    framed_squares,
    small_face_in_a_large_photo,
)

DETECT = FaceDetector()


@pytest.fixture(scope="module")
def astronaut() -> Tensor:
    return as_pixels(skimage.data.astronaut())


def test_a_face_is_found_where_it_is(astronaut: Tensor) -> None:
    (face,) = DETECT(astronaut)
    assert 170 < face.left < 190 and 50 < face.top < 75
    assert 75 < face.width < 105 and 95 < face.height < 130
    (deep,) = DETECT((astronaut.int() * 257).to(torch.uint16))
    assert deep == face


@pytest.mark.parametrize("name", TEXTURES)
def test_textures_and_things_are_no_faces(name: str) -> None:
    assert DETECT(as_pixels(getattr(skimage.data, name)())) == []


def test_most_of_a_hundred_small_faces_are_found_and_few_others() -> None:
    found = [bool(DETECT(square)) for square in framed_squares()]
    assert sum(found[:100]) >= 85 and sum(found[100:]) <= 2


def test_a_small_face_in_a_large_photo() -> None:
    (face,) = DETECT(small_face_in_a_large_photo())
    assert 30 < face.width < 50 and 3060 < face.left < 3100


def test_a_face_that_fills_the_frame_and_many_faces(astronaut: Tensor) -> None:
    close = astronaut[:, 60:190, 170:280]
    assert len(DETECT(F.interpolate(close[None].float(), (1300, 1100))[0].to(torch.uint8))) == 1
    face = astronaut[:, 20:220, 120:320]
    crowd = F.interpolate(face[None].float(), (100, 100), mode="area")[0].to(torch.uint8)
    assert len(DETECT(crowd.repeat(1, 10, 10))) >= 90


def test_protection_is_whole_in_the_middle_and_ends_softly() -> None:
    protection = Protection()
    face = Face(100, 80, 100, 120, 0.9)
    level = protection.levels([face], 300, 400)
    assert level[140, 150] > 0.999 and level.min() == 0 and level.max() <= 1
    left, top = 150 - 60, 140 - 72  # 1.2 times as large
    border = torch.cat((level[top, left : left + 120], level[top : top + 144, left]))
    assert border.max() <= 0.05
    assert level[:top].max() == 0 and level[:, :left].max() == 0
    steps = max(float(level.diff(dim=axis).abs().max()) for axis in (0, 1))
    assert steps <= 0.05
    table = protection.table()
    assert table[2, 2] == 1 and torch.equal(table, table.T) and table[0, 0] <= 0.05


def test_literal_levels_are_blocks_of_the_table() -> None:
    protection = Protection()
    level = protection.literal_levels([Face(50, 50, 100, 100, 0.9)], 200, 200)
    blocks = level[40:160, 40:160].reshape(5, 24, 5, 24).movedim(2, 1)
    assert torch.equal(blocks[..., :1, :1].expand_as(blocks), blocks)
    assert torch.allclose(blocks[..., 0, 0], protection.table())
    assert level[:40].max() == 0 and level[:, 160:].max() == 0


def test_faces_over_the_border_and_over_each_other() -> None:
    protection = Protection()
    one, other = Face(-40, -30, 90, 90, 0.9), Face(20, 10, 60, 60, 0.8)
    both = protection.levels([one, other], 90, 70)
    alone = [protection.levels([face], 90, 70) for face in (one, other)]
    assert torch.equal(both, torch.maximum(*alone))
    assert protection.levels([Face(-500, -500, 90, 90, 0.9)], 50, 50).max() == 0
    whole = protection.levels([Face(-400, -400, 900, 900, 0.9)], 100, 100)
    assert whole.min() > 0.9  # larger than the frame


def test_a_hundred_faces_are_quick() -> None:
    faces = [Face(7.0 * i, 5.0 * i, 60, 60, 0.9) for i in range(100)]
    started = time.perf_counter()
    Protection().levels(faces, 1000, 1000)
    assert time.perf_counter() - started < 5


def test_a_missing_or_foreign_model_is_one_sentence(tmp_path: object) -> None:
    picture = torch.zeros(3, 40, 40, dtype=torch.uint8)
    with pytest.raises(ValueError, match="expected a YuNet face model"):
        FaceDetector("missing.onnx")(picture)
    with pytest.raises(ValueError, match="expected a YuNet face model"):
        FaceDetector(__file__)(picture)


def test_tiny_pictures_have_no_faces() -> None:
    for shape in ((3, 1, 1), (3, 2, 300), (3, 5, 5)):
        assert DETECT(torch.zeros(shape, dtype=torch.uint8)) == []
