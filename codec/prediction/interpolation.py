"""Integer interpolation with four taps: the kernels that every predictor samples with.

Axes: S phase, T tap.
"""

from collections.abc import Sequence

PHASES = 64  # positions are in 1/64 of a pixel
WEIGHT_BITS = 8
LIMIT = 1 << 13  # largest sample, 512 grey levels in 1/16: four taps each way then fit 32 bits


def cubic(distance: float, a: float) -> float:
    """Cubic convolution at a distance in pixels (Keys 1981, eq. 4, where a = -1/2)."""
    x = abs(distance)
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def linear(distance: float) -> float:
    """The hat function."""
    return max(0.0, 1 - abs(distance))


def whole_weights(weights: Sequence[float]) -> list[int]:
    """The weights of four taps in 2^-WEIGHT_BITS; the largest one makes them sum to one."""
    rounded = [round(w * 2**WEIGHT_BITS) for w in weights]
    rounded[rounded.index(max(rounded))] += 2**WEIGHT_BITS - sum(rounded)
    return rounded


def cubic_table(a: float, phases: int) -> list[list[int]]:
    """(S, T) weights of the pixels at -1, 0, 1, 2 for positions 0 .. (phases - 1) / phases."""
    return [
        whole_weights([cubic(phase / phases - tap, a) for tap in (-1, 0, 1, 2)])
        for phase in range(phases)
    ]
