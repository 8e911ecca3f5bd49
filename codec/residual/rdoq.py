"""Rate-distortion quantisation: a source of values that answers with the cheapest ones.

J = D + lambda R, with D in squared steps and R in bits. All integers.

Axes: N picture, I J cells, K frequency, P cell of one phase, planes coded together.
"""

import torch
from torch import Tensor

from codec.residual.alphabet import COST_UNIT, class_costs, event_costs, events, tail_costs
from codec.residual.passes import PlaneGroup
from codec.residual.quantise import quantise

LAMBDA = 0.13  # squared steps for a bit; 0.085 to 0.18 differ by 0.4 % in rate
_UNIT = 64  # errors are in 1/64 of a step
_LARGEST_ERROR = 4 * _UNIT
_ERROR_WEIGHT = 16
COST_WEIGHT = round(LAMBDA * _UNIT * _UNIT * _ERROR_WEIGHT / COST_UNIT)


def distortion(coefficients: Tensor, values: Tensor, step: Tensor) -> Tensor:
    """int32 squared error in 1/64^2 squared steps, an error counting 4 steps at most.

    Args:
        coefficients, step: float32 integers.
        values: int32 multiples of the step.
    """
    # float32 holds all of it where it matters; elementwise operations round alike everywhere.
    error = (values * step).sub_(coefficients).abs_().mul_(_UNIT)
    units = error.add_(step / 2).div_(step).floor_().clamp_(max=_LARGEST_ERROR).int()
    return units.square_()


def weigh(error: Tensor, cost: Tensor) -> Tensor:
    """J of an error and a cost, int32."""
    return error * _ERROR_WEIGHT + cost * COST_WEIGHT


class RdoQuantiser:
    """Quantises the coefficients of one group of planes while their contexts unfold.

    Args:
        group: LUMA or CHROMA.
        coefficients: (N, I, J, planes, K) float64 integers.
        step: broadcasts to that.
        optimise: whether to look for cheaper values, or only to count.
    """

    def __init__(self, group: PlaneGroup, coefficients: Tensor, step: Tensor, optimise: bool):
        self.group, self.optimise = group, optimise
        self.start = quantise(coefficients, step)
        self.coefficients, self.step = coefficients.float(), step.float().expand_as(coefficients)
        zero = distortion(self.coefficients, torch.zeros_like(self.start), self.step)
        #: (N, I, J, groups) J of each group if it is coded, and if it is zeroed.
        self.dropped = torch.stack(
            [weigh(zero[..., a:b], zero.new_zeros(())).sum((-2, -1)) for a, b in group.spans], -1
        )
        self.kept = self.dropped.clone()
        shape = (*coefficients.shape[:3], group.classes)
        self.class_cost = torch.zeros(shape, dtype=torch.int32, device=coefficients.device)

    def classes(self, logits: Tensor, chosen: Tensor) -> Tensor:
        self.class_cost[chosen] = class_costs(logits)
        return classes_of(self.start[chosen], self.group)

    def values(self, logits: Tensor, chosen: Tensor, span: tuple[int, int]) -> Tensor:
        window = (chosen, slice(None), slice(*span))
        values, step = self.start[window], self.step[window]
        wanted = self.coefficients[window]
        flat = logits.reshape(-1, logits.shape[-1])
        costs = event_costs(flat)
        best, least = values, self._weigh(flat, costs, wanted, step, values)
        if self.optimise:
            for other in (values - values.sign(), torch.where(values.abs() == 2, 0, values)):
                weight = self._weigh(flat, costs, wanted, step, other)
                best = torch.where(weight < least, other, best)
                least = torch.minimum(weight, least)
        number = self.group.starts.index(span[0])
        self.kept[..., number][chosen] = least.sum((-2, -1)).to(self.kept.dtype)
        return best

    def _weigh(
        self, logits: Tensor, costs: Tensor, wanted: Tensor, step: Tensor, values: Tensor
    ) -> Tensor:
        flat = values.flatten()
        cost = costs.gather(-1, events(flat)[:, None])[:, 0]
        large = (flat.abs() >= 2).nonzero()[:, 0]
        cost[large] += tail_costs(logits[large], flat[large].abs() - 2)
        return weigh(distortion(wanted, values, step), cost.reshape(values.shape))

    def trim(self, classes: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Drop last groups that cost more than they bring.

        Returns:
            classes (N, I, J), values as before with those groups zero, and the J (N, I, J) of each
            cell.
        """
        none = torch.zeros_like(self.kept[..., :1])
        kept = torch.cat((none, self.kept.cumsum(-1)), -1)
        dropped = torch.cat((self.dropped.flip(-1).cumsum(-1).flip(-1), none), -1)
        weight = kept + dropped + self.class_cost * COST_WEIGHT
        if self.optimise:
            number = torch.arange(self.group.classes, device=classes.device)
            weight = weight.long().masked_fill(number > classes[..., None], 1 << 50)
            # Which of equal minima argmin finds is left open: the number decides.
            classes = (weight * 16 + number).argmin(-1).to(classes.dtype)
            ends = torch.tensor(self.group.starts, device=classes.device)[classes.long()]
            frequency = torch.arange(values.shape[-1], device=classes.device)
            values = values * (frequency < ends[..., None, None])
            classes = classes_of(values, self.group)
        least = weight.gather(-1, classes[..., None].long())[..., 0]
        return classes, values, least


def classes_of(values: Tensor, group: PlaneGroup) -> Tensor:
    """(...) int32 number of leading groups, up to the last that is not all zero."""
    busy = torch.stack([(values[..., a:b] != 0).flatten(-2).any(-1) for a, b in group.spans], -1)
    number = torch.arange(1, len(group.starts), device=values.device, dtype=torch.int32)
    return (busy * number).amax(-1).int()
