"""Row networks: small networks that look at one row of integers at a time, exactly.

They are trained as floats and run as integers: int8 inputs and weights, sums below 2^24, shifts. So
every device, thread count and version of torch computes the same logits, which decoding needs.

Shapes: P row, K input, hidden, O output.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codec.residual.alphabet import LOGIT_STEPS

INPUT_STEPS = 16  # input steps to one unit
_LARGEST_SUM = 1 << 24  # float32 holds every integer below
_ROWS_AT_ONCE = 1 << 16  # bounds the memory, never the result


class RowNetwork(nn.Module):
    """Linear layers with ReLU between: the float that is trained.

    Args:
        inputs, outputs: columns of a row and of the result.
        hidden: widths of the hidden layers; none is a linear model.
    """

    def __init__(self, inputs: int, outputs: int, hidden: tuple[int, ...]):
        super().__init__()
        widths = (inputs, *hidden, outputs)
        linear = [nn.Linear(a, b) for a, b in pairwise(widths)]
        nn.init.zeros_(linear[-1].weight)
        nn.init.zeros_(linear[-1].bias)
        self.layers = nn.ModuleList(linear)

    def forward(self, rows: Tensor) -> Tensor:
        """(P, K) integers -> (P, O) logits in natural units."""
        half = torch.is_autocast_enabled(rows.device.type)  # int8 is exact in bfloat16
        x = rows.to(torch.bfloat16 if half else next(self.parameters()).dtype).mul_(1 / INPUT_STEPS)
        *hidden, last = self.layers
        for layer in hidden:
            x = layer(x).relu()
        return last(x)


class IntegerLayer(NamedTuple):
    """out = clamp((rows @ weight + bias) >> shift): int8 (K, O), int32 (O,), int32 (O,)."""

    weight: Tensor
    bias: Tensor
    shift: Tensor


@dataclass(frozen=True)
class IntegerNetwork:
    """What a `RowNetwork` becomes: the layers, inputs first."""

    layers: tuple[IntegerLayer, ...]

    @property
    def inputs(self) -> int:
        return self.layers[0].weight.shape[0]

    def to(self, device: torch.device) -> "IntegerNetwork":
        return IntegerNetwork(
            tuple(IntegerLayer(*(x.to(device) for x in layer)) for layer in self.layers)
        )

    def __call__(self, rows: Tensor) -> Tensor:
        """(P, K) int8 -> (P, O) int8 logits in steps of 1 / LOGIT_STEPS."""
        if len(rows) > _ROWS_AT_ONCE:
            return torch.cat([self(part) for part in rows.split(_ROWS_AT_ONCE)])
        *hidden, last = self.layers
        for layer in hidden:
            rows = _apply(layer, rows).clamp_(0, 127).to(torch.int8)
        return _apply(last, rows).clamp_(-128, 127).to(torch.int8)


def _apply(layer: IntegerLayer, rows: Tensor) -> Tensor:
    return exact_product(rows, layer.weight).add_(layer.bias).bitwise_right_shift_(layer.shift)


def exact_product(rows: Tensor, weight: Tensor) -> Tensor:
    """int8 (P, K) @ int8 (K, O) -> int32, with the device's int8 product where that is exact."""
    if len(rows) > 16 and _has_exact_int8(rows.device):
        if rows.device.type == "cpu":
            return torch._int_mm(rows, weight)
        # Others want more than 16 rows and multiples of 16; a transposed second factor is the one
        # layout that every cuBLASLt has.
        inner, outer = -weight.shape[0] % 16, -weight.shape[1] % 16
        rows = F.pad(rows, (0, inner)) if inner else rows
        wide = F.pad(weight.T, (0, inner, 0, outer)).contiguous()  # (O, K)
        return torch._int_mm(rows, wide.T)[:, : weight.shape[1]]
    with torch.autocast(rows.device.type, enabled=False):  # half precision is not exact
        return (rows.float() @ weight.float()).int()


@lru_cache
def _has_exact_int8(device: torch.device) -> bool:
    """Whether this device has an int8 product that does not saturate; old CPUs have none."""
    values = torch.arange(64 * 32, device="cpu") * 37 % 255 - 127
    rows = values.reshape(32, 64).to(torch.int8)
    rows[0], rows[1], rows[2] = 127, -127, torch.tensor([127, -127], device="cpu").repeat(32)
    weight = rows.T.contiguous().to(device)
    if device.type != "cpu":
        weight = weight.T.contiguous().T  # as `exact_product` asks for it
    try:
        product = torch._int_mm(rows.to(device), weight)
    except (RuntimeError, AttributeError):
        return False
    return torch.equal(product.cpu(), rows.int() @ rows.int().T)


@torch.no_grad()
def to_integers(network: RowNetwork, rows: Tensor) -> IntegerNetwork:
    """Round a trained network; `rows` (P, K) int8 are typical inputs, which set the ranges."""
    x = rows.float() / INPUT_STEPS
    unit = torch.full((rows.shape[1],), float(INPUT_STEPS), dtype=torch.float64)
    layers = []
    linear = [cast(nn.Linear, layer) for layer in network.layers]
    for number, layer in enumerate(linear):
        x = nn.functional.linear(x, layer.weight.float(), layer.bias.float())
        if number + 1 < len(linear):
            x = x.relu()
            peak = x.quantile(0.9999, 0) if len(x) < 1 << 16 else x.amax(0)
            # A unit that is never busy would get steps so fine that its weights overflow.
            step = torch.minimum(127 / peak.double().clamp(min=1e-2), _finest_step(layer, unit))
        else:
            step = torch.full((layer.out_features,), float(LOGIT_STEPS), dtype=torch.float64)
        layers.append(_round_layer(layer, unit, step))
        unit = step
    return IntegerNetwork(tuple(layers))


def _finest_step(layer: nn.Linear, unit: Tensor) -> Tensor:
    """(O,) float64: outputs in steps of this size have weights and sums that still fit."""
    weight = (layer.weight.double() / unit).abs()
    return _room(weight.amax(1), weight.sum(1), layer.bias.double().abs())


def _room(largest: Tensor, total: Tensor, bias: Tensor) -> Tensor:
    """(O,): what weights with this largest size and sum of sizes, and this bias, may be times."""
    room = torch.minimum(127 / largest.clamp(min=1e-9), 2.0**21 / (bias + 1e-9))
    return torch.minimum(room, _LARGEST_SUM / 2 / (total * 128 + 1e-9))


def _round_layer(layer: nn.Linear, unit: Tensor, step: Tensor) -> IntegerLayer:
    """Integers for inputs of `unit` steps to one (K,) and outputs of `step` steps to one (O,)."""
    weight = layer.weight.double().T / unit[:, None] * step
    bias = layer.bias.double() * step
    room = _room(weight.abs().amax(0), weight.abs().sum(0), bias.abs() + 1)
    shift = room.log2().floor().clamp(0, 20)
    scale = 2**shift
    whole = (weight * scale).round().clamp(-127, 127)
    offset = (bias * scale + scale / 2).floor()
    if ((whole.abs().sum(0) * 128 + offset.abs()) >= _LARGEST_SUM).any():
        raise ValueError("expected weights whose sums stay below 2^24")
    return IntegerLayer(whole.to(torch.int8), offset.int(), shift.int())


@torch.no_grad()
def to_floats(network: IntegerNetwork) -> RowNetwork:
    """What `to_integers` rounded, but for the clamps: networks to go on training from."""
    hidden = tuple(len(layer.bias) for layer in network.layers[:-1])
    made = RowNetwork(network.inputs, len(network.layers[-1].bias), hidden)
    unit = INPUT_STEPS
    for layer, whole in zip(made.layers, network.layers, strict=True):
        # Any step would do between layers; inputs and logits have theirs.
        step = LOGIT_STEPS if layer is made.layers[-1] else INPUT_STEPS
        scale = (2.0**whole.shift) * step
        layer = cast(nn.Linear, layer)
        layer.weight.copy_((whole.weight * unit / scale).T)
        layer.bias.copy_((whole.bias - 2.0**whole.shift / 2) / scale)
        unit = step
    return made
