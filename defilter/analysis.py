"""What analyses pictures before a look is taken or put on: scenes, faces, areas, saliency."""

import logging
from dataclasses import dataclass, field, replace
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from defilter.areas.segmenter import Segmenter, load_saliency, load_segmenter
from defilter.faces import FaceDetector, Protection
from defilter.look import Look
from defilter.scene.similarity import SceneComparer, load_scene_comparer

_REDUCED = 512  # longest side in pixels: the segmenters want 400, the scene classifier 128
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Analysers:
    """What pictures are analysed for; None leaves a part out.

    Attributes:
        scene: compares the scenes of template and photo.
        faces: finds what `protection` keeps from the look.
        protection: how far faces are kept.
        literal: degree 1 - level inside face boxes, block by block, as US 2025/0252542.
        areas: finds the parts that have looks of their own.
        saliency: finds what stands out in a template: most samples are taken there, if the look
            is fitted to samples (with the default network it is not).
        graded_in_parts: whether areas of the template have looks of their own; None: judged by
            how much the network's features differ among them.
    """

    scene: SceneComparer | None = None
    faces: FaceDetector | None = None
    protection: Protection = field(default_factory=Protection)
    literal: bool = False
    areas: Segmenter | None = None
    saliency: Segmenter | None = None
    graded_in_parts: bool | None = None

    def fitting(self, look: Look) -> "Analysers":
        """Without the analysers that this look cannot use.

        Areas go if the look has none of its own, or none that the photos' areas know. A monochrome
        look needs neither faces nor scenes: coloured faces on grey people, or half a black and
        white, are not what it is taken for. The scene comparer goes if the look was taken with
        another classifier. The log says what a user would not expect.
        """
        areas = self.areas if look.categories else None
        if look.is_monochrome():
            return replace(self, scene=None, faces=None, areas=None)
        scene, faces = self.scene, self.faces
        if areas and not set(areas.categories) & set(look.categories):
            areas = None
            logger.warning(
                "the look has looks of its own for %s, none of which is looked for in photos: "
                "it is rendered as a whole",
                ", ".join(look.categories),
            )
        if scene and look.scene and look.scene.network != scene.fingerprint:
            scene = None
            logger.warning(
                "the look was taken with another scene classifier: scenes are not compared; "
                "extract it again to have them"
            )
        return replace(self, scene=scene, areas=areas, faces=faces)


NO_ANALYSERS = Analysers()


def default_analysers(
    scene: bool = True, faces: bool = True, areas: bool = True, saliency: bool = True
) -> Analysers:
    """The analysers that ship, or some of them, loaded once."""
    return Analysers(
        scene=_comparer() if scene else None,
        faces=_detector() if faces else None,
        areas=default_segmenter() if areas else None,
        saliency=_saliency() if saliency else None,
    )


_comparer, _detector = cache(load_scene_comparer), cache(FaceDetector)
default_segmenter, _saliency = cache(load_segmenter), cache(load_saliency)


def analysers_for(look: Look) -> Analysers:
    """What a look can use: nothing for a LUT or the look of a pair, which render everywhere."""
    taken = "network" in look.provenance  # from templates alone
    return default_analysers(look.scene is not None, taken, bool(look.categories), saliency=False)


def reduced_for_networks(pixels: Tensor) -> Tensor:
    """(3, H, W) integers as floats in [0, 1], reduced to a longest side of at most _REDUCED."""
    step = max(1, max(pixels.shape[1:]) // (2 * _REDUCED))  # skip what the mean would not miss
    x = pixels[None, :, ::step, ::step].float() / torch.iinfo(pixels.dtype).max
    scale = _REDUCED / max(x.shape[2:])
    if scale < 1:
        size = [max(1, round(n * scale)) for n in x.shape[2:]]
        x = F.interpolate(x, size, mode="bilinear", antialias=True)
    return x[0].clamp(0, 1)
