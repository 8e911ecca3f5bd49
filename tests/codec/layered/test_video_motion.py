"""Frames of layered videos: vectors of the base, ways to predict, and the order of work."""

import contextlib
import random
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from codec.container import FormatError
from codec.layered.differences import OwnCoder
from codec.layered.geometry import Ratio, Size
from codec.layered.video_frames import (
    Around,
    BaseFrame,
    FrameCoder,
    InOrder,
    Layered,
    base_frame,
    split_frame,
    stacked,
    unstacked,
)
from codec.layered.video_motion import (
    FUTURE,
    PAST,
    Standing,
    Vectors,
    choose_ways,
    keep_vectors,
    predicted_planes,
    read_vectors,
    ways_for,
)
from codec.layered.video_tracks import frame_of
from codec.settings import Settings
from codec.varint import pack_varint
from tests.codec.test_container import mended, mutate

av = pytest.importorskip("av")

NOTHING = Standing([], [])


def planes_at(shift: int, size: tuple[int, int] = (64, 96)) -> list[torch.Tensor]:
    """Y, U, V of a pattern that lies `shift` pixels further left, half as far in chroma."""
    generator = torch.Generator().manual_seed(1)
    small = torch.rand(1, 1, 24, 48, generator=generator) * 255
    large = torch.nn.functional.interpolate(small, scale_factor=4, mode="bicubic")[0]
    whole = large.clamp(0, 255).round().to(torch.uint8)
    height, width = size
    luma = whole[:, :height, shift : shift + width]
    chroma = whole[:, : height // 2, shift // 2 : shift // 2 + width // 2]
    return [luma.clone(), chroma.clone(), chroma.flip(1)]


def still(kind: str, time: int = 0) -> BaseFrame:
    y, u, v = planes_at(0, (32, 48))
    return BaseFrame(time, (y, u, v), kind, {})


def fixed(planes: list[torch.Tensor]) -> list[torch.Tensor]:
    return [(x.int() - 128) * 16 for x in planes]


def vectors(across: int, size: Size, known: bool = True) -> Vectors:
    shape = (size.height // 4, size.width // 4)
    field = np.zeros((2, *shape), np.int64)
    field[0] = across
    return Vectors(size, np.full(shape, known), field)


def test_vectors_of_a_decoder_are_read(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as made:
        stream = made.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        stream.options = {"refs": "1", "bf": "0", "crf": "10"}
        for number in range(4):
            frame = frame_of(planes_at(8 * number))
            frame.pts, frame.time_base = number, Fraction(1, 25)
            made.mux(stream.encode(frame))
        made.mux(stream.encode())
    with av.open(str(tmp_path / "a.mp4")) as given:
        keep_vectors(given.streams.video[0])
        frames = list(given.decode(video=0))
    assert read_vectors(frames[0]) == {} and base_frame(frames[0]).kind == "I"
    found = read_vectors(frames[2])
    assert set(found) == {PAST} and base_frame(frames[2]).kind == "P"
    assert found[PAST].known.mean() > 0.9
    across, down = found[PAST].field[:, found[PAST].known]
    assert np.median(across) == 8 * 4 and np.median(down) == 0  # what came in lies further right


def test_vectors_fit_planes_of_other_sizes() -> None:
    known, motion = vectors(6, Size(32, 48)).at(Size(96, 96))
    assert known.shape == (6, 6) and bool(known.all())
    assert motion.vectors.shape == (2, 6, 6)
    assert motion.vectors[0].unique().tolist() == [12] and not motion.vectors[1].any()


def test_moved_frames_predict_exactly() -> None:
    before, now = fixed(planes_at(16)), fixed(planes_at(24))
    blurred = [torch.zeros_like(x) for x in now]
    around = {PAST: Standing([x // 2 for x in before], before)}
    ways = ways_for(blurred, {PAST: vectors(16, Size(32, 48))}, around)
    assert len(ways.planes) == 3 and bool(ways.known.all())
    inside = (..., slice(0, 88))  # what came in from the right is not in the frame before
    for plane, wanted in zip(ways.planes[2], now, strict=True):
        cut = plane.shape[2] * 7 // 8
        assert torch.equal(plane[..., :cut], wanted[..., :cut])
    chosen = choose_ways(now[0], ways, 1.0)
    assert bool((chosen[:, :5] == 2).all())
    assert torch.equal(predicted_planes(ways, chosen)[0][inside][..., :80], now[0][..., :80])


def test_two_directions_are_averaged() -> None:
    one, other = (
        [torch.full((1, 32, 32), 16 * n), *[torch.full((1, 16, 16), n)] * 2] for n in (1, 4)
    )
    nothing = [torch.zeros(1, 32, 32).int(), *[torch.zeros(1, 16, 16).int()] * 2]
    around = {PAST: Standing(nothing, one), FUTURE: Standing(nothing, other)}
    both = {d: vectors(0, Size(16, 16)) for d in (PAST, FUTURE)}
    ways = ways_for(nothing, both, around)
    assert ways.planes[2][0].unique().tolist() == [40] and ways.planes[2][1].unique().tolist() == [
        3
    ]
    half = both | {FUTURE: vectors(0, Size(16, 16), known=False)}
    assert ways_for(nothing, half, around).planes[2][0].unique().tolist() == [16]
    assert len(ways_for(nothing, both, {}).planes) == 1


def test_blocks_without_vectors_stand_on_their_base() -> None:
    now = fixed(planes_at(0))
    around = {PAST: Standing(now, now)}
    unknown = vectors(0, Size(32, 48), known=False)
    ways = ways_for([x * 0 for x in now], {PAST: unknown}, around)
    assert not choose_ways(now[0], ways, 1.0).any()


def test_choices_that_there_are_not() -> None:
    ways = ways_for(fixed(planes_at(0)), {}, {})
    for chosen in (torch.ones(4, 6).short(), torch.zeros(4, 5).short(), -torch.ones(4, 6).short()):
        with pytest.raises(FormatError, match="choices"):
            predicted_planes(ways, chosen)


def test_frames_are_worked_on_in_the_order_of_what_they_stand_on() -> None:
    kinds = "IPBBPBIBB"
    seen = {}

    def work(frame: Layered, around: Around) -> tuple[int, Standing]:
        number = frame.base.time
        seen[number] = [
            next(iter(around[d].exact), None) if d in around else None for d in (PAST, FUTURE)
        ]
        return number, Standing([], [number])  # type: ignore[list-item]

    order = InOrder(work)
    every = [made for n, kind in enumerate(kinds) for made in order.push(Layered(still(kind, n)))]
    assert every + order.finish() == list(range(len(kinds)))
    assert seen[1] == [0, None] and seen[4] == [1, None]
    assert seen[2] == seen[3] == [1, 4]
    assert seen[5] == [4, 6]
    assert seen[7] == seen[8] == [6, None]  # the clip ends here


def test_frames_come_back_and_moved_ones_cost_less() -> None:
    size, ratio = Size(64, 96), Ratio(2, 2)
    coder = OwnCoder(Settings(80, "mse", effort="fast"))
    frames = FrameCoder(ratio, size, coder)
    encode, decode = frames.encode, frames.decode
    standing = decoded = NOTHING
    sizes = []
    for number in range(3):
        y, u, v = planes_at(8 * number)
        base = tuple((torch.nn.functional.avg_pool2d(x.float(), 2)).byte() for x in (y, u, v))
        moves = {PAST: vectors(16, Size(32, 48))} if number else {}
        frame = BaseFrame(number, base, "P" if number else "I", moves)  # type: ignore[arg-type]
        (time, data), standing = encode(
            Layered(frame, (y, u, v)), {PAST: standing} if number else {}
        )
        whole, decoded = decode(Layered(frame, data=data), {PAST: decoded} if number else {})
        assert time == number and whole.is_whole
        assert all(torch.equal(a, b) for a, b in zip(standing.exact, decoded.exact, strict=True))
        assert (whole.planes[0].float() - y.float()).square().mean() < 12
        sizes.append(len(data))
        for broken in (data[:-5], b"", b"\xff" * 6, data[1:]):
            assert not decode(Layered(frame, data=broken), {})[0].is_whole
    assert max(sizes[1:]) < 0.6 * sizes[0]
    assert not decode(Layered(frame, data=data), {})[0].is_whole  # what it stands on is not there


def test_stacking() -> None:
    planes = planes_at(0)
    assert all(torch.equal(a, b) for a, b in zip(unstacked(stacked(planes)), planes, strict=True))
    assert split_frame(b"\x02abcd") == (b"ab", b"cd")
    with pytest.raises(FormatError, match="frame"):
        split_frame(b"")


def fuzz_frames(count: int, seed: int) -> None:
    """Frames that stand on a broken one, and broken ones, show the base and nothing else."""
    chance = random.Random(seed)
    size, ratio = Size(32, 48), Ratio(2, 2)
    coder = OwnCoder(Settings(50, "mse", effort="fast"))
    frames = FrameCoder(ratio, size, coder)
    encode, decode = frames.encode, frames.decode
    y, u, v = planes_at(0, (32, 48))
    small = [torch.nn.functional.avg_pool2d(x.float(), 2).byte() for x in (y, u, v)]
    base = BaseFrame(0, (small[0], small[1], small[2]), "P", {PAST: vectors(16, Size(16, 24))})
    before = fixed(planes_at(8, (32, 48)))
    around = {PAST: Standing([x // 2 for x in before], before)}
    (_, data), _ = encode(Layered(base, (y, u, v)), around)
    lost = 0
    for number in range(count):
        broken = mutate(data, chance)
        if number % 2:
            with contextlib.suppress(FormatError):
                field, stream = split_frame(broken)
                broken = pack_varint(len(field)) + field + mended(stream)
        whole, _ = decode(Layered(base, data=broken), around)
        assert [tuple(x.shape) for x in whole.planes] == [(1, 32, 48), (1, 16, 24), (1, 16, 24)]
        lost += not whole.is_whole
    assert lost > count / 2


def test_mutations_of_frames_show_the_base() -> None:
    fuzz_frames(60, 0)


@pytest.mark.slow
def test_many_mutations_of_frames(mutations: int) -> None:
    fuzz_frames(mutations, 1)
