"""From the light that a video is coded in to BT.709, which looks are made for.

Ordinary video needs nothing. High dynamic range is tone mapped, other primaries are converted; what
BT.709 cannot show is clipped. Light is in cd/m2 and counts from black; numbers of primaries,
transfers and matrices are those of ITU-T H.273.

Axes: H W pixels of a frame, P colour samples, then the channels red, green, blue.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

BT709, UNSPECIFIED = 1, 2
_BT2020 = 9
_PQ, _HLG = 16, 18
_MATRICES = (0, 1, 2, 4, 5, 6, 7, 9)  # RGB, BT.709, not said, FCC, BT.601 twice, 240M, BT.2020
_D65 = (0.3127, 0.3290)
_PRIMARIES = {  # x and y of red, green and blue, all with the white of D65
    1: ("BT.709", (0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    5: ("BT.601 (625 lines)", (0.640, 0.330), (0.290, 0.600), (0.150, 0.060)),
    6: ("BT.601 (525 lines)", (0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    7: ("SMPTE 240M", (0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    9: ("BT.2020", (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    12: ("Display P3", (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    22: ("EBU 3213", (0.630, 0.340), (0.295, 0.605), (0.155, 0.077)),
}
_REFERENCE_WHITE = 203.0  # cd/m2, Report ITU-R BT.2408: what white is in an SDR picture
_USUAL_PEAK = 1000.0  # cd/m2, of HLG (Recommendation ITU-R BT.2100) and where a PQ file says none
_PQ_PEAK = 10000.0
_GAMMA = 2.4  # Recommendation ITU-R BT.1886
_HLG_GAMMA = 1.2  # BT.2100, of a display with a peak of 1000 cd/m2
_CODES = 1 << 16
_GAINS = 1 << 12  # entries of the tone curve: within 0.1 grey level of the curve itself
_AT_ONCE = 1 << 15  # pixels whose light stays in the processor's cache


class Coding(NamedTuple):
    """How the light of a frame is coded.

    Attributes:
        primaries, transfer, matrix: numbers of H.273.
        peak: brightest light of the video in cd/m2; 0 where it does not say.
        dolby_vision: whether data of Dolby Vision come with it.
    """

    primaries: int = BT709
    transfer: int = BT709
    matrix: int = BT709
    peak: float = 0.0
    dolby_vision: bool = False

    @property
    def is_hdr(self) -> bool:
        return self.transfer in (_PQ, _HLG)

    @property
    def is_ordinary(self) -> bool:
        """Whether nothing has to be converted, as far as the file says."""
        known = self.primaries in _PRIMARIES and self.primaries != BT709
        return not self.is_hdr and not known

    def obstacle(self) -> str:
        """Why colours cannot be converted; empty if they can."""
        if self.matrix not in _MATRICES:
            return f"expected colours coded as RGB or YCbCr, found matrix {self.matrix} of H.273"
        if self.dolby_vision and self.transfer == UNSPECIFIED:
            return "expected colours that are not Dolby Vision alone (profile 5)"
        return ""

    def notes(self) -> list[str]:
        """What is changed on the way to BT.709, for people."""
        name = _PRIMARIES.get(self.primaries, ("",))[0]
        if self.is_hdr:
            return [
                f"tone mapped from {'PQ' if self.transfer == _PQ else 'HLG'} "
                f"(up to {self.source_peak:.0f} cd/m2) to SDR, BT.709"
            ]
        if not self.is_ordinary:
            return [f"colours converted from {name} to BT.709"]
        if self.primaries not in (BT709, UNSPECIFIED):
            return [f"primaries {self.primaries} of H.273 were taken for those of BT.709"]
        return []

    @property
    def source_peak(self) -> float:
        """In cd/m2."""
        if self.transfer != _PQ or not self.peak:
            return _USUAL_PEAK
        return min(max(self.peak, _REFERENCE_WHITE), _PQ_PEAK)


def to_bt709(code: np.ndarray, coding: Coding) -> Tensor:
    """What a display for BT.709 should get for a frame.

    Args:
        code: (H, W, 3) uint16, R'G'B' over the full range.
        coding: with primaries and a transfer; without primaries, high dynamic range is BT.2020.

    Returns:
        (3, H, W) uint8. Light up to about 90 cd/m2 stays, for a peak of 1000.
    """
    conversion = _conversion(coding)
    flat = code.reshape(-1, 3)
    result = torch.empty(flat.shape, dtype=torch.uint8)
    for start in range(0, len(flat), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        result[part] = conversion(flat[part])
    return result.reshape(code.shape).permute(2, 0, 1)


@lru_cache(maxsize=4)
def _conversion(coding: Coding) -> Callable[[np.ndarray], Tensor]:
    """(P, 3) uint16 -> (P, 3) uint8, with everything that can be worked out beforehand."""
    number = coding.primaries
    if number not in _PRIMARIES:
        number = _BT2020 if coding.is_hdr else BT709
    to_xyz = _to_xyz(number)
    matrix = (torch.linalg.inv(_to_xyz(BT709)) @ to_xyz).float().T
    luminance = to_xyz[1].float()
    value = torch.linspace(0, 1, _CODES, dtype=torch.float64)
    table = (_REFERENCE_WHITE * value**_GAMMA).float().numpy()
    if coding.transfer == _PQ:
        table = pq_to_light(value).float().numpy()
    elif coding.transfer == _HLG:
        table = _hlg_to_scene(value).float().numpy()
    peak = coding.source_peak
    nodes = torch.linspace(0, 1, _GAINS, dtype=torch.float64).clamp(min=1e-3) ** 4 * peak
    gains = (tone_curve(nodes, peak) / nodes).float()

    def convert(code: np.ndarray) -> Tensor:
        light = torch.from_numpy(table[code])
        if coding.transfer == _HLG:
            scene = (light @ luminance).clamp(min=1e-6)
            light *= (_USUAL_PEAK * scene ** (_HLG_GAMMA - 1))[:, None]
        if coding.is_hdr:
            most = (light.amax(1) / peak).clamp(max=1)
            light *= gains[(most.sqrt_().sqrt_() * (_GAINS - 1)).round_().int()][:, None]
        shown = (light @ matrix).mul_(1 / _REFERENCE_WHITE).clamp_(0, 1)
        return shown.pow_(1 / _GAMMA).mul_(255).round_().to(torch.uint8)

    return convert


def tone_curve(light: Tensor, peak: float) -> Tensor:
    """Light up to `peak` in cd/m2 -> light up to reference white, 203 cd/m2.

    Report ITU-R BT.2408 annex 5: what is dark stays, what is bright bends along a Hermite spline of
    the PQ code values.
    """
    source = light_to_pq(torch.tensor(peak, dtype=torch.float64))
    code = (light_to_pq(light.clamp(max=peak)) / source).clamp(max=1)
    white = float(light_to_pq(torch.tensor(_REFERENCE_WHITE, dtype=torch.float64)) / source)
    knee = 1.5 * white - 0.5
    if knee >= 1:
        return light.clamp(max=_REFERENCE_WHITE)
    t = (code - knee) / (1 - knee)
    bent = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (3 * t**2 - 2 * t**3) * white
    )
    return pq_to_light(torch.where(code < knee, code, bent) * source)


# SMPTE ST 2084; Recommendation ITU-R BT.2100 table 4
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32


def pq_to_light(code: Tensor) -> Tensor:
    """PQ code values in [0, 1] -> cd/m2."""
    power = code.clamp(min=0) ** (1 / _M2)
    return _PQ_PEAK * ((power - _C1).clamp(min=0) / (_C2 - _C3 * power)) ** (1 / _M1)


def light_to_pq(light: Tensor) -> Tensor:
    """cd/m2 -> PQ code values in [0, 1]."""
    power = (light / _PQ_PEAK) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


def _hlg_to_scene(code: Tensor) -> Tensor:
    """HLG code values -> scene light in [0, 1]; BT.2100 table 5."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return torch.where(code <= 0.5, code**2 / 3, (torch.exp((code - c) / a) + b) / 12)


def _to_xyz(number: int) -> Tensor:
    """(3, 3) float64 from linear light with these primaries to CIE XYZ, white at Y = 1."""
    _, *primaries = _PRIMARIES[number]
    corners = torch.tensor(
        [[x / y, 1, (1 - x - y) / y] for x, y in (*primaries, _D65)], dtype=torch.float64
    )
    scale = torch.linalg.solve(corners[:3].T, corners[3])
    return corners[:3].T * scale
