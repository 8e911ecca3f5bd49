"""The training loop.

Progress is counted in pictures seen. The data of a step depend on (seed, step, shard) alone, never
on iterator state: a resumed run repeats an uninterrupted one bit for bit on a CPU, and with equal
`shards` two processes train what one trains.
"""

import io
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.tensorboard import SummaryWriter
from torchvision.utils import make_grid
from tqdm import tqdm

from codec.pictures.storage import write_atomically
from defilter.learn.runtime import Runtime, seeded_generator
from defilter.weights import save_weights

CHECKPOINT, WEIGHTS, BEST_WEIGHTS = "checkpoint.pt", "weights.safetensors", "best.safetensors"
CHECKPOINT_SECONDS = 300


class Batch(Protocol):
    """A NamedTuple of tensors whose first axis is the same."""

    @property
    def pictures(self) -> int:
        """Pictures that this batch counts for."""

    def to(self, device: torch.device) -> "Batch": ...


class Data(Protocol):
    """What the loop asks of its data. A batch depends on the generator alone."""

    def to(self, device: torch.device) -> "Data": ...

    def batch(self, size: int, generator: torch.Generator) -> Batch: ...

    def validation(self, size: int) -> list[Batch]: ...


class Task(Protocol):
    """See `defilter.learn.look_tasks` and `codec.learn.context_task`."""

    def evaluate(self, batch: Batch) -> dict[str, Tensor]: ...

    def preview(self, batch: Batch) -> Tensor: ...


@dataclass(frozen=True)
class Plan:
    """How long and how to train.

    Attributes:
        pictures: pictures to see in all.
        batch: looks or tiles in one step, over all processes.
        shards: parts that a step's data are made in, a multiple of the number of processes. None is
            that number; set it to get the same data from any number.
        warmup: share of the training over which the learning rate rises.
        ema: decay of the moving average of the weights, in steps.
        clip: largest norm of the gradient.
        validate_every: pictures between validations.
        monitor: figure of the task's `evaluate` whose best weights are kept.
        bf16: compute in bfloat16 where that is safe.
        seed: of weights, data and everything else.
    """

    pictures: int
    batch: int
    shards: int | None
    warmup: float
    ema: float
    clip: float
    validate_every: int
    monitor: str
    bf16: bool
    seed: int

    def __post_init__(self) -> None:
        for name in ("pictures", "batch", "validate_every"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"expected plan.{name} to be a whole number from 1, got {value!r}")
        for name in ("warmup", "ema"):
            value = getattr(self, name)
            if not isinstance(value, float | int) or not 0 <= value < 1:
                raise ValueError(f"expected plan.{name} from 0 to below 1, got {value!r}")
        if not isinstance(self.clip, float | int) or self.clip <= 0:
            raise ValueError(f"expected plan.clip above 0, got {self.clip!r}")
        if not isinstance(self.seed, int):
            raise ValueError(f"expected plan.seed to be a whole number, got {self.seed!r}")
        if self.shards is not None and (not isinstance(self.shards, int) or self.shards < 1):
            raise ValueError(f"expected plan.shards from 1, or null, got {self.shards!r}")


class Result(NamedTuple):
    """Where training ended: pictures seen, best value of the monitored figure, last figures."""

    pictures: int
    best: float
    figures: dict[str, float]


def fit(  # noqa: C901, PLR0915 - one loop, to be read top to bottom
    task: nn.Module,
    data: Data,
    optimiser: Callable[..., torch.optim.Optimizer],
    plan: Plan,
    run: Path,
    runtime: Runtime,
    config: dict[str, Any],
) -> Result:
    """Train; running the same command again resumes from the last checkpoint.

    Args:
        task: see `defilter.learn.look_tasks`; its parameters are trained in place.
        data: see `Data`.
        optimiser: called with the parameters.
        plan: see `Plan`.
        run: folder for checkpoint, weights and TensorBoard logs.
        runtime: see `defilter.learn.runtime`.
        config: plain values. `config["task"]["network"]` says how to build `task.network`, and is
            saved with its weights, see `defilter.weights`; all of it is saved in the checkpoint.

    Raises:
        ValueError: the plan does not fit the processes or the task, or the run folder holds a
            training with another config.
    """
    shards = plan.shards or runtime.world
    if shards % runtime.world or plan.batch % shards:
        raise ValueError(
            f"expected plan.batch ({plan.batch}) in equal shards ({shards}) over "
            f"{runtime.world} processes"
        )
    device = runtime.device
    task = task.to(device).to(memory_format=torch.channels_last)
    data = data.to(device)
    average = {name: value.detach().clone() for name, value in task.state_dict().items()}
    model = DistributedDataParallel(task) if runtime.world > 1 else task
    stepper = optimiser(task.parameters())
    base_rates = [group["lr"] for group in stepper.param_groups]
    settings = json.dumps(_lasting(config) | {"shards": shards}, sort_keys=True)
    step, seen, best = _resume(run / CHECKPOINT, task, average, stepper, device, settings)

    validation = data.validation(plan.batch)
    _check_monitor(task, validation[0], plan, runtime)
    writer = SummaryWriter(str(run)) if runtime.is_main else None
    progress = tqdm(
        total=plan.pictures, initial=seen, unit="pic", unit_scale=True, smoothing=0.02,
        disable=None if runtime.is_main else True,
    )  # fmt: skip
    if seen and runtime.is_main:
        progress.write(f"{seen:>11,} pictures: resumed")
    saved = time.monotonic()
    figures: dict[str, float] = {}
    next_validation = (seen // plan.validate_every + 1) * plan.validate_every
    while seen < plan.pictures:
        batch = _step_batch(data, plan, step, shards, runtime)
        for group, rate in zip(stepper.param_groups, base_rates, strict=True):
            group["lr"] = rate * _rate(seen / plan.pictures, plan.warmup)
        with torch.autocast(device.type, torch.bfloat16, enabled=plan.bf16):
            loss, logs = model(batch)
        stepper.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(task.parameters(), plan.clip)
        stepper.step()
        step += 1
        _update_average(average, task, min(plan.ema, (1 + step) / (10 + step)))
        new = batch.pictures * runtime.world
        seen += new
        progress.update(new)
        if step % 50 == 0 and writer:
            progress.set_postfix_str(f"loss {loss.item():.3f}", refresh=False)
            for name, value in logs.items():
                writer.add_scalar(f"train/{name}", value.item(), seen)
        validating = seen >= next_validation or seen >= plan.pictures
        if validating:
            next_validation += plan.validate_every
            figures, preview = _validate(task, average, validation, plan, runtime)
            improved = figures[plan.monitor] > best
            best = max(best, figures[plan.monitor])
            if writer:
                _report(writer, figures, preview, seen)
                progress.write(f"{seen:>11,} pictures: " + _line(figures))
                for name in (WEIGHTS, BEST_WEIGHTS) if improved else (WEIGHTS,):
                    _save_network(run / name, average, config["task"]["network"], seen, figures)
            runtime.barrier()
        if writer and (validating or time.monotonic() - saved > CHECKPOINT_SECONDS):
            _save_checkpoint(run / CHECKPOINT, task, average, stepper, step, seen, best, settings)
            saved = time.monotonic()
    progress.close()
    if writer:
        writer.close()
    task.load_state_dict(average)
    return Result(seen, best, figures)


def _lasting(config: dict[str, Any]) -> dict[str, Any]:
    """The config without what a resumed run may change: its length, its place, its device."""
    plan = {k: v for k, v in config.get("plan", {}).items() if k not in ("pictures", "shards")}
    kept = {k: v for k, v in config.items() if k not in ("run", "device")}
    return kept | {"plan": plan}


def _check_monitor(task: nn.Module, batch: Batch, plan: Plan, runtime: Runtime) -> None:
    """Refuse a misspelt `monitor` before the first step, not after the first validation."""
    figures = cast(Task, task).evaluate(_first(batch, 1).to(runtime.device))
    if plan.monitor not in figures:
        raise ValueError(f"expected plan.monitor out of {', '.join(figures)}, got {plan.monitor!r}")


def _step_batch(data: Data, plan: Plan, step: int, shards: int, runtime: Runtime) -> Batch:
    """This process's shards of one step, one after the other."""
    parts = [
        data.batch(plan.batch // shards, seeded_generator(runtime.device, plan.seed, step, shard))
        for shard in range(runtime.rank, shards, runtime.world)
    ]
    return _built_like(parts[0], (torch.cat(group) for group in _tensors(*parts)))


def _tensors(*batches: Batch) -> Iterator[tuple[Tensor, ...]]:
    return zip(*cast(tuple[tuple[Tensor, ...], ...], batches), strict=True)


def _built_like(batch: Batch, tensors: Iterable[Tensor]) -> Batch:
    return cast(Callable[..., Batch], type(batch))(*tensors)


def _first(batch: Batch, count: int) -> Batch:
    return _built_like(batch, (x[:count] for (x,) in _tensors(batch)))


def _rate(done: float, warmup: float) -> float:
    """Linear warm-up, then half a cosine down to 1 % of the learning rate."""
    if done < warmup:
        return (done + 1e-3 * warmup) / warmup
    return 0.01 + 0.99 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup))) / 2


def _update_average(average: dict[str, Tensor], task: nn.Module, decay: float) -> None:
    state = task.state_dict()
    floating = [name for name, value in state.items() if value.is_floating_point()]
    torch._foreach_lerp_(
        [average[name] for name in floating], [state[name].detach() for name in floating], 1 - decay
    )


def _validate(
    task: nn.Module, average: dict[str, Tensor], batches: list[Batch], plan: Plan, runtime: Runtime
) -> tuple[dict[str, float], Tensor]:
    """Mean figures over all validation looks and one preview, with the averaged weights."""
    trained = {name: value.clone() for name, value in task.state_dict().items()}
    task.load_state_dict(average)
    task.eval()
    with torch.autocast(runtime.device.type, torch.bfloat16, enabled=plan.bf16):
        judge = cast(Task, task)
        parts = [judge.evaluate(batch.to(runtime.device)) for batch in batches]
        preview = judge.preview(_first(batches[0], 8).to(runtime.device))
    task.train()
    task.load_state_dict(trained)
    figures = {name: torch.cat([part[name] for part in parts]).mean() for name in parts[0]}
    return {name: float(runtime.mean(value)) for name, value in figures.items()}, preview


def _line(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in figures.items())


def _report(writer: SummaryWriter, figures: dict[str, float], preview: Tensor, seen: int) -> None:
    for name, value in figures.items():
        writer.add_scalar(f"validation/{name}", value, seen)
    writer.add_image("validation/preview", make_grid(preview.cpu().float(), nrow=1), seen)


def _save_network(
    path: Path,
    average: dict[str, Tensor],
    architecture: dict[str, Any],
    seen: int,
    figures: dict[str, float],
) -> None:
    """The averaged weights of `task.network` alone."""
    prefix = "network."
    state = {k.removeprefix(prefix): v for k, v in average.items() if k.startswith(prefix)}
    notes = {"pictures": str(seen), "validation": _line(figures)}
    save_weights(state, architecture, path, **notes)


def _save_checkpoint(
    path: Path,
    task: nn.Module,
    average: dict[str, Tensor],
    stepper: torch.optim.Optimizer,
    step: int,
    seen: int,
    best: float,
    settings: str,
) -> None:
    buffer = io.BytesIO()
    state = {"task": task.state_dict(), "average": average, "optimiser": stepper.state_dict()}
    progress = {"step": step, "pictures": seen, "best": best, "settings": settings}
    torch.save(state | progress, buffer)
    write_atomically(path, buffer.getvalue())


def _resume(
    path: Path,
    task: nn.Module,
    average: dict[str, Tensor],
    stepper: torch.optim.Optimizer,
    device: torch.device,
    settings: str,
) -> tuple[int, int, float]:
    """(step, pictures, best) of a checkpoint loaded into its arguments, or of a fresh start."""
    if not path.exists():
        return 0, 0, -math.inf
    state = torch.load(path, map_location=device, weights_only=True)
    if state.get("settings") != settings:
        raise ValueError(
            f"{path} belongs to a training with other settings: choose another name=..., "
            "or delete the folder"
        )
    task.load_state_dict(state["task"])
    stepper.load_state_dict(state["optimiser"])
    for name, value in state["average"].items():
        average[name].copy_(value)
    return state["step"], state["pictures"], state["best"]
