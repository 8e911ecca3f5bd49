"""Random colour grades, drawn in batches: what photo editors' sliders do.

The strengths below were chosen by hand: edits as people keep them, now and then a bold one.

Axes: B grade, C channel, P colour sample. Colours are RGB in [0, 1].
"""

import torch
from torch import Tensor

from codec.pictures.colour import LUMA_WEIGHTS


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, device=generator.device, generator=generator)


def apply_random_grades(colours: Tensor, generator: torch.Generator, amount: float = 1.0) -> Tensor:
    """One random grade for each item of the batch.

    A chain of colour matrix, exposure, lift/gamma/gain, contrast curve, split toning, fade and
    saturation, each of a strength drawn around zero.

    Args:
        colours: (B, 3, P).
        generator: on the device of the colours.
        amount: scale of all strengths; 1 is a strong edit, 0.4 a light one.

    Returns:
        (B, 3, P) in [0, 1].
    """
    batch = len(colours)

    def draw(scale: float, channels: int = 1) -> Tensor:
        # A third of the sliders stay untouched.
        used = torch.rand(batch, 1, 1, device=generator.device, generator=generator) > 1 / 3
        return used * _normal(generator, batch, channels, 1) * (scale * amount)

    mix = torch.eye(3, device=colours.device) + draw(0.06, 9).view(batch, 3, 3)
    x = (mix / mix.sum(2, keepdim=True).clamp(min=0.5)) @ colours
    x = x * torch.exp(draw(0.15) + draw(0.08, 3))  # exposure and white balance
    x = x.clamp(0, 1)
    x = x ** torch.exp(draw(0.2) + draw(0.1, 3))  # gamma
    lift, gain = draw(0.04) + draw(0.03, 3), draw(0.06) + draw(0.04, 3)
    x = x * (1 + gain - lift) + lift
    x = x + draw(0.5) * x * (1 - x) * (2 * x - 1) * 2  # S-curve
    luma_weights = torch.tensor(LUMA_WEIGHTS, device=colours.device)
    luma = (x * luma_weights[:, None]).sum(1, keepdim=True).clamp(0, 1)
    x = x + draw(0.06, 3) * (1 - luma) ** 2 + draw(0.06, 3) * luma**2  # split toning
    fade = draw(0.06).abs()
    x = x * (1 - fade) + fade * (0.6 + draw(0.1, 3))
    x = luma + (x - luma) * torch.exp(draw(0.3) - 0.05 * amount)
    return x.clamp(0, 1)
