import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from codec.pictures.lut import identity_lut
from codec.pictures.lut_files import save_cube, save_hald
from codec.pictures.mapping import ColourMapping, identity_coefficients
from codec.pictures.picture_files import Picture, write_picture
from codec.pictures.sample_photos import embedded_photos, list_photos
from defilter.learn import effects
from defilter.learn.grades import apply_random_grades
from defilter.learn.look_bank import LookBank, LookRecipe, Looks, load_looks
from defilter.learn.look_split import SPLIT_FILE, family, in_split, split_table
from defilter.learn.pairs import EffectShares, FolderPairs, SyntheticPairs, match_names
from defilter.learn.photos import load_photos
from defilter.learn.runtime import seeded_generator
from defilter.study import look_pairs
from tests.conftest import colourful

PLAIN = LookRecipe(0, 0, 0, 0, graded_on_top=0, weakened=0, unfiltered=0)
MIXED = LookRecipe(0.3, 0.2, 0.2, 0.1, graded_on_top=0.3, weakened=0.3, unfiltered=0.1)
NO_EFFECTS = EffectShares(0, 0, 0, 0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_looks(count: int = 6, grid: int = 9) -> Looks:
    mappings = [
        ColourMapping(
            identity_coefficients()
            + 0.1 * torch.randn(3, 9, dtype=torch.float64, generator=generator(k))
        )
        for k in range(count)
    ]
    return Looks([f"look{k}" for k in range(count)], torch.stack([m.lut(grid) for m in mappings]))


def test_the_split_is_fixed_and_keeps_families_together() -> None:
    digest = hashlib.sha256(SPLIT_FILE.read_bytes()).hexdigest()
    assert digest == SPLIT_SHA, "the looks were split before the first training"
    home: dict[str, str] = {}
    for key, names in split_table().items():
        for name in names:
            split = key.removesuffix("_monochrome")
            assert home.setdefault(family(name), split) == split, name
    assert {key: len(names) for key, names in split_table().items()} == {
        "train": 539, "val": 102, "test": 197,
        "train_monochrome": 56, "val_monochrome": 6, "test_monochrome": 18,
    }  # fmt: skip


SPLIT_SHA = "cb75aabd532d0e6e19683889be505b4a13015b84c8935f032b6919dfb61fad7c"
PAIRS_SHA = "2e0308619eca4112eee496f965d3ee9d2c9f9ad7a5e783902bf2b38f3ce85add"


def test_the_benchmark_pairs_are_fixed() -> None:
    assert hashlib.sha256(look_pairs.FILE.read_bytes()).hexdigest() == PAIRS_SHA
    pairs = look_pairs.load_pairs()
    assert len(pairs) >= 600
    for pair in pairs:
        assert pair.photo not in pair.templates
        assert len(set(pair.templates)) == 5
        if pair.group in ("film", "creative"):
            assert in_split(pair.look, "test", monochrome=False)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Kodak-Portra-160-NC-2", "kodak-portra"),
        ("Kodak-Portra-400-VC-3-+", "kodak-portra"),
        ("bw-Ilford-HP5-1--", "bw-ilford-hp5"),
        ("TealOrange1", "tealorange"),
        ("tealorange_1", "tealorange"),
        ("1917", "1917"),
    ],
)
def test_families(name: str, expected: str) -> None:
    assert family(name) == expected


def test_looks_of_ones_own_are_split_too() -> None:
    names = [f"LUT_{number:03d}" for number in range(100)]
    validation = [name for name in names if in_split(name, "val", monochrome=False)]
    assert 2 < len(validation) < 25
    assert not any(in_split(name, "train", monochrome=False) for name in validation)
    with pytest.raises(ValueError, match="train, val, test"):
        in_split("x", "validation", monochrome=False)


def test_looks_from_a_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    looks = some_looks(2, 9)
    save_hald(looks.tables[0], tmp_path / "a" / "first.png", 16)
    save_cube(looks.tables[1], tmp_path / "second.cube")
    (tmp_path / "broken.cube").write_text("LUT_3D_SIZE 2\n")
    loaded = load_looks([tmp_path], grid=9)
    assert loaded is not None
    assert loaded.names == ["first", "second"]
    torch.testing.assert_close(loaded.tables, looks.tables, atol=1e-4, rtol=0)
    assert "broken.cube" in caplog.text
    assert load_looks(None) is None
    one = load_looks(str(tmp_path / "a"), grid=9)  # one folder, not its letters
    assert one is not None
    assert one.names == ["first"]
    with pytest.raises(ValueError, match="expected HALD"):
        load_looks([tmp_path / "nothing"])


@pytest.mark.parametrize("looks", [None, some_looks()])
def test_a_draw_depends_on_the_generator_alone(looks: Looks | None, device: torch.device) -> None:
    bank = LookBank(looks, MIXED, grid=9).to(device)
    first, again, other = (
        bank.draw(12, torch.Generator(device).manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == (12, 3, 9, 9, 9)
    assert first.min() >= 0
    assert first.max() <= 1


def test_plain_draws_are_the_looks_themselves() -> None:
    looks = some_looks()
    for table in LookBank(looks, PLAIN).draw(20, generator()):
        assert (looks.tables.clamp(0, 1) - table).abs().amax((1, 2, 3, 4)).min() < 1e-6


def test_some_draws_are_unfiltered() -> None:
    bank = LookBank(some_looks(), PLAIN._replace(unfiltered=0.09))
    drawn = bank.draw(2000, generator())
    share = (drawn - identity_lut(9)).abs().amax((1, 2, 3, 4)) < 1e-6
    assert 0.06 < float(share.float().mean()) < 0.12


def test_big_families_do_not_crowd_out_small_ones() -> None:
    looks = some_looks(10)
    names = [f"many{k}" for k in range(9)] + ["single"]
    bank = LookBank(Looks(names, looks.tables), PLAIN)
    assert bank.weights[:9].sum() == pytest.approx(3)
    assert bank.weights[9] == 1


def test_grades_vary_and_stay_in_range(device: torch.device) -> None:
    colours = torch.rand(64, 3, 50, device=device)
    graded = apply_random_grades(colours, torch.Generator(device).manual_seed(0))
    assert graded.min() >= 0
    assert graded.max() <= 1
    change = (graded - colours).abs().mean((1, 2))
    assert change.std() > 0.01
    light = apply_random_grades(colours, torch.Generator(device).manual_seed(0), amount=0.3)
    assert (light - colours).abs().mean() < 0.6 * change.mean()


def test_vignettes_darken_corners_more_than_the_centre() -> None:
    x = torch.full((200, 3, 33, 33), 0.8)
    y = effects.add_vignettes(x, generator(), share=1.0)
    assert (y[..., 0, 0].mean() < y[..., 16, 16].mean()) and y.min() >= 0
    assert torch.equal(effects.add_vignettes(x, generator(), share=0.0), x)


def test_jpeg_noise_is_that_of_a_jpeg_file() -> None:
    smooth = torch.nn.functional.interpolate(
        torch.rand(1, 1, 6, 6, generator=generator()), (32, 32), mode="bicubic"
    ).clamp(0, 1)
    x = smooth.expand(8, 3, 32, 32)  # grey, so that the luminance table alone is at work
    ours = (effects.add_jpeg_noise(x, generator(), share=1.0) - x).std((1, 2, 3))
    theirs = []
    for quality in (40, 95):
        buffer = io.BytesIO()
        pixels = (x[0] * 255).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "JPEG", quality=quality)
        decoded = torch.from_numpy(np.array(Image.open(buffer))).permute(2, 0, 1).float() / 255
        theirs.append(float((decoded - x[0]).std()))
    assert theirs[1] * 0.7 < ours.min()
    assert ours.max() < theirs[0] * 1.3
    tiny = torch.rand(1, 3, 7, 30)
    assert torch.equal(effects.add_jpeg_noise(tiny, generator(), 1.0), tiny)
    odd = torch.rand(1, 3, 17, 9)
    assert effects.add_jpeg_noise(odd, generator(), 1.0).shape == odd.shape


@pytest.mark.parametrize("effect", [effects.add_light_leaks, effects.add_grain])
def test_effects_touch_their_share(effect) -> None:
    x = torch.rand(400, 3, 8, 8) * 0.5 + 0.2
    touched = (effect(x, generator(), 0.25) - x).abs().amax((1, 2, 3)) > 1e-4
    assert 0.15 < float(touched.float().mean()) < 0.35


def test_synthetic_pairs_match(device: torch.device) -> None:
    photos = colourful(64, 64).unfold(1, 16, 16).unfold(2, 16, 16).flatten(1, 2).transpose(0, 1)
    looks = some_looks()
    pairs = SyntheticPairs(photos, photos[:2], LookBank(looks, PLAIN), looks, 3, NO_EFFECTS, 2)
    pairs = pairs.to(device)
    batch = pairs.batch(4, torch.Generator(device).manual_seed(0))
    assert batch.filtered.shape == batch.clean.shape == (4, 3, 3, 16, 16)
    assert batch.photo.shape == batch.rendered.shape == (4, 3, 16, 16)
    again = pairs.batch(4, torch.Generator(device).manual_seed(0))
    assert all(torch.equal(a, b) for a, b in zip(batch, again, strict=True))
    grid = (batch.filtered * 255).cpu()
    torch.testing.assert_close(grid, grid.round(), atol=1e-3, rtol=0)  # 8-bit rounding
    validation = pairs.validation(5)
    assert sum(len(b.photo) for b in validation) == 12
    # The photo and the templates of a row have one look.
    one = SyntheticPairs(photos, photos, LookBank(some_looks(1), PLAIN), None, 1, NO_EFFECTS, 1)
    b = one.batch(1, generator())
    expected = looks_applied(b.clean[:, 0], some_looks(1).tables[0])
    torch.testing.assert_close(b.filtered[:, 0], expected, atol=0.51 / 255, rtol=0)
    torch.testing.assert_close(b.rendered, looks_applied(b.photo, some_looks(1).tables[0]))


def looks_applied(x: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    from codec.pictures.lut import apply_trilinear

    return apply_trilinear(x, table).clamp(0, 1)


def test_embedded_photos_are_there_and_split() -> None:
    photos = embedded_photos()
    assert len(photos) >= 5
    train, val = (list_photos(None, split) for split in ("train", "val"))
    assert len(val) == 1
    assert sorted(train + val) == sorted(photos)


def test_photos_bear_one_broken_file(photo_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (photo_folder / "broken.jpg").write_text("no")
    loaded = load_photos(photo_folder, "all", size=8, crops=3)
    assert loaded.shape == (6, 3, 8, 8)
    assert "broken.jpg" in caplog.text
    assert torch.equal(loaded, load_photos(photo_folder, "all", size=8, crops=3))
    only_broken = photo_folder.parent / "only"
    only_broken.mkdir()
    (only_broken / "x.jpg").write_text("no")
    with pytest.raises(ValueError, match="at least one photo"):
        load_photos(only_broken, "train", size=8, crops=1)


def write_pair_folders(root: Path, iffi: bool) -> None:
    for number in range(4):
        clean = colourful(20 + number, 30)
        if iffi:
            write_picture(Picture(clean), root / str(number) / f"{number}_Original.png")
        else:
            write_picture(Picture(clean), root / "clean" / f"{number}.png")
        for look, shift in (("Warm", 40), ("Cold", -40)):
            filtered = (clean.int() + shift).clamp(0, 255).to(torch.uint8)
            path = (
                root / str(number) / f"{number}_{look}.png"
                if iffi
                else root / "filtered" / look / f"{number}.png"
            )
            write_picture(Picture(filtered), path)


@pytest.mark.parametrize("iffi", [False, True])
def test_folder_pairs(tmp_path: Path, iffi: bool, caplog: pytest.LogCaptureFixture) -> None:
    write_pair_folders(tmp_path, iffi)
    folders = (tmp_path, None) if iffi else (tmp_path / "filtered", tmp_path / "clean")
    assert len(match_names(*folders)) == 8
    broken = tmp_path / ("1/1_Warm.png" if iffi else "filtered/Warm/1.png")
    broken.write_text("no")
    pairs = FolderPairs(*folders, size=8, photos_per_look=2, validation_share=0.25)
    assert broken.name in caplog.text
    batch = pairs.batch(6, generator())
    assert batch.filtered.shape == (6, 2, 3, 8, 8)
    shift = (batch.filtered - batch.clean).mean((1, 2, 3, 4))
    other = (batch.rendered - batch.photo).mean((1, 2, 3))
    assert (shift.sign() == other.sign()).all()  # one look a row
    assert shift.sign().unique().numel() == 2
    assert sum(len(b.photo) for b in pairs.validation(4)) == 2
    write_picture(Picture(colourful(8, 8)), tmp_path / "others" / "unrelated.png")
    with pytest.raises(ValueError, match="found no pair"):
        match_names(tmp_path / "others", None if iffi else tmp_path / "clean")
    if not iffi:
        with pytest.raises(ValueError, match="one name"):
            match_names(tmp_path / "clean", tmp_path / "filtered")


def test_generators_depend_on_the_whole_key() -> None:
    keys = [(0, 1, 2), (0, 1, 3), (0, 2, 2), (1, 1, 2), (0, 12)]
    draws = {
        torch.rand(1, generator=seeded_generator(torch.device("cpu"), *k)).item() for k in keys
    }
    assert len(draws) == len(keys)
