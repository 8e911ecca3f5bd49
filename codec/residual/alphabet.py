"""The one alphabet of the codestream: a signed integer, under four logits that a network guessed.

A value is first one of five events: 0, +1, +2 or more, -1, -2 or more. What exceeds 2 follows as a
geometric tail, in portions of TAIL_ESCAPE, and what is left after TAIL_PORTIONS of them as a number
of bits and those bits. All is integer arithmetic; logits are int8 in steps of
1/16, probabilities are multiples of 2^-15, costs are in units of 1/256 bit.

Shapes: n values, 4 logits each (zero, positive, one, stop).
"""

import math
from functools import lru_cache

import torch
from torch import Tensor

PRECISION = 15
TOTAL = 1 << PRECISION
LOGITS = 4
LOGIT_STEPS = 16  # logit steps to one natural unit
TAIL_ESCAPE = 15  # symbol that says: this much, and more follows
TAIL_PORTIONS = 3  # before what is left is written out
NIBBLE = 4  # bits at a time of what is written out
COST_UNIT = 256  # cost units to one bit
_LEAST = 8  # least count of a probability, so that nothing costs more than 12 bits


def _logistic_counts() -> list[int]:
    """Counts out of TOTAL of the logits -128 .. 127."""
    raw = (TOTAL / (1 + math.exp(-i / LOGIT_STEPS)) for i in range(-128, 128))
    return [min(max(round(x), _LEAST), TOTAL - _LEAST) for x in raw]


def _tail_boundaries() -> list[list[int]]:
    """Cumulative counts of 0 .. TAIL_ESCAPE under a geometric law, for every `stop` logit."""
    rows = []
    for stop in _logistic_counts():
        left, row = TOTAL, [0]
        for symbol in range(TAIL_ESCAPE):
            others = TAIL_ESCAPE - symbol  # each keeps at least one count
            count = 1 + ((left - others - 1) * stop >> PRECISION)
            row.append(row[-1] + count)
            left -= count
        rows.append([*row, TOTAL])
    return rows


def _costs() -> list[int]:
    """Cost of an event by its count."""
    return [0] + [round(-COST_UNIT * math.log2(n / TOTAL)) for n in range(1, TOTAL + 1)]


@lru_cache
def tables(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """int32 (256,) logistic counts; (256, TAIL_ESCAPE + 2) tail boundaries; (TOTAL + 1,) costs."""
    data = (_logistic_counts(), _tail_boundaries(), _costs())
    logistic, tail, cost = (torch.tensor(x, dtype=torch.int32, device=device) for x in data)
    return logistic, tail, cost


def event_boundaries(logits: Tensor) -> Tensor:
    """Cumulative counts of the five events, (n, 6) int32, from (n, 4) int8 logits."""
    logistic = tables(logits.device)[0]
    zero, positive, one, _ = logistic[logits.int() + 128].unbind(-1)
    rest = TOTAL - zero
    plus = 2 + ((rest - 4) * positive >> PRECISION)
    minus = rest - plus
    plus_one = 1 + ((plus - 2) * one >> PRECISION)
    minus_one = 1 + ((minus - 2) * one >> PRECISION)
    start = torch.zeros_like(zero)
    total = torch.full_like(zero, TOTAL)
    middle = zero + plus
    return torch.stack((start, zero, zero + plus_one, middle, middle + minus_one, total), -1)


def class_boundaries(logits: Tensor) -> Tensor:
    """Cumulative counts of classes 0 .. k, (n, k + 2) int32, from k int8 'it ends here'."""
    logistic = tables(logits.device)[0]
    stop = logistic[logits.int() + 128]
    classes = logits.shape[1] + 1
    bounds = [torch.zeros_like(stop[:, 0])]
    for symbol in range(classes - 1):
        others = classes - 1 - symbol
        left = TOTAL - bounds[-1]
        bounds.append(bounds[-1] + 1 + ((left - others - 1) * stop[:, symbol] >> PRECISION))
    bounds.append(torch.full_like(bounds[0], TOTAL))
    return torch.stack(bounds, -1)


def tail_boundaries(logits: Tensor) -> Tensor:
    """Cumulative counts of the tail's portions, (n, TAIL_ESCAPE + 2) int32."""
    return tables(logits.device)[1][logits[:, 3].int() + 128]


def events(values: Tensor) -> Tensor:
    """0 .. 4 for 0, +1, +2.., -1, -2.., int64."""
    size = values.abs().clamp(max=2)
    return torch.where(values < 0, size + 2, size).long()


def event_costs(logits: Tensor) -> Tensor:
    """(n, 5) int32 costs of the five events, each with its sign and without its tail."""
    return tables(logits.device)[2][event_boundaries(logits).diff(dim=-1)]


def tail_costs(logits: Tensor, excess: Tensor) -> Tensor:
    """int32 cost of what exceeds 2, (n, ...) for (n, 4) logits and (n, ...) excesses >= 0."""
    _, boundaries, cost = tables(logits.device)
    table = cost[boundaries.diff(dim=-1)]  # (256, TAIL_ESCAPE + 1)
    stop = (logits[:, 3].int() + 128).reshape(-1, *[1] * (excess.dim() - 1))
    portions = torch.div(excess, TAIL_ESCAPE, rounding_mode="floor").clamp(max=TAIL_PORTIONS)
    rest = excess - portions * TAIL_ESCAPE
    bits = torch.frexp((rest + 1).double()).exponent  # their number, exactly
    written_out = (2 * NIBBLE + NIBBLE * ((bits + NIBBLE - 1) // NIBBLE)) * COST_UNIT
    last = table[stop, rest.clamp(max=TAIL_ESCAPE - 1).long()]
    last = torch.where(portions == TAIL_PORTIONS, written_out, last)
    return (portions * table[stop, TAIL_ESCAPE] + last).int()


def value_costs(logits: Tensor, values: Tensor) -> Tensor:
    """(n,) int32 cost of values."""
    cost = event_costs(logits).gather(-1, events(values)[:, None])[:, 0]
    excess = (values.abs() - 2).clamp(min=0).int()
    return torch.where(values.abs() >= 2, cost + tail_costs(logits, excess), cost)


def class_costs(logits: Tensor) -> Tensor:
    """(n, k + 1) int32 cost of every class."""
    return tables(logits.device)[2][class_boundaries(logits).diff(dim=-1)]
