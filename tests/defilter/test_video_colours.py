"""What is right comes from OpenColorIO (PQ, HLG) and from printed matrices."""

import struct
from pathlib import Path

import av
import numpy as np
import PyOpenColorIO as ocio
import pytest
import torch

from defilter.analysis import NO_ANALYSERS
from defilter.video import VideoDone, VideoError, render_video
from defilter.video_colours import Coding, to_bt709, tone_curve
from tests.defilter.test_video import first_frame, frames_with_message, identity, write_frames

WHITE = 203  # cd/m2
BT709_TO_XYZ = np.array(  # IEC 61966-2-1
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
)
BT709_TO_BT2020 = np.array(  # Recommendation ITU-R BT.2087, annex 1
    [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
)
WEIGHTS = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}  # red and blue, by matrix


def patches(size: int = 16) -> np.ndarray:
    """(H, W, 3) uint8: greys in one row, colours that are not vivid in the next."""
    greys = np.arange(20, 180, 16)[:, None].repeat(3, 1)
    colours = np.random.default_rng(0).integers(90, 180, (10, 3))
    return np.stack([greys, colours]).repeat(size, 0).repeat(size, 1).astype(np.uint8)


def hdr_code(light: np.ndarray, kind: str) -> np.ndarray:
    """(H, W, 3) R'G'B' of BT.2100 for linear BT.709 light in cd/m2."""
    name = {"PQ": "PQ", "HLG": "HLG-1000nit"}[kind]
    transform = ocio.BuiltinTransform(f"DISPLAY - CIE-XYZ-D65_to_REC.2100-{name}")
    code = (light / 100 @ BT709_TO_XYZ.T).astype(np.float32)
    ocio.Config.CreateRaw().getProcessor(transform).getDefaultCPUProcessor().applyRGB(code)
    return code


def ycbcr_clip(path: Path, code: np.ndarray, tags: dict[str, int], bits: int = 16) -> None:
    """Three frames, lossless 4:4:4 in the limited range, with the numbers of H.273."""
    red, blue = WEIGHTS[tags["colorspace"]]
    luma = code @ np.array([red, 1 - red - blue, blue])
    planes = [
        16 + 219 * luma,
        128 + 112 * (code[..., 2] - luma) / (1 - blue),
        128 + 112 * (code[..., 0] - luma) / (1 - red),
    ]
    samples = np.stack(
        [np.round(plane * 2 ** (bits - 8)) for plane in planes], 0 if bits == 8 else -1
    )
    kind = "yuv444p" if bits == 8 else "yuv444p16le"
    frame = av.VideoFrame.from_ndarray(samples.astype(np.uint8 if bits == 8 else np.uint16), kind)
    write_frames(path, [frame] * 3, "ffv1", kind, tags={**tags, "color_range": 1})


def rendered(source: Path) -> tuple[VideoDone, np.ndarray]:
    target = source.with_name("out.mp4")
    done = render_video(identity(), source, target, NO_ANALYSERS)
    frame = first_frame(target)
    assert (frame.colorspace, frame.color_primaries, frame.color_trc) == (1, 1, 1)
    return done, frame.to_ndarray(format="rgb24").astype(float)


def middles(picture: np.ndarray, size: int = 16) -> np.ndarray:
    """The middle of each patch, where 4:2:0 mixes no colours."""
    return picture[size // 2 :: size, size // 2 :: size]


@pytest.mark.parametrize(("kind", "number"), [("PQ", 16), ("HLG", 18)])
def test_sdr_in_an_hdr_video_comes_back(kind: str, number: int, tmp_path: Path) -> None:
    sdr = patches()
    light = WHITE * (sdr / 255) ** 2.4
    tags = {"colorspace": 9, "color_primaries": 9, "color_trc": number}
    ycbcr_clip(tmp_path / "in.mkv", hdr_code(light, kind), tags)
    done, back = rendered(tmp_path / "in.mkv")
    assert np.abs(middles(back) - middles(sdr.astype(float))).mean() < 2
    assert done.notes[0] == f"tone mapped from {kind} (up to 1000 cd/m2) to SDR, BT.709"
    assert "16 bits a sample became 8" in done.notes


@pytest.mark.parametrize("kind", ["PQ", "HLG"])
def test_highlights_bend_and_do_not_clip(kind: str) -> None:
    light = np.array([50.0, 150, 203, 300, 500, 1000])[None, :, None].repeat(3, 2)
    code = np.round(hdr_code(light, kind).clip(0, 1) * 65535).astype(np.uint16)
    grey = to_bt709(code, Coding(9, {"PQ": 16, "HLG": 18}[kind], 9)).float()
    assert float((grey - grey.mean(0)).abs().max()) < 1  # stays grey
    steps = grey[0, 0].diff()
    assert bool((steps >= 2).all()) and grey.max() == 255


def test_the_tone_curve_keeps_what_is_dark_and_ends_at_white() -> None:
    light = torch.linspace(1, 1000, 1000, dtype=torch.float64)
    bent = tone_curve(light, 1000.0)
    assert torch.allclose(bent[:80], light[:80])
    assert bent[-1] == pytest.approx(WHITE) and bool((bent.diff() >= 0).all())
    assert bool((bent.diff() <= 1 + 1e-6).all())  # no step at the knee
    assert torch.equal(tone_curve(light[:203], 203.0), light[:203])


def test_the_brightest_light_of_the_file_decides_the_curve(tmp_path: Path) -> None:
    """What is said of the video counts, then of the display it was made on."""
    tags = {"colorspace": 9, "color_primaries": 9, "color_trc": 16}
    level = round(hdr_code(np.full((1, 1, 3), 380.0), "PQ").mean() * 219 + 16)
    light = struct.pack(">HH", 400, 100)
    corners = (13250, 34500, 7500, 3000, 34000, 16000, 15635, 16450)  # P3 and D65 in 1/50000
    display = struct.pack(">8HII", *corners, 600 * 10000, 50)
    shown = {}
    for name, kind, message in (("none", 5, bytes(16)), ("400", 144, light), ("600", 137, display)):
        frames = []
        for _ in range(3):
            planes = np.full((48, 64), level, np.uint8), np.full((24, 64), 128, np.uint8)
            frames.append(av.VideoFrame.from_ndarray(np.concatenate(planes), "yuv420p"))
        frames_with_message(tmp_path / f"{name}.mkv", frames, kind, message, tags)
        done, picture = rendered(tmp_path / f"{name}.mkv")
        shown[name] = done.notes[0].split("(")[1].split(" cd")[0], picture.mean()
    peaks = [peak for peak, _ in shown.values()]
    assert peaks == ["up to 1000", "up to 400", "up to 600"]
    assert shown["none"][1] + 2 < shown["600"][1] < shown["400"][1]


@pytest.mark.parametrize(
    ("matrix", "primaries", "bits"), [(1, 1, 8), (6, 1, 8), (1, 2, 16), (9, 2, 8)]
)
def test_the_matrix_is_that_of_the_file(
    matrix: int, primaries: int, bits: int, tmp_path: Path
) -> None:
    sdr = patches()
    tags = {"colorspace": matrix, "color_primaries": primaries, "color_trc": 1}
    ycbcr_clip(tmp_path / "in.mkv", sdr / 255, tags, bits)
    done, back = rendered(tmp_path / "in.mkv")
    assert np.abs(middles(back) - middles(sdr.astype(float))).mean() < 2
    assert not any("converted" in note for note in done.notes)


def test_without_a_word_tall_frames_are_bt709(tmp_path: Path) -> None:
    """As players take them; a matrix of BT.601 would be 20 levels off."""
    for name, matrix, size in (("hd.mkv", 1, 360), ("sd.mkv", 6, 16)):
        colours = np.array([[[200, 60, 60], [60, 200, 60]]]).repeat(size * 2, 0).repeat(size, 1)
        tags = {"colorspace": matrix, "color_primaries": 2, "color_trc": 2}
        ycbcr_clip(tmp_path / f"tagged-{name}", colours / 255, tags, 8)
        frame = first_frame(tmp_path / f"tagged-{name}")
        tags = {"colorspace": 2, "color_primaries": 2, "color_trc": 2}
        write_frames(tmp_path / name, [frame] * 2, "ffv1", "yuv444p", tags=tags)
        _, back = rendered(tmp_path / name)
        assert np.abs(middles(back, size) - middles(colours, size)).max() < 6


def test_bt2020_that_is_not_hdr_is_converted(tmp_path: Path) -> None:
    sdr = patches()
    code = ((sdr / 255) ** 2.4 @ BT709_TO_BT2020.T) ** (1 / 2.4)
    tags = {"colorspace": 9, "color_primaries": 9, "color_trc": 14}
    ycbcr_clip(tmp_path / "in.mkv", code, tags)
    done, back = rendered(tmp_path / "in.mkv")
    assert np.abs(middles(back) - middles(sdr.astype(float))).mean() < 2
    assert "colours converted from BT.2020 to BT.709" in done.notes


@pytest.mark.parametrize(
    ("coding", "matrix"),
    [
        (  # SMPTE RP 145, after Poynton, Digital Video and HD, 2012, chapter 26
            Coding(6, 6, 6),
            [
                [0.939555, 0.050173, 0.010272],
                [0.017775, 0.965795, 0.016430],
                [-0.001622, -0.004371, 1.005993],
            ],
        ),
        (  # Report ITU-R BT.2407
            Coding(9, 14, 9),
            [
                [1.6605, -0.5876, -0.0728],
                [-0.1246, 1.1329, -0.0083],
                [-0.0182, -0.1006, 1.1187],
            ],
        ),
    ],
)
def test_primaries_are_converted(coding: Coding, matrix: list[list[float]]) -> None:
    code = np.array([[[60000, 45000, 30000], [40000, 60000, 45000], [50000, 50000, 60000]]])
    light = torch.from_numpy(code / 65535) ** 2.4 @ torch.tensor(matrix, dtype=torch.float64).T
    expected = light.clamp(0, 1) ** (1 / 2.4) * 255
    found = to_bt709(code.astype(np.uint16), coding).permute(1, 2, 0)
    assert float((found - expected).abs().max()) < 0.6


def test_display_p3_and_what_has_no_name(tmp_path: Path) -> None:
    assert Coding(primaries=12).notes() == ["colours converted from Display P3 to BT.709"]
    assert Coding(primaries=8).notes() == ["primaries 8 of H.273 were taken for those of BT.709"]
    assert Coding().notes() == [] and Coding(primaries=2).notes() == []
    vivid = np.array([[[65535, 0, 0]]], dtype=np.uint16)
    assert to_bt709(vivid, Coding(primaries=12)).flatten().tolist() == [255, 0, 0]  # clipped


def test_colours_that_cannot_be_converted_are_refused(tmp_path: Path) -> None:
    code = np.full((32, 32, 3), 0.5)
    ycbcr_clip(tmp_path / "in.mkv", code, {"colorspace": 9, "color_primaries": 9, "color_trc": 16})
    frame = first_frame(tmp_path / "in.mkv")
    tags = {"colorspace": 14, "color_primaries": 9, "color_trc": 16}  # ICtCp
    write_frames(tmp_path / "ictcp.mkv", [frame] * 2, "ffv1", "yuv444p16le", tags=tags)
    with pytest.raises(VideoError, match=r"ictcp\.mkv: expected colours coded .* matrix 14"):
        render_video(identity(), tmp_path / "ictcp.mkv", tmp_path / "out.mp4", NO_ANALYSERS)
    assert not (tmp_path / "out.mp4").exists()
    assert "Dolby Vision" in Coding(2, 2, 2, dolby_vision=True).obstacle()
    assert Coding(9, 18, 9, dolby_vision=True).obstacle() == ""  # profile 8.4 holds ordinary HLG


@pytest.mark.parametrize(
    ("codec", "kind", "notes"),
    [
        ("ffv1", "yuv420p", ()),
        ("ffv1", "yuv422p10le", ("10 bits a sample became 8", "colour 4:2:2 became 4:2:0")),
        ("ffv1", "yuv444p", ("colour 4:4:4 became 4:2:0",)),
        ("ffv1", "yuva420p", ("transparency left out",)),
        ("ffv1", "gray", ()),
        ("qtrle", "argb", ("transparency left out", "RGB became YCbCr 4:2:0")),
    ],
)
def test_what_eight_bits_of_420_cannot_hold_is_said(
    codec: str, kind: str, notes: tuple[str, ...], tmp_path: Path
) -> None:
    frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 90, np.uint8), "rgb24")
    frames = [frame.reformat(format=kind)] * 3
    path = tmp_path / ("in.mov" if codec == "qtrle" else "in.mkv")
    write_frames(path, frames, codec, kind)
    assert rendered(path)[0].notes == notes
