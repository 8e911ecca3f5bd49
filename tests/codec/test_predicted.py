"""Pictures that stand on others: the same bytes everywhere, and refusals."""

import itertools
import random
from pathlib import Path

import pytest
import torch
from torch import Tensor

import codec
from codec import picture as picture_codec
from codec.container import FormatError, Section, pack, unpack
from codec.picture import exact, references_of
from codec.prediction.alpha import Alpha
from codec.prediction.chain import MissingReference, Predicted, Prediction, hash_of, predict
from codec.prediction.motion import Motion
from codec.prediction.tone import Tone, straight
from codec.prediction.upsample import Upsample
from codec.prediction.warp import Warp
from codec.settings import Settings
from tests.codec.test_container import mended, mutate
from tests.codec.test_picture import decibel, photo

SHAPES = [(1, 1), (1, 40), (33, 1)]
OPTIONS = [{"mode": "mse"}, {"mode": "perceptual"}, {"lossless": True}, {"filter": "none"},
           {"filter": "network"}, {"effort": "fast"}]  # fmt: skip


def shifted(picture: Tensor, noise: int = 4) -> Tensor:
    """The same scene a pixel to the side, a little brighter, with noise."""
    generator = torch.Generator().manual_seed(5)
    grain = torch.randint(-noise, noise + 1, picture.shape, generator=generator)
    return (picture.roll(1, 2).int() + 3 + grain).clamp(0, 255).to(torch.uint8)


def chain_for(height: int, width: int) -> tuple:
    blocks, regions = (-(-height // 16), -(-width // 16)), (-(-height // 32), -(-width // 32))
    generator = torch.Generator().manual_seed(height * width)
    return (
        Warp((-16, 0) * 4),
        Motion(torch.randint(-2, 3, (2, *blocks), generator=generator).short()),
        Tone(tuple(n + 40 for n in straight(17))),
        Alpha(torch.randint(0, 4, regions, generator=generator).to(torch.int8)),
    )


def pair(height: int, width: int, channels: int = 3) -> tuple[Tensor, dict, Predicted]:
    """A picture, what it stands on, and how."""
    first = photo(0, height, width)[:channels]
    references = references_of(codec.encode([first], 80))
    (name,) = references
    prediction = Prediction(name, chain_for(height, width))
    return shifted(first), references, predict(prediction, references, (channels, height, width))


@pytest.mark.parametrize(
    ("shape", "options"),
    [*((shape, {}) for shape in SHAPES), *(((45, 70), options) for options in OPTIONS)],
)
@pytest.mark.parametrize("hints", [False, True])
def test_predicted_pictures_come_back(shape: tuple[int, int], options: dict, hints: bool) -> None:
    picture, references, predicted = pair(*shape)
    predicted = Predicted(
        Prediction(predicted.prediction.reference, predicted.prediction.steps, hints),
        predicted.planes,
    )
    (stream,) = codec.encode([picture], 85, predictions=[predicted], **options)
    (shown,) = codec.decode([stream], references=references)
    assert shown.shape == picture.shape and decibel(shown, picture) > 28
    if options.get("lossless"):
        assert torch.equal(shown, picture)
        return
    settings = Settings(**({"quality": 85} | options))
    (preview,) = picture_codec.preview([picture], [settings], predictions=[predicted])
    assert torch.equal(preview, shown)
    if options.get("filter") != "network":
        (planes,) = exact([stream], references=references)
        assert torch.equal(codec.planes.from_planes(planes[None])[0], shown)


def test_bytes_do_not_depend_on_company() -> None:
    picture, references, predicted = pair(64, 96)
    other = photo(1, 64, 96)
    alone = codec.encode([picture], 70, predictions=[predicted])
    together = codec.encode(
        [other, picture, other, picture], 70, predictions=[None, predicted, None, predicted]
    )
    assert together[1] == together[3] == alone[0]
    assert together[0] == codec.encode([other], 70)[0]
    shown = codec.decode([*together, *alone], references=references)
    assert torch.equal(shown[1], shown[4]) and torch.equal(shown[0], shown[2])


def test_threads_do_not_change_bytes() -> None:
    picture, references, predicted = pair(64, 96)
    before = torch.get_num_threads()
    found = set()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            again = predict(predicted.prediction, references, (3, 64, 96))
            found.add(codec.encode([picture], 70, predictions=[again])[0])
    finally:
        torch.set_num_threads(before)
    assert len(found) == 1


def test_what_is_as_predicted_takes_next_to_nothing() -> None:
    _, references, _ = pair(64, 96)
    first = codec.decode(codec.encode([photo(0, 64, 96)], 80))[0]
    same = predict(Prediction(next(iter(references))), references, (3, 64, 96))
    (stream,) = codec.encode([first], 80, predictions=[same])
    assert len(stream) < 90
    (shown,) = codec.decode([stream], references=references)
    assert decibel(shown, first) > 45


def test_references_stand_on_references() -> None:
    """A chain of three, of which any may be asked for."""
    pictures = [photo(0, 48, 64)]
    streams = codec.encode(pictures, 80)
    references = references_of(streams)
    for _ in range(3):
        name = hash_of(exact([streams[-1]], references=references)[0])
        pictures.append(shifted(pictures[-1], 2))
        predicted = predict(Prediction(name, (Warp((-16, 0) * 4),)), references, (3, 48, 64))
        streams += codec.encode([pictures[-1]], 80, predictions=[predicted])
        references |= references_of(streams[-1:], references=references)
    shown = codec.decode(streams, references=references)
    assert all(decibel(a, b) > 28 for a, b in zip(shown, pictures, strict=True))
    assert len(references) == 4


def test_missing_and_wrong_references_are_named() -> None:
    picture, references, predicted = pair(40, 48)
    (stream,) = codec.encode([picture], 70, predictions=[predicted])
    (name,) = references
    for read in (codec.decode, exact, references_of):
        with pytest.raises(MissingReference, match=name.hex()):
            read([stream])
    with pytest.raises(MissingReference, match=name.hex()):
        codec.thumbnail(stream)
    with pytest.raises(FormatError, match="got another one"):
        codec.decode([stream], references={name: references[name] + 1})


def test_predictions_have_to_fit_their_pictures() -> None:
    picture, _, predicted = pair(40, 48)
    with pytest.raises(ValueError, match="expected 2 predictions"):
        codec.encode([picture, picture], 70, predictions=[predicted])
    with pytest.raises(ValueError, match="of the shape of their pictures"):
        codec.encode([picture[:, :39]], 70, predictions=[predicted])


@pytest.mark.parametrize(("first", "second"), [(1, 3), (3, 1)])
def test_grey_and_colour_predict_each_other(first: int, second: int) -> None:
    picture = photo(0, 64, 96)
    references = references_of(codec.encode([picture[:first].contiguous()], 80))
    (name,) = references
    predicted = predict(Prediction(name), references, (second, 64, 96))
    wanted = picture[:second].contiguous()
    (stream,) = codec.encode([wanted], 80, predictions=[predicted])
    (shown,) = codec.decode([stream], references=references)
    assert shown.shape == wanted.shape and decibel(shown, wanted) > 28


def test_chroma_may_stay_as_predicted() -> None:
    picture, references, predicted = pair(64, 96)
    prediction = Prediction(predicted.prediction.reference, predicted.prediction.steps,
                            keeps_chroma=True)  # fmt: skip
    usual, less = codec.encode(
        [picture] * 2, 85, predictions=[predicted, Predicted(prediction, predicted.planes)]
    )
    assert len(less) < len(usual)
    (planes,) = exact([less], references=references)
    assert torch.equal(planes[1:], predicted.planes[1:]) and len(planes) == 3
    (shown,) = codec.decode([less], references=references)
    assert decibel(shown, picture) > 26
    with pytest.raises(ValueError, match="every plane"):
        codec.encode(
            [picture], lossless=True, predictions=[Predicted(prediction, predicted.planes)]
        )
    with pytest.raises(ValueError, match="colour picture"):
        codec.encode([picture[:1]], predictions=[Predicted(prediction, predicted.planes[:1])])


def test_thumbnails_of_predicted_pictures_are_pictures() -> None:
    picture, references, predicted = pair(64, 96)
    (stream,) = codec.encode([picture], 85, predictions=[predicted])
    small = codec.thumbnail(stream, references=references)
    truth = torch.nn.functional.avg_pool2d(picture.float(), 8)
    assert (small.float() - truth).abs().mean() < 3


def fuzz_predicted(count: int, seed: int) -> None:
    chance = random.Random(seed)
    sources, references = [], {}
    for height, width in ((1, 2), (5, 7)):
        picture, known, predicted = pair(height, width)
        references |= known
        for options, steps in itertools.product(
            ({}, {"lossless": True}), (predicted.prediction.steps, (Upsample(1, 1),))
        ):
            one = predict(
                Prediction(predicted.prediction.reference, steps, not options),
                references,
                (3, height, width),
            )
            sources += codec.encode([picture], 60, predictions=[one], **options)
    refused = 0
    for number in range(count):
        broken = mutate(chance.choice(sources), chance)
        broken = mended(broken) if number % 4 else broken
        try:
            (pixels,) = codec.decode([broken], references=references, max_pixels=1 << 14)
            assert pixels.dtype == torch.uint8
        except FormatError as error:
            refused += 1
            assert str(error)
    assert refused > count / 2


def test_mutations_of_predicted_pictures_decode_or_are_refused() -> None:
    fuzz_predicted(100, 0)


@pytest.mark.slow
def test_many_mutations_of_predicted_pictures(mutations: int) -> None:
    fuzz_predicted(mutations, 1)


def test_files_are_predicted_from_files(tmp_path: Path) -> None:
    from codec.__main__ import main
    from codec.pictures.picture_files import read_picture, write_pixels

    first, second = tmp_path / "in/first.png", tmp_path / "in/second.png"
    write_pixels(first, photo(0, 96, 128))
    write_pixels(second, shifted(photo(0, 96, 128), 1))
    ref, out, back = tmp_path / "ref.dfc", tmp_path / "out.dfc", tmp_path / "back.png"
    assert main(["encode", str(first), "-o", str(ref)]) == 0
    assert main(["encode", str(second), "-o", str(out), "--from", str(ref)]) == 0
    assert out.stat().st_size < 0.6 * ref.stat().st_size
    assert main(["decode", str(out), "-o", str(back)]) == 1 and not back.exists()
    assert main(["decode", str(out), "-o", str(back), "--from", str(tmp_path / "in")]) == 1
    assert main(["decode", str(out), "-o", str(back), "--from", str(tmp_path)]) == 0
    assert decibel(read_picture(back).pixels, read_picture(second).pixels) > 28


def test_a_picture_may_be_a_reference_as_it_is(tmp_path: Path) -> None:
    from codec.__main__ import main
    from codec.pictures.picture_files import write_pixels

    first, second = tmp_path / "first.png", tmp_path / "second.png"
    write_pixels(first, photo(0, 96, 128))
    write_pixels(second, shifted(photo(0, 96, 128), 1))
    out = tmp_path / "out/second.dfc"
    for options in (["--lossless"], ["--ssimulacra2", "70"]):
        command = ["encode", str(second), "-o", str(tmp_path / "out"), *options]
        assert main([*command]) == 0
        alone = out.stat().st_size
        assert main([*command, "--from", str(first)]) == 0
        assert out.stat().st_size < 0.9 * alone
        assert main(["decode", str(out), "-o", str(tmp_path / "b.png"), "--from", str(first)]) == 0


def test_streams_say_what_they_stand_on(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    from codec.__main__ import main

    picture, references, predicted = pair(40, 48)
    (stream,) = codec.encode([picture], 70, predictions=[predicted])
    (tmp_path / "x.dfc").write_bytes(stream)
    assert main(["info", str(tmp_path / "x.dfc")]) == 0
    said = capsys.readouterr().out
    assert next(iter(references)).hex() in said and "warp, motion, tone, alpha" in said


def test_a_thumbnail_in_pillow_needs_the_reference_too(tmp_path: Path) -> None:
    from PIL import Image

    import codec.pillow

    picture, _, predicted = pair(64, 96)
    (stream,) = codec.encode([picture], 70, predictions=[predicted])
    (tmp_path / "x.dfc").write_bytes(stream)
    with Image.open(tmp_path / "x.dfc") as image, pytest.raises(OSError, match="needs the picture"):
        image.thumbnail((8, 8))


def test_sections_of_a_prediction_are_checked() -> None:
    picture, references, predicted = pair(40, 48)
    (stream,) = codec.encode([picture], 70, predictions=[predicted])
    sections = unpack(stream).found
    twice = pack([*sections, next(s for s in sections if s[0] == Section.PREDICTION)])
    with pytest.raises(FormatError, match="one section prediction"):
        codec.decode([twice], references=references)


def test_chroma_is_kept_only_where_luma_is_coded_alone() -> None:
    picture, references, predicted = pair(40, 48)
    prediction = Prediction(predicted.prediction.reference, keeps_chroma=True).pack()
    for options in ({}, {"lossless": True}):
        (stream,) = codec.encode([picture], 70, predictions=[predicted], **options)
        sections = [
            (k, prediction if k == Section.PREDICTION else x) for k, x in unpack(stream).found
        ]
        with pytest.raises(FormatError, match="chroma is kept"):
            codec.decode([pack(sections)], references=references)
