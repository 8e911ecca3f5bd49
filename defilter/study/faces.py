"""Faces: how well they are found, and how much less their skin changes when it is protected.

Axes: H W pixels.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import skimage.data
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from codec.pictures.metrics import delta_e2000
from codec.pictures.picture_files import read_picture
from codec.report import Report, save_tables
from defilter.analysis import Analysers
from defilter.faces import Face, FaceDetector
from defilter.learn.look_bank import spread_looks
from defilter.look import look_from_table
from defilter.render import Analysis, degree_map, render

PORTRAITS = ("kodim04", "kodim15", "kodim18")
TEXTURES = (
    "brick",
    "grass",
    "gravel",
    "coins",
    "moon",
    "page",
    "text",
    "clock",
    "coffee",
    "rocket",
)
_LOOKS = 20
_FACES = 100  # of lfw_subset: the first hundred; the others are none


def run(folders: Mapping[str, Any], out: str) -> Report:
    """Measure both.

    Args:
        folders: `kodak` has the Kodak pictures, `looks` are folders of HALD looks, of which 20 of
            the test split are used.
        out: folder for the results.
    """
    kodak = Path(folders["kodak"])
    portraits = {name: read_picture(kodak / f"{name}.png").pixels for name in PORTRAITS}
    portraits["astronaut"] = as_pixels(skimage.data.astronaut())
    sections = {
        "Detection": _detection(portraits),
        f"Skin under {_LOOKS} looks, mean over {len(portraits)} portraits": _protection(
            portraits, spread_looks(folders["looks"], "test", _LOOKS)
        ),
    }
    return save_tables("faces", sections, out)


def as_pixels(array: object) -> Tensor:
    """(3, H, W) of scikit-image's arrays (H, W) or (H, W, C)."""
    x = torch.as_tensor(array)
    return x[None].expand(3, -1, -1) if x.dim() == 2 else x[..., :3].permute(2, 0, 1)


def _detection(portraits: dict[str, Tensor]) -> list[dict[str, str]]:
    detect = FaceDetector()
    squares = [bool(detect(square)) for square in framed_squares()]
    textures = [name for name in TEXTURES if detect(as_pixels(getattr(skimage.data, name)()))]
    large = detect(small_face_in_a_large_photo())
    rows = {
        **{name: f"{len(detect(pixels))} found" for name, pixels in portraits.items()},
        "lfw_subset, faces": f"{sum(squares[:_FACES])} of {_FACES}",
        "lfw_subset, others": f"{sum(squares[_FACES:])} of {len(squares) - _FACES}",
        "a face of 40 pixels in 12 megapixels": "found" if large else "missed",
        f"{len(TEXTURES)} textures and things": ", ".join(textures) or "none",
    }
    return [{"what": what, "faces": figure} for what, figure in rows.items()]


def framed_squares() -> Iterator[Tensor]:
    """Those of lfw_subset, enlarged and framed in grey: a detector wants some surroundings."""
    for square in torch.from_numpy(skimage.data.lfw_subset()).float():
        large = F.interpolate(square[None, None], (100, 100), mode="bicubic").clamp(0, 1)
        framed = F.pad(large, (50, 50, 50, 50), value=0.5)[0].expand(3, -1, -1)
        yield (framed * 255).to(torch.uint8)


def small_face_in_a_large_photo() -> Tensor:
    """(3, 3000, 4000) uint8 with a face of 40 pixels."""
    astronaut = as_pixels(skimage.data.astronaut())[None].float()
    small = F.interpolate(astronaut, scale_factor=40 / 90, mode="area")[0].to(torch.uint8)
    photo = torch.full((3, 3000, 4000), 90, dtype=torch.uint8)
    photo[:, 1500 : 1500 + small.shape[1], 3000 : 3000 + small.shape[2]] = small
    return photo


def _protection(portraits: dict[str, Tensor], tables: Tensor) -> list[dict[str, str]]:
    """Change in face boxes, degree in the extended boxes, and the degree map's largest step."""
    looks = [look_from_table(table, {}) for table in tables]
    analysers = Analysers(faces=FaceDetector())
    figures: dict[str, list[tuple[float, float, float]]] = {}
    for pixels in tqdm(portraits.values(), desc="portraits", disable=None):
        assert analysers.faces is not None
        found = analysers.faces(pixels)
        for name, faces, how in (
            ("not protected", [], analysers),
            ("protected", found, analysers),
            ("protected, block by block", found, replace(analysers, literal=True)),
        ):
            analysis = Analysis(1.0, None, faces, None)
            degree = degree_map(analysis, how, *pixels.shape[1:])
            step = max(float(degree.diff(dim=d).abs().max()) for d in (0, 1))
            inside = _inside(found, how.protection.extension, degree.shape)
            kept = float(degree[inside].mean())
            skin = _inside(found, 1.0, degree.shape)
            for look in looks:
                change = _change(pixels, render(look, pixels, analysis, how), skin)
                figures.setdefault(name, []).append((change, kept, step))
    rows = []
    base = [change for change, _, _ in figures["not protected"]]
    for name, entries in figures.items():
        change, kept, _ = (sum(x) / len(entries) for x in zip(*entries, strict=True))
        ratios = [c / max(b, 1e-9) for (c, _, _), b in zip(entries, base, strict=True)]
        rows.append(
            {
                "what": name,
                "dE2000 in face boxes": f"{change:.2f}",
                "of unprotected": f"{change / (sum(base) / len(base)):.2f}",
                "largest ratio": f"{max(ratios):.2f}",
                "mean degree in extended boxes": f"{kept:.2f}",
                "largest step": f"{max(step for _, _, step in entries):.3f}",
            }
        )
    return rows


def _inside(faces: list[Face], extension: float, shape: torch.Size) -> Tensor:
    """(H, W) bool: in a face's box, enlarged about its centre."""
    inside = torch.zeros(shape, dtype=torch.bool)
    for face in faces:
        across, down = (n * (extension - 1) / 2 for n in (face.width, face.height))
        left, top = (max(0, round(x)) for x in (face.left - across, face.top - down))
        right, bottom = face.left + face.width + across, face.top + face.height + down
        inside[top : round(bottom), left : round(right)] = True
    return inside


def _change(photo: Tensor, rendered: Tensor, where: Tensor) -> float:
    """Mean CIEDE2000 over some pixels of two (3, H, W) uint8 pictures."""
    x, y = (picture[:, where][None, :, None].float() / 255 for picture in (photo, rendered))
    return float(delta_e2000(x, y))
