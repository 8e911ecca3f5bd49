"""Black-and-white and toned templates: recognised by their own chroma, rendered without colour."""

import io
from pathlib import Path

import pytest
import skimage.data
import torch
from PIL import Image
from torch import Tensor

import defilter
from codec.pictures.colour import luma, rgb_to_ycbcr
from codec.pictures.lut_files import load_lut
from codec.pictures.picture_files import Picture, read_picture, to_dtype, write_picture
from codec.pictures.sample_photos import embedded_photos
from defilter.__main__ import main
from defilter.look import Look, load_look, save_look
from defilter.monochrome import Tint, ToneCurve, fit_tone, tint_of, tone_samples
from tests.conftest import colourful

SEPIA = torch.tensor([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]])


def grey(x: Tensor) -> Tensor:
    return luma(x).expand(3, -1, -1)


def contrasty(x: Tensor) -> Tensor:
    """Seen through a red filter, with a steep curve."""
    y = (0.7 * x[0] + 0.2 * x[1] + 0.1 * x[2]).clamp(0, 1)
    return (3 * y**2 - 2 * y**3).expand(3, -1, -1)


def sepia(x: Tensor) -> Tensor:
    return torch.einsum("ij,jhw->ihw", SEPIA, x).clamp(0, 1)


def split_toned(x: Tensor) -> Tensor:
    """Cold shadows, warm lights."""
    y = luma(x)[0]
    return torch.stack((y + 0.08 * y**2 - 0.02, y, y + 0.1 * (1 - y) ** 2)).clamp(0, 1)


TONINGS = [grey, contrasty, sepia, split_toned]


def photo(number: int) -> Tensor:
    return read_picture(embedded_photos()[number]).floats()


def as_jpeg(x: Tensor, quality: int) -> Tensor:
    buffer = io.BytesIO()
    pixels = to_dtype(x, torch.uint8).permute(1, 2, 0).contiguous().numpy()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as image:
        return (
            torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
            .reshape(*x.shape[1:], 3)
            .permute(2, 0, 1)
            / 255
        )


def noisy(x: Tensor) -> Tensor:
    """Grey with the chroma noise of a scanner."""
    return (grey(x) + 0.012 * torch.randn(x.shape)).clamp(0, 1)


@pytest.mark.parametrize("toning", TONINGS)
@pytest.mark.parametrize("number", range(5))
def test_monochrome_pictures_are_recognised(toning, number: int) -> None:
    x = to_dtype(toning(photo(number)), torch.uint8) / 255
    tint = tint_of([tone_samples(x)])
    assert tint is not None
    assert tint.is_grey == (toning in (grey, contrasty))
    y = luma(x)[0].flatten()[::97]
    assert (tint(y).T - x.flatten(1)[:, ::97]).abs().mean() < 0.01


@pytest.mark.parametrize("number", range(5))
def test_pictures_that_jpeg_or_a_scanner_gave_some_chroma(number: int) -> None:
    for x in (
        as_jpeg(grey(photo(number)), 75),
        as_jpeg(noisy(photo(number)), 85),
        noisy(photo(number)),
    ):
        tint = tint_of([tone_samples(x)])
        assert tint is not None and tint.is_grey


@pytest.mark.parametrize("number", range(5))
def test_photos_in_colour_are_not_monochrome(number: int) -> None:
    x = photo(number)
    assert tint_of([tone_samples(x)]) is None
    misty = 0.75 + 0.35 * (x - x.mean())  # pale, of little contrast
    assert tint_of([tone_samples(misty.clamp(0, 1))]) is None
    rose = grey(x).clone()
    height, width = rose.shape[1:]
    rose[:, : height // 5, : width // 5] = torch.tensor([0.8, 0.1, 0.2])[:, None, None]
    assert tint_of([tone_samples(rose)]) is None
    assert tint_of([tone_samples(grey(x)), tone_samples(x)]) is None  # not all of them
    night = torch.zeros_like(x)
    night[:, 100:150, 100:160] = x[:, 100:150, 100:160]  # most of it is black
    assert tint_of([tone_samples(night)]) is None


def spread(pixels: Tensor) -> int:
    return int((pixels.int().amax(0) - pixels.int().amin(0)).max())


@pytest.mark.parametrize("toning", [grey, contrasty])
def test_the_look_is_grey_to_the_level_in_every_form(toning, tmp_path: Path) -> None:
    pixels = to_dtype(toning(photo(1)), torch.uint8)
    # One kind as a file of one channel, which pictures in grey often are.
    write_picture(Picture(pixels[:1] if toning is grey else pixels), tmp_path / "template.png")
    look = defilter.extract([tmp_path / "template.png"]).look
    assert look.is_monochrome() and look.categories == {}
    for name in ("look.json", "look.cube", "look.png"):
        save_look(look, tmp_path / name)
        loaded = load_look(tmp_path / name)
        for pixels in (colourful(40, 50), colourful(40, 50, torch.uint16)):
            assert spread(loaded.render(pixels)) == 0, name
    again = load_look(tmp_path / "look.json")
    pixels = torch.randint(0, 256, (3, 64, 64)).to(torch.uint8)
    assert torch.equal(again.render(pixels), look.render(pixels))
    table = load_lut(tmp_path / "look.cube")
    assert torch.equal(table[0], table[1]) and torch.equal(table[0], table[2])
    # The nearest 27 numbers, which an older version would render, leave hardly any colour.
    nearest = look.mapping(pixels[None] / 255)
    assert rgb_to_ycbcr(nearest)[:, 1:].abs().mean() < 0.02


@pytest.mark.parametrize("toning", TONINGS)
def test_people_take_the_tone_too_and_scenes_do_not_weaken_it(
    toning, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_picture(Picture(to_dtype(toning(photo(2)), torch.uint8)), tmp_path / "template.png")
    portrait = torch.from_numpy(skimage.data.astronaut()).permute(2, 0, 1)
    write_picture(Picture(portrait), tmp_path / "portrait.png")
    command = [
        "transfer",
        "--template",
        str(tmp_path / "template.png"),
        str(tmp_path / "portrait.png"),
        "-o",
        str(tmp_path / "out"),
    ]
    assert main(command) == 0
    assert "degree 1.00 (a look without colour)" in capsys.readouterr().out
    result = read_picture(tmp_path / "out/portrait.png").pixels
    if toning in (grey, contrasty):
        assert spread(result) == 0
    found = tint_of([tone_samples(result / 255)])
    assert found is not None
    wanted = tint_of([tone_samples(toning(photo(2)))])
    assert wanted is not None
    y = torch.linspace(0.3, 0.7, 9)
    assert (found(y) - wanted(y)).abs().max() < 0.06
    assert main([*command, "--strength", "0.5"]) == 0
    assert spread(read_picture(tmp_path / "out/portrait.png").pixels) > 0


def test_figure_2_takes_the_tone_of_its_pairs() -> None:
    class Exact(torch.nn.Module):
        samples_pairs = True
        gain = torch.nn.Parameter(torch.ones(1))

        def parameters(self, recurse: bool = True):  # type: ignore[override]
            return iter([self.gain])

        def read(self, templates: Tensor, areas: Tensor | None = None):
            return defilter.unet.Reading(photo(0)[None].flip(1).clamp(0, 1)[:, :, :64, :64])

    x = photo(0)[:, :64, :64].flip(0)
    template = grey(x) * 0.5 + 0.2
    tint = tint_of([tone_samples(template)])
    look = defilter.look_from_templates(Exact(), [template], tint=tint).look  # type: ignore[arg-type]
    assert look.tone is not None and look.tone.is_grey
    expected = grey(photo(3)) * 0.5 + 0.2
    assert (look.tone(photo(3)) - expected).abs().mean() < 0.02


def test_pair_mode_keeps_how_colours_became_grey(tmp_path: Path) -> None:
    before = photo(1)
    write_picture(Picture(to_dtype(before, torch.uint8)), tmp_path / "before.png")
    write_picture(Picture(to_dtype(contrasty(before), torch.uint8)), tmp_path / "after.png")
    look = defilter.extract_pair(tmp_path / "before.png", tmp_path / "after.png").look
    assert look.is_monochrome()
    rendered = look.render(to_dtype(before, torch.uint8))
    assert spread(rendered) == 0
    assert (rendered / 255 - contrasty(before)).abs().mean() < 0.02
    assert spread(look.render(colourful(30, 30, torch.uint16))) <= 1


def test_curves_blend_and_are_checked() -> None:
    curve = ToneCurve(torch.tensor([[0.1, 0.5, 0.0, 0.0, 0.0]] * 3, dtype=torch.float64))
    pixels = colourful(20, 30)
    expected = 0.1 + 0.5 * luma(pixels / 255).expand(3, -1, -1)
    assert (curve.render(pixels) / 255 - expected).abs().max() < 0.003
    half = curve.render(pixels, 0.5) / 255
    assert (half - (pixels / 255 + expected) / 2).abs().max() < 0.003
    assert torch.equal(curve.render(pixels, torch.zeros(20, 30)), pixels)
    table = curve.lut(5)
    assert table.shape == (3, 5, 5, 5) and torch.equal(table[0], table[2])
    for wrong in (torch.zeros(3, 4), torch.full((3, 5), torch.nan)):
        with pytest.raises(ValueError, match="coefficients"):
            ToneCurve(wrong)


def test_a_curve_is_fitted_exactly_where_it_is_one() -> None:
    before = torch.rand(500, 3, dtype=torch.float64)
    after = (0.2 + 0.6 * luma(before, axis=-1)).expand(-1, 3)
    curve = fit_tone(before, after, Tint(torch.zeros(17, 2, dtype=torch.float64)))
    assert curve.is_grey
    x = torch.rand(3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(curve(x), 0.2 + 0.6 * grey(x), atol=2e-3, rtol=0)


def test_broken_tones_in_files(tmp_path: Path) -> None:
    look = Look(load_look_mapping(), tone=ToneCurve(torch.zeros(3, 5, dtype=torch.float64)))
    save_look(look, tmp_path / "x.json")
    text = (tmp_path / "x.json").read_text()
    assert '"tone"' in text
    start, end = text.index('"tone": ['), text.index('"lut"')
    (tmp_path / "x.json").write_text(text[:start] + '"tone": [[1, 2]], ' + text[end:])
    with pytest.raises(defilter.look.LookFileError, match="coefficients"):
        load_look(tmp_path / "x.json")


def load_look_mapping():
    from codec.pictures.mapping import ColourMapping, identity_coefficients

    return ColourMapping(identity_coefficients())
