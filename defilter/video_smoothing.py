"""What is seen in the frames of a video, followed with a delay so that nothing flickers.

Axes: H W pixels of a frame, h w pixels of what is kept of degrees between frames.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from defilter.analysis import Analysers
from defilter.areas.segmenter import AreaMap
from defilter.look import Look
from defilter.render import Analysis, analyse, blend, degree_map, render

# Frames from one look to the next. On pans over 8 Kodak photos in 640 x 360, a look takes 33 ms on
# one of two shared cores; degrees are 0.060 behind on average, and 0.050 with a look each frame.
_LOOK_EVERY = 6
# Share of the way to what was seen last, each frame: 0.4 s for half of it, at 24 frames a second.
# On the same pans 95 % of the frames change degrees by at most 0.065, and by 0.96 without it.
_FOLLOW = 0.07
_REDUCED = 8
# Every n-th pixel; grey levels between frames that make a cut. Of 3,160 cuts between 80 photos in
# 960 x 540, 94 % are found; of pans by 8, 16, 32 pixels a frame, 0, 1, 3 % are taken for cuts. A
# cut that is missed is followed late; one that is imagined flickers.
_COARSE, _CUT = 16, 40.0


class TemporalSmoother:
    """Renders frame after frame with degrees and areas that move smoothly."""

    def __init__(self, look: Look, analysers: Analysers, strength: float | None):
        self.look, self.analysers, self.strength = look, analysers, strength
        self.count = 0
        self.before: Tensor | None = None  # the last frame, coarsely
        self.shape: torch.Size | None = None
        self.seen: tuple[Tensor, AreaMap | None] | None = None  # degree (h, w) and areas
        self.used: tuple[Tensor, AreaMap | None] | None = None  # the same, with the delay
        self.degrees = (1.0, 0.0)

    def follow(self, pixels: Tensor) -> None:
        """Look at the next frame if it is due, or if it is the first after a cut."""
        coarse = pixels[:, ::_COARSE, ::_COARSE].float()
        cut = self.before is None or self.shape != pixels.shape
        if self.before is not None and not cut:
            cut = float((coarse - self.before).abs().mean()) > _CUT
        self.before, self.shape = coarse, pixels.shape
        if cut or self.count % _LOOK_EVERY == 0:
            self.seen = self._look(pixels)
        assert self.seen is not None
        self.used = self.seen if cut or self.used is None else _between(self.used, self.seen)
        self.count += 1

    def _look(self, pixels: Tensor) -> tuple[Tensor, AreaMap | None]:
        found = analyse(self.look, pixels, self.analysers, self.strength)
        low, high = self.degrees
        self.degrees = min(low, found.degree), max(high, found.degree)
        full = degree_map(found, self.analysers, *pixels.shape[1:])
        return F.avg_pool2d(full[None, None], _REDUCED, ceil_mode=True)[0, 0], found.areas

    def render(self, pixels: Tensor) -> Tensor:
        """(3, H, W) uint8 -> the frame that was followed last, with the look."""
        assert self.used is not None
        degree, areas = self.used
        everywhere = Analysis(1.0, None, [], areas)
        low, high = (float(x) for x in degree.aminmax())
        if high - low < 1 / 512:
            return render(self.look, pixels, everywhere._replace(degree=high), self.analysers)
        rendered = render(self.look, pixels, everywhere, self.analysers)
        size = [_REDUCED * n for n in degree.shape]
        enlarged = F.interpolate(degree[None, None], size, mode="bilinear")[0, 0]
        return blend(pixels, rendered, enlarged[: pixels.shape[1], : pixels.shape[2]])


def _between(
    used: tuple[Tensor, AreaMap | None], seen: tuple[Tensor, AreaMap | None]
) -> tuple[Tensor, AreaMap | None]:
    """One frame on the way from what is used to what was found last."""
    (degree, areas), (target, found) = used, seen
    if areas is not None and found is not None:
        found = AreaMap(areas.categories, torch.lerp(areas.weights, found.weights, _FOLLOW))
    return torch.lerp(degree, target, _FOLLOW), found
