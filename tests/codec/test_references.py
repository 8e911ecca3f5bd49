"""Files as references: long chains, broken ones, and what must not be written over."""

from pathlib import Path

import pytest
import torch

import codec
from codec.__main__ import main
from codec.picture import exact, references_of
from codec.pictures.picture_files import read_picture, write_pixels
from codec.prediction.chain import Predicted, Prediction, hash_of
from codec.references import FileReferences
from tests.codec.test_picture import photo
from tests.codec.test_predicted import shifted


def predicted_from(planes: torch.Tensor, number: int) -> bytes:
    """A stream that stands on planes, and differs from others by a number."""
    picture = torch.full((1, *planes.shape[1:]), number, dtype=torch.uint8)
    one = Predicted(Prediction(hash_of(planes)), planes[:1])
    return codec.encode([picture], 90, mode="mse", effort="fast", predictions=[one])[0]


def test_chains_and_crowds_of_files_are_read(tmp_path: Path) -> None:
    """Named so that every file comes before what it stands on."""
    (stream,) = codec.encode([photo(0, 8, 8)[:1]], 80)
    (tmp_path / "z.dfc").write_bytes(stream)
    (first,) = exact([stream])
    planes = first
    for number in range(250):
        stream = predicted_from(planes, number)
        (tmp_path / f"m{999 - number}.dfc").write_bytes(stream)
        (planes,) = exact([stream], references={hash_of(planes): planes})
    for number in range(250):
        (tmp_path / f"a{number}.dfc").write_bytes(predicted_from(first, number))
    references = FileReferences([tmp_path])
    assert torch.equal(references[hash_of(planes)], planes)
    references._planes.clear()  # as if there were too many to keep
    assert torch.equal(references[hash_of(planes)], planes)
    assert len(references) > 250 and references.about_unusable() == ""


def test_files_that_are_no_references_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = photo(0, 40, 56)
    write_pixels(tmp_path / "new.png", shifted(picture))
    (stream,) = codec.encode([picture], 80)
    known = references_of([stream])
    (name,) = known
    (tmp_path / "orphan.dfc").write_bytes(predicted_from(known[name], 7))
    (tmp_path / "broken.dfc").write_bytes(stream[:-9])
    given = [str(tmp_path / one) for one in ("orphan.dfc", "broken.dfc")]
    new, out = str(tmp_path / "new.png"), str(tmp_path / "new.dfc")
    assert main(["encode", new, "-o", out, "--from", *given]) == 0
    said = capsys.readouterr().out
    assert f"orphan.dfc (needs {name.hex()}, which is not here)" in said
    assert "broken.dfc (" in said


def test_references_are_never_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pixels(tmp_path / "in/a.png", photo(0, 40, 56))
    write_pixels(tmp_path / "in/b.png", shifted(photo(0, 40, 56)))
    out = str(tmp_path / "out")
    assert main(["encode", str(tmp_path / "in/a.png"), "-o", out]) == 0
    before = (tmp_path / "out/a.dfc").read_bytes()
    assert main(["encode", str(tmp_path / "in"), "-o", out, "--from", f"{out}/a.dfc"]) == 1
    assert "would overwrite the reference" in capsys.readouterr().err
    assert (tmp_path / "out/a.dfc").read_bytes() == before
    assert main(["decode", f"{out}", "-o", str(tmp_path / "back")]) == 0  # they stand on each other
    shown = read_picture(tmp_path / "back/b.png").pixels.float()
    assert (shown - shifted(photo(0, 40, 56)).float()).abs().mean() < 6


def test_a_picture_is_not_predicted_from_itself(tmp_path: Path) -> None:
    source, out = tmp_path / "a.png", tmp_path / "a.dfc"
    write_pixels(source, photo(0, 40, 56))
    assert main(["encode", str(source), "-o", str(out), "--from", str(source)]) == 0
    codec.decode([out.read_bytes()])  # it stands on nothing


def test_grey_references_cost_coloured_pictures_nothing() -> None:
    picture = shifted(photo(0, 64, 96))
    references = references_of(codec.encode([photo(0, 64, 96)[:1]], 80))
    found = codec.best_prediction(picture, references)
    assert found is None or len(found.planes) == 3


def test_what_are_no_references_or_predictions_is_said() -> None:
    picture = photo(0, 32, 32)
    (stream,) = codec.encode([picture], 50)
    (planes,) = exact([stream])
    found = Predicted(Prediction(hash_of(planes)), planes)
    (child,) = codec.encode([picture], 50, predictions=[found])
    with pytest.raises(ValueError, match="by their hash"):
        codec.decode([child], references=[planes])  # type: ignore[arg-type]
    with pytest.raises(codec.FormatError, match="got another one"):
        codec.decode([child], references={hash_of(planes): picture})
    with pytest.raises(ValueError, match="by their hash"):
        codec.best_prediction(picture, [planes])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="exact planes"):
        codec.best_prediction(picture, {hash_of(planes): picture})
    with pytest.raises(ValueError, match="best_prediction returns"):
        codec.encode([picture], predictions=[found.prediction])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="list of predictions"):
        codec.encode([picture], predictions=found)  # type: ignore[arg-type]
