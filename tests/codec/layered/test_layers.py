"""Layers: every form of the patent, from the base up, and what damage costs."""

import random
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from codec.container import FormatError
from codec.layered import Layers, LayerSettings, decode_layers, encode_layers
from codec.layered.bases import decode_base
from codec.layered.differences import (
    Guess,
    OffsetCoder,
    OwnCoder,
    ZipCoder,
    clamp_and_shift,
    difference,
    tag_of,
)
from codec.layered.geometry import (
    Division,
    Ratio,
    Sampling,
    Size,
    Window,
    below,
    level_sizes,
    shrink,
    smooth_splices,
)
from codec.layered.layers import base_quality
from codec.layered.settings import Tags
from codec.layered.tags import unpack_name, unpack_tag
from codec.layered.untagged import agreed, with_tags
from codec.planes import from_planes, to_planes
from codec.prediction.upsample import Kernel
from codec.search.encoders import encoder
from codec.settings import Settings
from tests.codec.test_container import mutate
from tests.codec.test_picture import decibel, photo

FAST = OwnCoder(Settings(75, "mse", effort="fast"))
TWO = Division((2,), (2,))


def layered(picture: Tensor, **options: object) -> Layers:
    return encode_layers(picture, LayerSettings(**({"coder": FAST, "base_quality": 60} | options)))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"levels": 3},
        {"base": "webp"},
        {"base": "avif"},
        {"base": "dfc"},
        {"division": TWO},
        {"division": Division((40, 50), (33, 30))},
        {"ratio": Ratio(3, 2)},
        {"ratio": Ratio(1, 2), "levels": 3},
        {"sub_blocks": True},
        {"smooth": True, "division": TWO, "levels": 3},
        {"sampling": Sampling.NEAREST, "kernel": Kernel.BILINEAR},
        {"sampling": Sampling.BILINEAR, "kernel": Kernel.NEAREST},
        {"sampling": Sampling.BOX},
        {"least_chroma": 100.0},
        {"soften": True},
        {"base_quality": None},
    ],
    ids=str,
)
@pytest.mark.parametrize("channels", [1, 3])
def test_layers_come_back(options: dict, channels: int) -> None:
    picture = photo(0, 63, 90)[:channels].contiguous()
    layers = layered(picture, **options)
    shown = decode_layers(layers)
    assert shown.problems == [] and shown.level == options.get("levels", 2) - 1
    assert shown.pixels.shape == picture.shape
    assert decibel(shown.pixels, picture) > (26 if options.get("soften") else 28)
    base = decode_layers(layers, 0)
    assert base.pixels.shape[1:] == decode_base(layers.base)[0].shape[1:]


@pytest.mark.parametrize("coder", [OwnCoder(Settings(lossless=True)), ZipCoder()], ids=str)
@pytest.mark.parametrize("levels", [2, 3])
def test_differences_may_lose_nothing(coder: OwnCoder | ZipCoder, levels: int) -> None:
    picture = photo(1, 50, 71)
    layers = layered(picture, coder=coder, levels=levels, division=TWO)
    assert torch.equal(decode_layers(layers).pixels, picture)


def test_the_clamp_of_the_patent() -> None:
    """Paragraphs 114-115."""
    found = clamp_and_shift(torch.tensor([-20, 10]), 16)
    assert found.tolist() == [0, 26] and found.dtype == torch.uint8
    assert clamp_and_shift(torch.arange(-255, 256), 64).aminmax() == (0, 128)
    for offset in (0, 128):
        with pytest.raises(ValueError, match="offset"):
            OffsetCoder(offset)


def test_differences_add_up_to_the_picture() -> None:
    """First less third, so that 136 gives the first back; 115 has its example the other way."""
    reference = to_planes(photo(0, 20, 24)[None])[0]
    step = below(Window(0, 0, 40, 48), Size(20, 24), Ratio(2, 2), Kernel.BICUBIC).step
    guess = Guess(reference, step, (40, 48))
    picture = photo(0, 40, 48)
    assert torch.equal(guess.pixels() + difference(picture, guess), picture.int())


@pytest.mark.parametrize("luma", [False, True])
def test_the_literal_form(luma: bool) -> None:
    picture = photo(0, 64, 96)
    options = {"least_chroma": 100.0} if luma else {}
    layers = layered(picture, coder=OffsetCoder(48, 90), division=TWO, **options)
    assert all(block.data[:2] == b"\xff\xd8" for block in layers.blocks)
    with Image.open(BytesIO(layers.blocks[0].data)) as image:
        assert image.mode == ("L" if luma else "RGB") and image.size == (48, 32)
    assert decibel(decode_layers(layers).pixels, picture) > 27


def test_open_loop_drifts_by_what_the_base_lost() -> None:
    picture = photo(0, 64, 96)
    closed = decode_layers(layered(picture, base_quality=20)).pixels
    opened = decode_layers(layered(picture, base_quality=20, closed=False)).pixels
    assert decibel(closed, picture) > decibel(opened, picture) + 2
    fine = decode_layers(layered(picture, base_quality=100, closed=False)).pixels
    assert decibel(fine, picture) > decibel(opened, picture) + 2


def test_the_base_is_a_file_that_others_open() -> None:
    for name, file_format in (("jpeg", "JPEG"), ("webp", "WEBP"), ("avif", "AVIF")):
        layers = layered(photo(0, 50, 70), base=name)
        with Image.open(BytesIO(layers.base)) as image:
            assert image.format == file_format and image.size == (35, 25)


def test_the_quality_of_the_base_follows_that_of_the_differences() -> None:
    picture = photo(0)
    found = layered(picture, base_quality=None).size
    assert found < min(layered(picture, base_quality=quality).size for quality in (10, 95))
    coders = (OwnCoder(Settings(20)), OwnCoder(Settings(90)), OffsetCoder(32, 90), ZipCoder())
    chosen = [base_quality(LayerSettings(coder=coder)) for coder in coders]
    assert chosen[0] < chosen[1] == chosen[2] < chosen[3]
    assert base_quality(LayerSettings(base_quality=7)) == 7


def test_any_level_needs_those_below_it_alone() -> None:
    picture = photo(0, 64, 96)
    layers = layered(picture, levels=3)
    lower = Layers(layers.base, [b for b in layers.blocks if b.tag.level < 2])
    first, second = decode_layers(layers, 1), decode_layers(lower, 1)
    assert torch.equal(first.pixels, second.pixels) and first.pixels.shape == (3, 32, 48)
    shown = decode_layers(lower)
    assert shown.level == 1 and "none of its blocks" in shown.problems[0]
    with pytest.raises(FormatError, match="from 0 to 2"):
        decode_layers(layers, 3)


def test_a_missing_block_shows_the_level_below_there() -> None:
    picture = photo(0, 64, 96)
    layers = layered(picture, division=TWO)
    whole = decode_layers(layers).pixels
    shown = decode_layers(Layers(layers.base, layers.blocks[:2] + layers.blocks[3:]))
    assert shown.problems == ["level 1: blocks [3] of 2x2 are not here"]
    assert torch.equal(shown.pixels[:, :32], whole[:, :32])
    assert torch.equal(shown.pixels[:, :, 48:], whole[:, :, 48:])
    enlarged = below(Window(0, 0, 64, 96), Size(32, 48), Ratio(2, 2), Kernel.BICUBIC).step(
        decode_base(layers.base)[1], (64, 96)
    )
    assert torch.equal(shown.pixels[:, 32:, :48], from_planes(enlarged[None])[0][:, 32:, :48])


def test_a_broken_block_costs_the_others_nothing() -> None:
    picture = photo(0, 64, 96)
    layers = layered(picture, levels=3, division=TWO)
    broken = layers.blocks[5]._replace(data=layers.blocks[5].data[:-30] + bytes(30))
    blocks = [*layers.blocks[:5], broken, *layers.blocks[6:]]
    shown = decode_layers(Layers(layers.base, blocks))
    assert len(shown.problems) == 1 and "level 2: block 2 of 2x2" in shown.problems[0]
    assert decibel(shown.pixels, picture) > 24


def test_damage_below_costs_what_stands_on_it() -> None:
    picture = photo(0, 96, 96)
    layers = layered(picture, levels=3, division=Division((3,), (3,)))
    whole = decode_layers(layers).pixels
    first = layers.blocks[0]._replace(data=b"\x89DFC\x02")
    shown = decode_layers(Layers(layers.base, [first, *layers.blocks[1:]]))
    assert torch.equal(shown.pixels[:, 64:], whole[:, 64:])
    assert {problem.split(":")[0] for problem in shown.problems} == {"level 1", "level 2"}
    # In two parts each way all four stand on the first one's corner.
    layers = layered(picture, levels=3, division=TWO)
    shown = decode_layers(
        Layers(layers.base, [first._replace(tag=layers.blocks[0].tag), *layers.blocks[1:]])
    )
    assert shown.level == 1 and "every block stands on one" in shown.problems[-1]


def test_another_base_is_refused() -> None:
    picture = photo(0, 64, 96)
    layers = layered(picture)
    other = encoder("jpeg").encode(photo(1, 32, 48), 60)
    with pytest.raises(FormatError, match="another file, or another decoder"):
        decode_layers(Layers(other, layers.blocks))
    with pytest.raises(FormatError, match="expected a level of 48x32"):
        decode_layers(Layers(encoder("jpeg").encode(photo(1, 32, 47), 60), layers.blocks))
    with pytest.raises(FormatError, match="base: cannot be decoded"):
        decode_layers(Layers(b"nothing", layers.blocks))


def test_blocks_say_what_they_are() -> None:
    for coder in (FAST, OffsetCoder(20, 80), ZipCoder()):
        layers = layered(photo(0, 64, 96), coder=coder, division=TWO, levels=3)
        for block in layers.blocks:
            assert tag_of(block.data) == block.tag
    tags = [block.tag for block in layers.blocks]
    assert [(t.level, t.number) for t in tags] == [(n, k) for n in (1, 2) for k in range(1, 5)]
    assert tags[6].window == Window(32, 0, 32, 48) and tags[6].size == Size(64, 96)
    assert tags[6].name() == "_2_2x2_3" and unpack_name("_2_2x2_3") == (2, 2, 2, 3)
    assert unpack_name("_2_2x2_3.4") == (2, 2, 2, 3) and unpack_name("_lowres") is None
    zipped = zipfile.ZipFile(BytesIO(layers.blocks[0].data))
    assert zipped.namelist() == ["difference"]


def test_broken_tags_are_refused() -> None:
    tag = layered(photo(0, 64, 96)).blocks[0].tag
    assert unpack_tag(tag.pack()) == tag
    for wrong in (
        {"level": 0}, {"level": 2}, {"window": Window(0, 0, 65, 96)}, {"ratio": Ratio(0, 2)},
        {"window": Window(-1, 0, 4, 4)}, {"size": Size(0, 96)}, {"offset": 200},
    ):  # fmt: skip
        with pytest.raises(FormatError):
            unpack_tag(tag._replace(**wrong).pack())
    with pytest.raises(FormatError):
        unpack_tag(tag.pack()[:-1])


@pytest.mark.parametrize("division", [Division((3,), (2,)), Division((40, 56), (64,))])
def test_what_was_agreed_need_not_be_said(division: Division) -> None:
    picture = photo(0, 64, 96)
    layers = (
        layered(picture, division=division, levels=3, tags=Tags.AGREED)
        if len(division.columns) == 1
        else layered(picture, division=division, tags=Tags.AGREED)
    )
    streams = [block.data for block in layers.blocks]
    assert all(tag_of(data) is None for data in streams)
    first = layers.blocks[0].tag
    base = Size(*decode_base(layers.base)[0].shape[1:])
    blocks = with_tags(agreed(streams, first.columns, first.rows), base)
    shown = decode_layers(Layers(layers.base, blocks))
    assert torch.equal(shown.pixels, decode_layers(layers).pixels)
    with pytest.raises(FormatError, match="blocks for each level"):
        agreed(streams[1:], first.columns, first.rows)


def test_splices_are_smoothed_and_nothing_else() -> None:
    plane = torch.zeros(1, 8, 12, dtype=torch.int32)
    plane[:, :, 6:] = 40
    windows = Division((2,), (2,)).windows(Size(8, 12))
    found = smooth_splices(plane, windows)
    assert found[0, 0].tolist() == [0] * 5 + [10, 30] + [40] * 5
    assert torch.equal(smooth_splices(plane, [Window(0, 0, 8, 12)]), plane)


def test_levels_halve_and_round_up() -> None:
    assert level_sizes(Size(2160, 3840), Ratio(2, 2), 4) == [
        Size(270, 480), Size(540, 960), Size(1080, 1920), Size(2160, 3840),
    ]  # fmt: skip
    assert level_sizes(Size(5, 7), Ratio(2, 2), 3)[0] == Size(2, 2)
    flat = torch.full((3, 7, 9), 93, dtype=torch.uint8)
    for sampling in Sampling:
        small = shrink(flat, Ratio(2, 3), sampling)
        assert small.shape == (3, 3, 5) and bool((small == 93).all())


@pytest.mark.parametrize(
    "wrong",
    [{"base": "png"}, {"levels": 1}, {"levels": 9}, {"ratio": Ratio(1, 1)},
     {"division": Division((40, 40), (1,))}, {"division": Division((40,), (30,))}],
    ids=str,
)  # fmt: skip
def test_settings_are_checked(wrong: dict) -> None:
    with pytest.raises(ValueError, match="expected"):
        layered(photo(0, 64, 96), **wrong)


def fuzz_layers(count: int, seed: int) -> None:
    chance = random.Random(seed)
    picture = photo(0, 9, 10)
    sources = [
        layered(picture, coder=coder)
        for coder in (FAST, OffsetCoder(30, 60), ZipCoder(), OwnCoder(Settings(lossless=True)))
    ]
    for _ in range(count):
        layers = chance.choice(sources)
        number = chance.randrange(len(layers.blocks) + 1)
        if number == len(layers.blocks):
            layers = replace_base(layers, mutate(layers.base, chance))
        else:
            block = layers.blocks[number]
            data = mutate(block.data, chance)
            try:
                tag = tag_of(data) or block.tag
            except FormatError:
                tag = block.tag
            blocks = [*layers.blocks]
            blocks[number] = block._replace(data=data, tag=tag)
            layers = layers._replace(blocks=blocks)
        try:
            shown = decode_layers(layers)
            assert shown.pixels.dtype == torch.uint8
        except FormatError as error:
            assert str(error)


def replace_base(layers: Layers, data: bytes) -> Layers:
    return layers._replace(base=data)


def test_mutations_show_a_picture_or_are_refused() -> None:
    fuzz_layers(100, 0)


@pytest.mark.slow
def test_many_mutations_of_layers(mutations: int) -> None:
    fuzz_layers(mutations, 1)


def test_files_of_layers(tmp_path: Path) -> None:
    from codec.__main__ import main
    from codec.pictures.picture_files import read_picture, write_pixels

    write_pixels(tmp_path / "in/a.png", photo(0, 64, 96))
    write_pixels(tmp_path / "in/b.png", photo(1, 40, 50))
    out, back = tmp_path / "out", tmp_path / "back"
    options = ["--levels", "3", "--blocks", "2x2", "--effort", "fast"]
    assert main(["layer", str(tmp_path / "in"), "-o", str(out), *options]) == 0
    names = {path.name for path in out.iterdir()}
    assert {"a_lowres.jpg", "b_lowres.jpg", "a_1_2x2_1.dfc", "b_2_2x2_4.dfc"} <= names
    assert len(names) == 18
    assert main(["unlayer", str(out), "-o", str(back)]) == 0
    assert {path.name for path in back.iterdir()} == {"a.png", "b.png"}
    assert decibel(read_picture(back / "a.png").pixels, photo(0, 64, 96)) > 28
    small = tmp_path / "small.png"
    assert main(["unlayer", str(out / "a_lowres.jpg"), "-o", str(small), "--level", "1"]) == 0
    assert read_picture(small).pixels.shape == (3, 32, 48)
    (out / "a_2_2x2_3.dfc").unlink()
    assert main(["unlayer", str(out / "a_lowres.jpg"), "-o", str(small)]) == 1
    assert read_picture(small).pixels.shape == (3, 64, 96)
    # Again with another division: the blocks of the first time are gone, other files are not.
    (out / "a_7.jpg").write_bytes(b"somebody's picture")
    assert main(["layer", str(tmp_path / "in/a.png"), "-o", str(out), "--effort", "fast"]) == 0
    left = {path.name for path in out.iterdir() if path.name.startswith("a_")}
    assert left == {"a_lowres.jpg", "a_1_1x1_1.dfc", "a_7.jpg"}


@pytest.mark.parametrize("tags", ["stream", "name", "agreed"])
@pytest.mark.parametrize("differences", ["own", "offset"])
def test_packages_of_layers(tmp_path: Path, tags: str, differences: str) -> None:
    from codec.__main__ import main
    from codec.package import Package
    from codec.pictures.picture_files import read_picture, write_pixels

    source, package, back = (tmp_path / name for name in ("a.png", "a.dfp", "b.png"))
    write_pixels(source, photo(0, 64, 96))
    options = ["--blocks", "2x1", "--tags", tags, "--differences", differences]
    options += ["--effort", "fast"] if differences == "own" else []
    assert main(["layer", str(source), "-o", str(package), *options]) == 0
    with Package(package) as opened:
        assert len(opened.entries) == 3 and "lowres.jpg" in opened.entries
    known = ["--agreed", "2x1"] if tags == "agreed" else []
    known += ["--offset", "32"] if differences == "offset" and tags != "stream" else []
    assert main(["unlayer", str(package), "-o", str(back), *known]) == 0
    assert decibel(read_picture(back).pixels, photo(0, 64, 96)) > 25


def test_layers_keep_metadata_and_reach_scores(tmp_path: Path) -> None:
    from codec.__main__ import main
    from codec.pictures.metrics import ssim
    from codec.pictures.picture_files import read_picture
    from tests.codec.test_commands import with_exif

    source = tmp_path / "a.jpg"
    with_exif(source, orientation=6)
    assert main(["layer", str(source), "-o", str(tmp_path / "out"), "--ssim", "0.95"]) == 0
    assert main(["unlayer", str(tmp_path / "out"), "-o", str(tmp_path / "back")]) == 0
    before, after = read_picture(source), read_picture(tmp_path / "back/a.png")
    assert after.pixels.shape == before.pixels.shape and after.orientation == 6
    score = ssim(before.pixels[None].float() / 255, after.pixels[None].float() / 255)
    assert float(score) > 0.94
    with Image.open(tmp_path / "out/a_lowres.jpg") as image:
        assert image.getexif()[0x010F] == "Camera"


def test_settings_are_a_value() -> None:
    assert replace(LayerSettings(), levels=3) == LayerSettings(levels=3)
