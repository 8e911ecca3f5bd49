"""Still pictures: round trips, the same bytes everywhere, refusals."""

import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import codec
from codec import container, stream_metadata
from codec import picture as picture_codec
from codec import symbols as symbols_codec
from codec.container import FormatError, Mode
from codec.picture import references_of
from codec.pictures.colour import rgb_to_ycbcr
from codec.pictures.metrics import psnr
from codec.pictures.picture_files import read_picture
from codec.pictures.sample_photos import embedded_photos
from codec.profile import profile_from
from codec.residual import row_network
from codec.residual.analyse import hints_of
from codec.residual.coder import LosslessCoder, ResidualCoder, TermsDiffer
from codec.residual.colour import fixed_ycbcr_to_rgb, rgb_to_fixed_ycbcr, rgb_to_ycocg, ycocg_to_rgb
from codec.residual.context_sets import shipped_contexts
from codec.residual.quantise import WEIGHTINGS
from codec.settings import Settings
from tests.codec import format_decoder
from tests.conftest import colourful

GOLDEN = Path(__file__).parent / "golden"
SHAPES = [(1, 1), (1, 40), (33, 1), (31, 32), (32, 32), (45, 70)]
CPU = torch.device("cpu")


def residual_coder(mode: str, bits: int) -> ResidualCoder:
    return ResidualCoder(shipped_contexts("full", CPU), WEIGHTINGS[mode], bits)


def photo(number: int = 0, height: int = 128, width: int = 160) -> Tensor:
    """A piece of an embedded photo, reduced by two."""
    pixels = read_picture(embedded_photos()[number]).pixels[:, : 2 * height, : 2 * width].float()
    return torch.nn.functional.avg_pool2d(pixels, 2).round().to(torch.uint8)


def decibel(x: Tensor, y: Tensor) -> float:
    return float(psnr(x[None].double() / 255, y[None].double() / 255))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("channels", [1, 3])
def test_lossless_is_lossless(shape: tuple[int, int], channels: int, device: torch.device) -> None:
    generator = torch.Generator().manual_seed(1)
    noisy = torch.randint(256, (channels, *shape), generator=generator).to(torch.uint8)
    pictures = [noisy, colourful(*shape)[:channels], torch.full_like(noisy, 200)]
    streams = codec.encode(pictures, lossless=True, device=device)
    for picture, decoded in zip(pictures, codec.decode(streams, device=device), strict=True):
        assert torch.equal(picture, decoded)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["mse", "perceptual"])
def test_every_size_comes_back(shape: tuple[int, int], channels: int, mode: str) -> None:
    picture = colourful(*shape)[:channels]
    (stream,) = codec.encode([picture], 90, mode=mode)
    (decoded,) = codec.decode([stream])
    assert decoded.shape == picture.shape and decoded.dtype == torch.uint8
    assert decibel(picture, decoded) > 24
    noisy = torch.randint(256, (channels, *shape)).to(torch.uint8)
    (back,) = codec.decode(codec.encode([noisy], 100, mode=mode))
    assert back.shape == noisy.shape


def test_flat_pictures_cost_nothing_and_come_back() -> None:
    flat = torch.tensor([13, 200, 90], dtype=torch.uint8)[:, None, None].expand(3, 256, 256)
    (stream,) = codec.encode([flat], 60)
    assert len(stream) < 400
    assert (codec.decode([stream])[0].int() - flat.int()).abs().max() <= 6


@pytest.mark.parametrize("mode", ["mse", "perceptual"])
def test_quality_buys_quality(mode: str) -> None:
    picture = photo()
    qualities = (1, 20, 50, 80, 95, 100)
    streams = [codec.encode([picture], q, mode=mode)[0] for q in qualities]
    sizes = [len(s) for s in streams]
    scores = [decibel(picture, d) for d in codec.decode(streams)]
    assert sizes == sorted(sizes) and scores == sorted(scores)
    assert scores[-1] > 44


def test_a_quality_means_what_it_means_for_jpeg() -> None:
    pictures = [photo(n) for n in range(3)]
    for quality in (20, 50, 75, 90):
        gaps = []
        for picture, decoded in zip(
            pictures, codec.decode(codec.encode(pictures, quality, mode="mse")), strict=True
        ):
            buffer = io.BytesIO()
            Image.fromarray(picture.permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=quality)
            jpeg = torch.from_numpy(np.array(Image.open(buffer))).permute(2, 0, 1)
            gaps.append(decibel(picture, decoded) - decibel(picture, jpeg))
        assert abs(sum(gaps) / len(gaps)) < 1.5, quality


def test_bytes_do_not_depend_on_company() -> None:
    pictures = [photo(), photo(1), colourful(45, 70), photo()[:1], photo(2)]
    for options in ({"mode": "mse"}, {}, {"lossless": True}, {"effort": "fast"}):
        together = codec.encode(pictures, 60, **options)
        alone = [codec.encode([picture], 60, **options)[0] for picture in pictures]
        assert together == alone
        for one, other in zip(
            codec.decode(together), [codec.decode([s])[0] for s in alone], strict=True
        ):
            assert torch.equal(one, other)


def test_bytes_do_not_depend_on_the_int8_product(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = photo()
    (expected,) = codec.encode([picture], 70)
    monkeypatch.setattr(row_network, "_has_exact_int8", lambda _: False)
    assert codec.encode([picture], 70) == [expected]
    torch.set_float32_matmul_precision("medium")  # may round to bfloat16, which holds int8
    try:
        assert codec.encode([picture], 70) == [expected]
    finally:
        torch.set_float32_matmul_precision("highest")


@contextlib.contextmanager
def set_for_a_while(setter: Callable, value: object, before: object) -> Iterator[None]:
    setter(value)
    try:
        yield
    finally:
        setter(before)


SETTINGS_OF_THE_CALLER = {
    "autocast": lambda: torch.autocast("cpu"),
    "autocast, float16": lambda: torch.autocast("cpu", torch.float16),
    "bfloat16 products": lambda: set_for_a_while(
        torch.set_float32_matmul_precision, "medium", "highest"
    ),
    "TF32 products": lambda: set_for_a_while(torch.set_float32_matmul_precision, "high", "highest"),
    "default device": lambda: torch.device("meta"),
    "float64": lambda: set_for_a_while(torch.set_default_dtype, torch.float64, torch.float32),
    "float16": lambda: set_for_a_while(torch.set_default_dtype, torch.float16, torch.float32),
    "deterministic": lambda: set_for_a_while(torch.use_deterministic_algorithms, True, False),
    "one thread": lambda: set_for_a_while(torch.set_num_threads, 1, torch.get_num_threads()),
    "three threads": lambda: set_for_a_while(torch.set_num_threads, 3, torch.get_num_threads()),
    "inference": torch.inference_mode,
}


OPTIONS: tuple[dict, ...] = ({}, {"lossless": True}, {"effort": "fast", "mode": "mse"})


def small_pictures() -> list[Tensor]:
    """One that fills a few dozen rows of a product, and grey ones of a few rows."""
    return [photo(0, 64, 40), photo(1, 8, 12)[:1]]


def everything_coded() -> list[object]:
    """Bytes and pixels by every way into the codec, with what it did not write itself."""
    pictures = small_pictures()
    streams = [codec.encode(pictures, 60, **options) for options in OPTIONS]
    pixels = [p.tolist() for one in streams for p in codec.decode(one)]
    small = [codec.thumbnail(one[0]).tolist() for one in streams]
    # The same in the caller's own thread, where its settings hold.
    coder = residual_coder("perceptual", 9)
    with torch.device("cpu"):
        step, planes = torch.tensor([110]), rgb_to_fixed_ycbcr(photo(2, 32, 64)[None])
    coded = coder.write(coder.analyse(planes, step))
    restored = coder.reconstruct(coder.read(coded, (3, 32, 64))).tolist()
    exact = LosslessCoder(coder.networks, 10).write(planes >> 4)
    return [streams, pixels, small, coded, restored, exact]


@pytest.fixture(scope="module")
def expected_of_everything() -> list[object]:
    return everything_coded()


@pytest.mark.parametrize("name", SETTINGS_OF_THE_CALLER)
def test_nothing_that_the_caller_sets_changes_bytes_or_pixels(
    name: str, expected_of_everything: list[object]
) -> None:
    with SETTINGS_OF_THE_CALLER[name]():
        assert everything_coded() == expected_of_everything


@pytest.mark.slow
def test_bytes_do_not_depend_on_threads() -> None:
    script = (
        "import hashlib, torch, codec; from tests.codec.test_picture import photo;"
        "s = codec.encode([photo(), photo(1)], 66) + codec.encode([photo()], lossless=True);"
        "d = codec.decode(s);"
        "print(hashlib.sha256(b''.join(s) + d[0].numpy().tobytes()).hexdigest())"
    )
    found = set()
    for threads in ("1", "2", "5"):
        environment = os.environ | {"OMP_NUM_THREADS": threads}
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True,
            env=environment,
        )  # fmt: skip
        found.add(done.stdout)
    assert len(found) == 1


@pytest.mark.gpu
def test_cpu_and_cuda_write_the_same_bytes_and_pixels() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    pictures = [photo(), photo(1), colourful(45, 70)]
    for options in ({"mode": "mse"}, {}, {"lossless": True}, {"effort": "fast"}):
        expected = codec.encode(pictures, 60, **options)
        assert codec.encode(pictures, 60, device="cuda", **options) == expected
        for a, b in zip(codec.decode(expected), codec.decode(expected, device="cuda"), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("mode", ["mse", "perceptual"])
def test_the_network_filter_helps_and_is_flagged(mode: str) -> None:
    picture = photo(1)
    streams = [
        codec.encode([picture], 40, mode=mode, filter=name)[0] for name in ("none", "network")
    ]
    assert abs(len(streams[0]) - len(streams[1])) <= 4  # the fingerprint
    plain, restored = (decibel(picture, d) for d in codec.decode(streams))
    assert restored > plain
    header, _ = stream_metadata.read_metadata(streams[1])
    assert header.filter.name == "NETWORK" and header.postfilter


def test_the_network_filter_in_float32_differs_by_one_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (stream,) = codec.encode([photo()], 40, filter="network")
    header, symbols = picture_codec.read_symbols(stream)
    profile = profile_from(header, CPU)
    usual = symbols_codec.to_pixels(symbols, profile)
    monkeypatch.setattr(torch, "autocast", lambda *_: contextlib.nullcontext())
    exact = symbols_codec.to_pixels(symbols, profile)
    assert (usual.int() - exact.int()).abs().max() <= 1


def test_grey_pictures_get_the_edge_filter_for_the_network() -> None:
    grey = photo()[:1]
    assert codec.encode([grey], 40, filter="network") == codec.encode([grey], 40, filter="edge")


def test_preview_is_what_decoding_shows() -> None:
    pictures = [photo(), photo(), photo(1, 40, 50)]
    settings = [Settings(30), Settings(80), Settings(55, "mse", filter="none")]
    shown = picture_codec.preview(pictures, settings)
    for picture, setting, seen in zip(pictures, settings, shown, strict=True):
        (stream,) = codec.encode([picture], **setting._asdict())
        assert torch.equal(codec.decode([stream])[0], seen)


def test_entropy_is_what_files_come_near_to() -> None:
    pictures = [photo(n, 250, 220) for n in range(3)]
    settings = Settings(75, "mse")
    bits = picture_codec.entropy(pictures, settings)
    for stream, theory in zip(codec.encode(pictures, 75, mode="mse"), bits, strict=True):
        assert theory / 8 < len(stream) < theory / 8 * 1.01 + 90


@pytest.mark.parametrize("options", [{"mode": "mse"}, {"mode": "perceptual"}, {"lossless": True}])
@pytest.mark.parametrize("channels", [1, 3])
def test_thumbnails_need_the_means_alone(options: dict, channels: int) -> None:
    picture = photo(1, 100, 90)[:channels]
    (stream,) = codec.encode([picture], 85, **options)
    small = codec.thumbnail(stream)
    assert small.shape == (channels, 13, 12)
    truth = torch.nn.functional.avg_pool2d(picture[:, :96, :88].float(), 8)
    assert (small[:, :12, :11].float() - truth).abs().mean() < 3
    if "mode" in options:
        sections = container.unpack(stream).found
        rest = container.pack([s for s in sections if s[0] != container.Section.CELLS])
        assert torch.equal(codec.thumbnail(rest), small)
        with pytest.raises(FormatError, match="cells"):
            codec.decode([rest])


def golden_references() -> dict[bytes, Tensor]:
    """What the predicted golden streams stand on."""
    return references_of([(GOLDEN / "mse.dfc").read_bytes()])


def test_golden_streams_decode_to_the_same_pixels() -> None:
    expected = json.loads((GOLDEN / "golden.json").read_text())
    assert len(expected) >= 6
    for name, digest in expected.items():
        (pixels,) = codec.decode([(GOLDEN / name).read_bytes()], references=golden_references())
        assert hashlib.sha256(pixels.numpy().tobytes()).hexdigest() == digest, name


def test_golden_streams_are_still_written() -> None:
    sys.path.insert(0, str(GOLDEN))
    try:
        from make import streams  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(GOLDEN))
    for name, data in streams().items():
        assert (GOLDEN / name).read_bytes() == data, name


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.dfc")), ids=lambda p: p.stem)
def test_a_decoder_written_from_the_document_agrees(path: Path) -> None:
    known = format_decoder.decode((GOLDEN / "mse.dfc").read_bytes(), exact=True)
    references = {format_decoder.name_of(known): known}
    assert list(references) == list(golden_references())
    planes = format_decoder.decode(path.read_bytes(), references)
    (pixels,) = codec.decode([path.read_bytes()], references=golden_references())
    assert np.array_equal(np.stack(planes), pixels.numpy())


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (torch.zeros(3, 4, 4), "uint8 picture"),
        (torch.zeros(2, 4, 4, dtype=torch.uint8), r"got torch.uint8 \(2, 4, 4\)"),
        (torch.zeros(3, 0, 4, dtype=torch.uint8), r"\(3, 0, 4\)"),
        (torch.zeros(4, 4, dtype=torch.uint8), "uint8 picture"),
        (torch.zeros(1, 1, 1, dtype=torch.uint8).expand(1, 1 << 14, 1 << 14), "pixels"),
    ],
)
def test_what_is_no_picture_is_refused(picture: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        codec.encode([picture])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quality": 0}, "from 1 to 100, got 0"),
        ({"quality": 101}, "got 101"),
        ({"quality": 50.5}, "got 50.5"),
        ({"mode": "best"}, "out of mse, perceptual, got 'best'"),
        ({"filter": "blur"}, "out of none, edge, network"),
        ({"effort": "insane"}, "out of fast, full"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        codec.encode([colourful(8, 8)], **options)


def test_an_empty_list_is_an_empty_list() -> None:
    assert codec.encode([]) == [] and codec.decode([]) == []


def test_fixed_point_colour_is_the_matrix_rounded() -> None:
    rgb = torch.randint(256, (2, 3, 20, 20))
    fixed = rgb_to_fixed_ycbcr(rgb)
    truth = rgb_to_ycbcr(rgb.double()) * 16
    truth[:, 0] -= 2048
    assert (fixed - truth).abs().max() <= 0.52
    assert torch.equal(fixed_ycbcr_to_rgb(fixed).long(), rgb)
    ends = torch.cartesian_prod(*[torch.tensor([0, 1, 254, 255])] * 3).T[None, :, None]
    assert torch.equal(ycocg_to_rgb(rgb_to_ycocg(ends)), ends)
    assert rgb_to_ycocg(ends)[:, 1:].abs().max() <= 255


def test_residuals_of_a_prediction_are_coded_better_with_it() -> None:
    picture = photo(1, 128, 128)
    planes = rgb_to_fixed_ycbcr(picture[None])
    small = torch.nn.functional.avg_pool2d(planes.float(), 2)
    guess = torch.nn.functional.interpolate(small, scale_factor=2, mode="bilinear").round().int()
    coder, step = residual_coder("mse", 10), torch.tensor([130])
    hints = hints_of(guess[:, 0], step)
    assert hints.shape == (1, 16, 16, 8) and hints[..., 0].unique().tolist() == [64]
    sizes = []
    for known in (hints, None):
        symbols = coder.analyse(planes - guess, step, hints=known)
        coded = coder.write(symbols)
        back = coder.read(coded, (3, 128, 128), hints=known)
        assert all(torch.equal(a, b) for a, b in zip(symbols.values, back.values, strict=True))
        restored = coder.reconstruct(back) + guess
        assert decibel(fixed_ycbcr_to_rgb(restored)[0], picture) > 33
        sizes.append(sum(len(words) for _, words in coded[0][:2]))
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize("bits", [9, 12, 16])
def test_wide_planes_of_any_number_are_coded(bits: int) -> None:
    top = 1 << bits - 1
    generator = torch.Generator().manual_seed(bits)
    smooth = torch.linspace(-top, top - 1, 64)[:, None] * torch.linspace(-1, 1, 96)
    plane = (smooth + torch.randn(64, 96, generator=generator) * 3).round().int()
    plane = plane.clamp(-top, top - 1)
    coder = residual_coder("mse", bits)
    symbols = coder.analyse((plane << 4)[None, None], torch.tensor([70]))
    back = coder.read(coder.write(symbols), (1, 64, 96))
    assert torch.equal(back.values[0], symbols.values[0])
    assert torch.equal(back.means[0], symbols.means[0])
    restored = (coder.reconstruct(back)[0, 0] + 8) >> 4
    assert (restored - plane).abs().max() <= (24 if bits == 16 else 8)
    two = torch.stack((plane, plane.flip(1)))[None]
    lossless = LosslessCoder(coder.networks, bits)
    assert torch.equal(lossless.read(lossless.write(two), (2, 64, 96)), two)


def test_subsampled_chroma_is_coded_plane_by_plane() -> None:
    planes = rgb_to_fixed_ycbcr(photo(0, 64, 64)[None])
    coder, step = residual_coder("mse", 9), torch.tensor([110])
    half = torch.nn.functional.avg_pool2d(planes[:, 1:].float(), 2).round().int()
    for plane in (planes[:, :1], half[:, :1], half[:, 1:]):
        symbols = coder.analyse(plane, step)
        back = coder.read(coder.write(symbols), (1, *plane.shape[2:]))
        assert torch.equal(coder.reconstruct(back), coder.reconstruct(symbols))


def test_planes_are_read_with_the_terms_that_they_were_written_with() -> None:
    """Every one of them alone: another value would read garbage, or call good data broken."""
    planes = rgb_to_fixed_ycbcr(photo(1, 64, 64)[None])[:, :1]
    writer, step = residual_coder("mse", 10), torch.tensor([130])
    (coded,) = writer.write(writer.analyse(planes, step))
    readers = [replace(writer, bits=bits) for bits in (8, 9, 11, 12, 16)]
    readers.append(residual_coder("perceptual", 10))
    readers.append(replace(writer, networks=shipped_contexts("fast", CPU)))
    for reader in readers:
        with pytest.raises(TermsDiffer, match="expected planes coded with"):
            reader.read([coded], (1, 64, 64))
    with pytest.raises(TermsDiffer):
        writer.read([coded], (1, 64, 64), hints=hints_of(planes[:, 0], step))
    with pytest.raises(TermsDiffer):
        readers[-2].reconstruct(writer.read([coded], (1, 64, 64)))
    (exact,) = LosslessCoder(writer.networks, 12).write(planes)
    with pytest.raises(TermsDiffer, match="11 bits, got 12"):
        LosslessCoder(writer.networks, 11).read([exact], (1, 64, 64))


def test_modes_stand_in_the_header() -> None:
    for options, mode in (({"mode": "mse"}, Mode.MSE), ({"lossless": True}, Mode.LOSSLESS)):
        (stream,) = codec.encode([colourful(9, 14)], **options)
        given = stream_metadata.Metadata(b"Exif", None, b"<x:xmpmeta/>")
        header, found = stream_metadata.read_metadata(stream_metadata.with_metadata(stream, given))
        assert (header.mode, header.width, header.height, found) == (mode, 14, 9, given)


def test_what_is_no_list_of_tensors_is_told() -> None:
    picture = photo(1, 20, 20)
    (stream,) = codec.encode([picture])
    with pytest.raises(ValueError, match=r"expected a list of pictures"):
        codec.encode(picture)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="torch tensor, got ndarray"):
        codec.encode([picture.numpy()])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="list of codestreams"):
        codec.decode(stream)  # type: ignore[arg-type]
    with pytest.raises(FormatError, match="got str"):
        codec.decode(["file.dfc"])  # type: ignore[list-item]
    with pytest.raises(FormatError, match="stream 1: "):
        codec.decode([stream, stream[:-3]])
    shown = picture_codec.preview, [picture], [Settings()]
    for device in ("gpu", "meta"):
        for call, *arguments in (
            (codec.encode, [picture]), (codec.decode, [stream]), (codec.thumbnail, stream), shown,
            (picture_codec.entropy, [picture], Settings()), (picture_codec.read_symbols, stream),
        ):  # fmt: skip
            with pytest.raises(ValueError, match="expected cpu, or cuda"):
                call(*arguments, device=device)  # type: ignore[operator]


def test_planes_out_of_range_are_refused() -> None:
    coder, step = residual_coder("mse", 9), torch.tensor([100])
    planes = torch.zeros(1, 1, 32, 32, dtype=torch.int32)
    with pytest.raises(ValueError, match="expected samples within"):
        coder.analyse(planes + 600_000, step)
    with pytest.raises(ValueError, match="signed integers"):
        coder.analyse(planes.float(), step)
    with pytest.raises(ValueError, match="expected step indices"):
        coder.analyse(planes, step + 200)
    with pytest.raises(ValueError, match="expected samples within"):
        LosslessCoder(coder.networks, 10).write(planes + 1025)


@pytest.mark.parametrize("quality", [50, 80, 95, 100])
@pytest.mark.parametrize("mode", ["mse", "perceptual"])
def test_the_strongest_contrasts_survive(mode: str, quality: int) -> None:
    """Large coefficients cost what the writer spends on them, and no more."""
    picture = torch.zeros(3, 64, 64, dtype=torch.uint8)
    picture[:, :, ::2] = 255
    (decoded,) = codec.decode(codec.encode([picture], quality, mode=mode))
    assert decibel(picture, decoded) > (25 if quality < 80 else 32)


def test_quality_rises_on_a_striped_patch() -> None:
    picture = photo(1, 128, 128)
    picture[:, 32:96, 32:96:2], picture[:, 32:96, 33:96:2] = 0, 255
    found = [
        decibel(picture, codec.decode(codec.encode([picture], q, mode="mse"))[0])
        for q in (80, 90, 95, 100)
    ]
    assert found == sorted(found) and found[0] > 30
