"""On CUDA the codec writes the bytes, and shows the pixels, that it does on the CPU."""

import hashlib
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

import codec
from codec.container import FormatError
from codec.pictures import metrics
from codec.pictures.smallfry import smallfry
from codec.pictures.ssimulacra2 import ssimulacra2
from codec.prediction import Prediction, Warp, predict
from codec.prediction.chain import Step
from codec.residual.row_network import RowNetwork, to_integers
from codec.search import find, find_batch
from codec.search.criteria import at_least
from codec.search.encoders import OwnEncoder
from codec.settings import Settings
from tests.codec.prediction.test_chain import EVERY as EVERY_STEP
from tests.codec.prediction.test_steps import noise
from tests.codec.test_picture import golden_references
from tests.pretend_cuda import CUDA, pretend_cuda

GOLDEN = Path(__file__).parents[1] / "codec" / "golden"
SMALL = ("one", "tiny")  # a second or two on the pretended device


class Bound(NamedTuple):
    """What a call may cost at most on the pretended device."""

    launches: int
    waits: int
    uploaded: int


# For a picture of 10 x 13 at quality 50; what is loaded once is left out. They are to be lowered as
# the code becomes better. A step of rANS is a dozen launches in writing and two dozen in reading,
# and grows with the data; the rest does not.
ENCODE, DECODE = Bound(30_000, 1_650, 16_000), Bound(17_000, 1_200, 18_500)
ENCODE_LOSSLESS, DECODE_LOSSLESS = Bound(19_000, 830, 2_100), Bound(26_500, 1_210, 5_100)
STALE = 0.4  # a bound of which a call needs less than this share is to be lowered


def waves(height: int, width: int, channels: int = 3) -> Tensor:
    """(C, H, W) uint8 with slopes and an edge, the same on every machine."""
    i, j = torch.arange(height)[:, None], torch.arange(width)
    parts = (i * 3 + j * 2 + i * j // 9 % 7, 240 - i * 2 + j, 60 + 90 * (i > j) + j)
    return torch.stack([part + 0 * (i + j) for part in parts[:channels]]).remainder(256).byte()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lossless": True},
        pytest.param({"mode": "mse"}, marks=pytest.mark.slow),
        pytest.param({"effort": "fast"}, marks=pytest.mark.slow),
    ],
)
def test_bytes_pixels_and_thumbnails_are_the_cpus(
    options: dict[str, Any], cuda: torch.device
) -> None:
    picture = waves(10, 13)
    expected = codec.encode([picture], 80, **options)
    assert codec.encode([picture.to(cuda)], 80, device=cuda, **options) == expected
    (shown,) = codec.decode(expected, device=cuda)
    assert torch.equal(shown, codec.decode(expected)[0])
    small = codec.thumbnail(expected[0], device=cuda)
    assert torch.equal(small, codec.thumbnail(expected[0]))


@pytest.mark.parametrize(
    ("picture", "quality"),
    [
        pytest.param(waves(1, 1), 90, marks=pytest.mark.slow),
        pytest.param(waves(9, 5, 1), 80, marks=pytest.mark.slow),
        pytest.param(waves(24, 20), 20, marks=pytest.mark.slow),
        pytest.param(waves(24, 20), 97, marks=pytest.mark.slow),
        pytest.param(waves(300, 420), 60, marks=pytest.mark.slow),  # more rows than fit at once
    ],
    ids=["one pixel", "grey", "q20", "q97", "large"],
)
def test_all_shapes_and_qualities(picture: Tensor, quality: int, cuda: torch.device) -> None:
    expected = codec.encode([picture], quality)
    assert codec.encode([picture], quality, device=cuda) == expected
    (shown,) = codec.decode(expected, device=cuda)
    assert torch.equal(shown, codec.decode(expected)[0])


@pytest.mark.slow
def test_a_batch_is_as_if_alone(cuda: torch.device) -> None:
    pictures = [waves(8, 8), waves(8, 8).flip(1), waves(5, 9, 1)]
    streams = codec.encode(pictures, 60, effort="fast", device=cuda)
    assert streams == codec.encode(pictures, 60, effort="fast")
    together = codec.decode(streams, device=cuda)
    for stream, shown in zip(streams, together, strict=True):
        assert torch.equal(shown, codec.decode([stream])[0])


def test_the_network_filter_is_one_grey_level_off_at_most(cuda: torch.device) -> None:
    (stream,) = codec.encode([waves(12, 20)], 40, filter="network")
    (shown,), (expected,) = codec.decode([stream], device=cuda), codec.decode([stream])
    assert (shown.int() - expected.int()).abs().max() <= 1


@pytest.mark.parametrize(
    "name",
    [
        name if Path(name).stem in SMALL else pytest.param(name, marks=pytest.mark.slow)
        for name in json.loads((GOLDEN / "golden.json").read_text())
    ],
)
def test_golden_streams_show_the_same_pixels(name: str, cuda: torch.device) -> None:
    expected = json.loads((GOLDEN / "golden.json").read_text())[name]
    known = golden_references()
    (pixels,) = codec.decode([(GOLDEN / name).read_bytes()], device=cuda, references=known)
    assert hashlib.sha256(pixels.numpy().tobytes()).hexdigest() == expected


@pytest.mark.parametrize("step", EVERY_STEP, ids=lambda step: type(step).__name__.lower())
def test_steps_of_predictions_are_the_cpus(step: Step, cuda: torch.device) -> None:
    planes = noise(64, 80)
    assert torch.equal(step(planes.to(cuda), (64, 80)).cpu(), step(planes, (64, 80)))


@pytest.mark.parametrize("options", [{}, pytest.param({"lossless": True}, marks=pytest.mark.slow)])
def test_predicted_pictures_are_the_cpus(options: dict[str, Any], cuda: torch.device) -> None:
    first, second = waves(10, 13), waves(10, 13).roll(1, 2)
    references = codec.references_of(codec.encode([first], 80))
    (name,) = references
    prediction = Prediction(name, (Warp((-16, 0) * 4),), hints=True)
    predicted = predict(prediction, references, (3, 10, 13))
    expected = codec.encode([second], 80, predictions=[predicted], **options)
    again = predict(prediction, references, (3, 10, 13), cuda)
    assert codec.encode([second], 80, predictions=[again], device=cuda, **options) == expected
    (shown,) = codec.decode(expected, references=references, device=cuda)
    assert torch.equal(shown, codec.decode(expected, references=references)[0])
    (planes,) = codec.exact(expected, references=references, device=cuda)
    assert torch.equal(planes, codec.exact(expected, references=references)[0])


@contextmanager
def rough_products() -> Iterator[None]:
    """TF32 or less, as many a training asks for."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def doubles_by_default() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


STATES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "nothing": nullcontext,
    "autocast": lambda: torch.autocast("cuda", torch.bfloat16),
    "rough products": rough_products,
    "default device": lambda: torch.device("cuda"),
    "default type": doubles_by_default,
}


@pytest.mark.parametrize("place", ["cpu", "cuda"])
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(
    "options", [{"lossless": True}, pytest.param({"effort": "fast"}, marks=pytest.mark.slow)]
)
def test_the_callers_state_changes_nothing(
    options: dict[str, Any], state: str, place: str, cuda: torch.device
) -> None:
    picture = waves(4, 5)
    expected = codec.encode([picture], 50, **options)
    (shown,) = codec.decode(expected)
    with STATES[state]():
        found = codec.encode([picture], 50, device=place, **options)
        (again,) = codec.decode(expected, device=place)
    assert found == expected
    assert torch.equal(again, shown)


@pytest.mark.parametrize(
    ("rows", "inputs", "hidden", "outputs"),
    [
        (17, 304, (96, 64), 24),
        (1000, 1130, (128, 128), 8),
        (300, 3222, (128,), 392),
        (5, 61, (48, 64), 3),
        pytest.param(200_000, 304, (128, 128), 8, marks=pytest.mark.slow),
    ],
)
def test_integer_networks_are_exact_in_the_shapes_in_use(
    rows: int, inputs: int, hidden: tuple[int, ...], outputs: int, cuda: torch.device
) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(-127, 128, (rows, inputs), generator=generator).to(torch.int8)
    network = RowNetwork(inputs, outputs, hidden)
    torch.nn.init.normal_(network.layers[-1].weight)
    integers = to_integers(network, x[:100])
    found = integers.to(cuda)(x.to(cuda))
    assert torch.equal(found.cpu(), integers(x))
    assert found.cpu().unique().numel() > 8


def corrupted(stream: bytes, section: int, at: int) -> bytes:
    """A byte of a section's payload changed, its checksum right."""
    place = 5  # after the signature and the version
    while stream[place] != section:
        place += 2 + _length(stream, place)[1] + _length(stream, place)[0] + 3
    length, digits = _length(stream, place)
    start, end = place + 1 + digits, place + 1 + digits + length
    data = bytearray(stream)
    data[start + at % length] ^= 0x5A
    data[end : end + 4] = zlib.crc32(data[place:end]).to_bytes(4, "little")
    return bytes(data)


def _length(stream: bytes, section: int) -> tuple[int, int]:
    """Of a section's payload, and how many bytes say so (LEB128)."""
    value, digits = 0, 0
    while True:
        byte = stream[section + 1 + digits]
        value |= (byte & 127) << 7 * digits
        digits += 1
        if byte < 128:
            return value, digits


@pytest.mark.parametrize(
    "at", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 12))]
)
def test_corrupt_streams_leave_the_device_working(at: int, cuda: torch.device) -> None:
    (good,) = codec.encode([waves(8, 8)], 60, effort="fast")
    expected = codec.decode([good])[0]
    for section in (2, 3):  # means and cells
        bad = corrupted(good, section, 7 * at + 1)
        assert bad != good and len(bad) == len(good)
        try:
            (shown,) = codec.decode([bad], device=cuda)
            assert shown.shape == expected.shape
        except FormatError as error:
            assert "entropy-coded" in str(error) or "lanes" in str(error)
    assert torch.equal(codec.decode([good], device=cuda)[0], expected)


def test_previews_show_what_decoding_shows(cuda: torch.device) -> None:
    pictures = [waves(8, 12), waves(8, 12)]
    settings = [Settings(quality, effort="fast") for quality in (30, 80)]
    found = codec.picture.preview(pictures, settings, device=cuda)
    for shown, setting, picture in zip(found, settings, pictures, strict=True):
        assert torch.equal(
            shown, codec.decode(codec.encode([picture], setting.quality, effort="fast"))[0]
        )


@pytest.mark.slow
def test_searches_end_where_they_do_on_the_cpu(cuda: torch.device) -> None:
    picture, criteria = waves(16, 16), at_least("ssim", 0.9)
    expected = find(picture, OwnEncoder(effort="fast"), criteria)
    encoder = OwnEncoder(effort="fast", device=str(cuda))
    found = find(picture.to(cuda), encoder, criteria)
    assert (found.quality, found.data) == (expected.quality, expected.data)
    assert found.probes == expected.probes
    (found,) = find_batch([picture.to(cuda)], encoder, criteria)
    assert (found.quality, found.data) == (expected.quality, expected.data)


def test_the_prior_of_a_search_takes_pictures_of_the_device(cuda: torch.device) -> None:
    from codec.search.detail import detail

    picture = waves(16, 24)
    assert detail(picture.to(cuda)) == pytest.approx(detail(picture), abs=1e-4)


METRICS: dict[str, tuple[Callable[[Tensor, Tensor], Any], float]] = {
    "psnr": (metrics.psnr, 1e-3),
    "ssim": (metrics.ssim, 1e-4),
    "ms_ssim": (metrics.ms_ssim, 1e-4),
    "ciede2000": (lambda x, y: metrics.ciede2000(x, y).mean(), 1e-3),
    "ssimulacra2": (ssimulacra2, 0.05),
}


@pytest.mark.parametrize("name", METRICS)
def test_metrics_agree(name: str, cuda: torch.device) -> None:
    measure, bound = METRICS[name]
    x = waves(180, 200)[None].float() / 255
    y = (x * 0.9 + 0.02 * torch.rand(x.shape)).clamp(0, 1)
    expected = float(measure(x, y))
    assert float(measure(x.to(cuda), y.to(cuda))) == pytest.approx(expected, abs=bound)


def test_smallfry_agrees(cuda: torch.device) -> None:
    x, y = waves(40, 40), waves(40, 40).float().mul(0.9).byte()
    assert smallfry(x.to(cuda), y.to(cuda)) == pytest.approx(smallfry(x, y), abs=1e-3)


def check_cost(call: Callable[[], object], bound: Bound) -> None:
    """Of the second call: what is loaded once is there."""
    with pretend_cuda() as costs:
        call()
        costs.reset()
        call()
    found = Bound(costs.launched, costs.waited, costs.uploaded)
    for cost, most in zip(found, bound, strict=True):
        assert STALE * most < cost <= most, (found, costs.places.most_common(10))


@pytest.mark.parametrize(
    ("lossless", "bound"),
    [(False, ENCODE), pytest.param(True, ENCODE_LOSSLESS, marks=pytest.mark.slow)],
    ids=["lossy", "lossless"],
)
def test_encoding_costs_no_more_than_it_did(lossless: bool, bound: Bound) -> None:
    picture = waves(10, 13)
    check_cost(lambda: codec.encode([picture], 50, lossless=lossless, device=CUDA), bound)


@pytest.mark.parametrize(
    ("lossless", "bound"),
    [(False, DECODE), pytest.param(True, DECODE_LOSSLESS, marks=pytest.mark.slow)],
    ids=["lossy", "lossless"],
)
def test_decoding_costs_no_more_than_it_did(lossless: bool, bound: Bound) -> None:
    (stream,) = codec.encode([waves(10, 13)], 50, lossless=lossless)
    check_cost(lambda: codec.decode([stream], device=CUDA), bound)
