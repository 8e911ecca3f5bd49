"""Trained context networks to the integers that ship, with what the rounding costs."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from codec.learn.context_task import ContextTask
from codec.learn.symbols import SymbolTiles, load_float_networks
from codec.residual.models import save_contexts
from codec.residual.network import IntegerNetwork, to_integers

_ROWS = 20_000  # typical rows to set the ranges by


class Exported(NamedTuple):
    """What the study reports."""

    summary: str
    failures: list[str]


class _Recorder(nn.Module):
    """Answers as a network does and keeps some of the rows it saw."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network, self.rows = network, []

    def forward(self, rows: Tensor) -> Tensor:
        if sum(map(len, self.rows)) < _ROWS:
            self.rows.append(rows[:: max(1, len(rows) // 2000)].clone())
        return self.network(rows)


class _Steps(nn.Module):
    """An integer network in natural units, to be judged by the task that trained it."""

    def __init__(self, network: IntegerNetwork):
        super().__init__()
        self.network = network

    def forward(self, rows: Tensor) -> Tensor:
        return self.network(rows).float() / 16


@torch.no_grad()
def run(weights: dict[str, str], tiles: SymbolTiles, out: str) -> Exported:
    """Round trained networks and write them.

    Args:
        weights: file of `train.py` for each set, by the name of the set.
        tiles: typical tiles.
        out: file to write.
    """
    sets, lines = {}, []
    for set_name, path in weights.items():
        networks = load_float_networks(path)
        task = ContextTask(networks, None, 0.5).eval()
        recorders = {name: _Recorder(networks[name]) for name in networks}
        networks.every = nn.ModuleDict(recorders)
        batches = tiles.validation(8)
        before = [float(task.evaluate(batch)["score"]) for batch in batches]
        rounded = {
            name: to_integers(recorder.network, torch.cat(recorder.rows))
            for name, recorder in recorders.items()
        }
        networks.every = nn.ModuleDict({n: _Steps(network) for n, network in rounded.items()})
        after = [float(task.evaluate(batch)["score"]) for batch in batches]
        cost = 100 * (sum(after) / sum(before) - 1)
        lines.append(f"{set_name}: {-sum(before) / len(before):.4f} bits, integers {cost:+.2f} %")
        sets[set_name] = rounded
    save_contexts(Path(out), sets)
    return Exported("\n".join([*lines, out]), [])
