"""Trained networks to the files that ship: contexts as integers, post-filters in half precision."""

from typing import cast

import torch
from safetensors.torch import save
from torch import Tensor, nn

from codec.jpeg import stream
from codec.learn.context_task import ContextTask
from codec.learn.jpeg_task import JpegNetworks, JpegTask, load_jpeg_networks
from codec.learn.networks import ContextNetworks, load_trained
from codec.learn.symbols import TileSets
from codec.pictures.storage import output_path, write_atomically
from codec.pictures.weight_files import read_weights
from codec.report import Report
from codec.residual import context_sets, postfilter
from codec.residual.alphabet import LOGIT_STEPS
from codec.residual.row_network import IntegerNetwork, RowNetwork, to_integers

_BATCHES = 16
_ROWS = 20_000  # typical rows to set the ranges by


class _Recorder(nn.Module):
    """Answers as a network does and keeps some of the rows it saw."""

    def __init__(self, network: RowNetwork):
        super().__init__()
        self.network = network
        self.rows: list[Tensor] = []

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
        return self.network(rows).float() / LOGIT_STEPS


def export_contexts(weights: dict[str, str], tiles: TileSets, out: str) -> Report:
    """Round trained context networks and write them beside the sets that ship already.

    Args:
        weights: file of `train.py` for each set that is new, by the name of the set.
        tiles: typical tiles.
        out: file to write; `shipped` is the codec's own.
    """
    shipped = context_sets.load_contexts(context_sets.SHIPPED)
    sets: dict[str, dict[str, IntegerNetwork]] = {**shipped}
    lines = []
    for set_name, path in weights.items():
        networks = load_trained(path)
        sets[set_name], said = _rounded(networks, ContextTask(networks, None, 0.5), tiles)
        lines.append(f"{set_name}: {said}")
    target = output_path(out, context_sets.SHIPPED)
    context_sets.save_contexts(target, sets)
    return Report("\n".join([*lines, str(target)]), [])


def export_jpeg_networks(weights: str, tiles: TileSets, out: str) -> Report:
    """Round the trained networks of predicted JPEG files.

    Args:
        weights: file of `train.py`.
        tiles: typical tiles.
        out: file to write; `shipped` is the codec's own.
    """
    networks = load_jpeg_networks(weights)
    rounded, said = _rounded(networks, JpegTask(networks), tiles)
    target = output_path(out, stream.SHIPPED)
    context_sets.save_contexts(target, {stream.SET: rounded})
    return Report(f"{said}\n{target}", [])


@torch.no_grad()
def _rounded(
    networks: ContextNetworks | JpegNetworks, task: ContextTask | JpegTask, tiles: TileSets
) -> tuple[dict[str, IntegerNetwork], str]:
    """Integer networks for those that a task trained, and what rounding costs."""
    task.eval()
    recorders = {name: _Recorder(cast(RowNetwork, one)) for name, one in networks.every.items()}
    networks.every = nn.ModuleDict(recorders)
    rng = torch.Generator().manual_seed(0)
    batches = [tiles.batch(8, rng) for _ in range(_BATCHES)]
    before = [float(task.evaluate(batch)["score"]) for batch in batches]
    rounded = {
        name: to_integers(recorder.network, torch.cat(recorder.rows))
        for name, recorder in recorders.items()
    }
    networks.every = nn.ModuleDict({n: _Steps(network) for n, network in rounded.items()})
    after = [float(task.evaluate(batch)["score"]) for batch in batches]
    cost = 100 * (sum(after) / sum(before) - 1)
    return rounded, f"{-sum(before) / len(before):.4f} bits, integers {cost:+.2f} %"


def export_postfilters(weights: dict[str, str], out: str) -> Report:
    """Write trained post-filters in half precision.

    Args:
        weights: file of `train.py` for each quantisation matrix.
        out: file to write; `shipped` is the codec's own.
    """
    tensors = {
        f"{mode}.{name}": value.half()
        for mode, path in weights.items()
        for name, value in read_weights(path).state.items()
    }
    target = output_path(out, postfilter.SHIPPED)
    write_atomically(target, save(tensors))
    count = sum(tensor.numel() for tensor in tensors.values())
    return Report(f"{count:,} numbers in {target}", [])
