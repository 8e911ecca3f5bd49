"""The training loop.

Progress is counted in pictures seen. The data of a step depend on (seed, step, shard) alone, never
on iterator state: a resumed run repeats an uninterrupted one bit for bit on a CPU, and with equal
`shards` two processes train what one trains.
"""

import io
import json
import math
import time
from collections.abc import Callable, Iterable
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
from codec.pictures.weight_files import save_weights
from defilter.learn.runtime import Runtime, seeded_generator

CHECKPOINT, WEIGHTS, BEST_WEIGHTS = "checkpoint.pt", "weights.safetensors", "best.safetensors"
CHECKPOINT_SECONDS = 300  # what an interruption costs at most


# A NamedTuple of tensors with one first axis. The first of them are the pictures that the batch
# counts for, (..., C, H, W).
Batch = tuple[Tensor, ...]


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


@dataclass
class State:
    """All that changes while training goes on: what a checkpoint holds.

    Attributes:
        task: with the weights as they are trained.
        average: moving average of the task's state, which is what validates and is kept.
        optimiser: with its moments.
        settings: what the training was started with, as text; another training does not go on.
        step: steps taken.
        pictures: pictures seen.
        best: best value of the monitored figure.
    """

    task: nn.Module
    average: dict[str, Tensor]
    optimiser: torch.optim.Optimizer
    settings: str
    step: int = 0
    pictures: int = 0
    best: float = -math.inf

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        buffer = io.BytesIO()
        weights = {"task": self.task.state_dict(), "average": self.average}
        progress = {name: getattr(self, name) for name in ("settings", "step", "pictures", "best")}
        torch.save(weights | {"optimiser": self.optimiser.state_dict()} | progress, buffer)
        write_atomically(path, buffer.getvalue())

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint, if there is one.

        Raises:
            ValueError: it belongs to a training with other settings.
        """
        if not path.exists():
            return
        # On the CPU, where AdamW counts its steps: a count on the GPU is waited for in every step.
        found = torch.load(path, map_location="cpu", weights_only=True)
        if found.get("settings") != self.settings:
            raise ValueError(
                f"{path} belongs to a training with other settings: choose another name=..., "
                "or delete the folder"
            )
        self.task.load_state_dict(found["task"])
        self.optimiser.load_state_dict(found["optimiser"])
        for name, value in found["average"].items():
            self.average[name].copy_(value)
        self.step, self.pictures, self.best = found["step"], found["pictures"], found["best"]


def fit(
    task: nn.Module,
    data: Data,
    make_optimiser: Callable[..., torch.optim.Optimizer],
    plan: Plan,
    run: Path,
    runtime: Runtime,
    config: dict[str, Any],
) -> Result:
    """Train; running the same command again resumes from the last checkpoint.

    Args:
        task: see `defilter.learn.look_tasks`; its parameters are trained in place.
        data: see `Data`.
        make_optimiser: called with the parameters.
        plan: see `Plan`.
        run: folder for checkpoint, weights and TensorBoard logs.
        runtime: see `defilter.learn.runtime`.
        config: plain values. `config["task"]["network"]` says how to build `task.network`, and is
            saved with its weights, see `defilter.weights`; all of it is saved in the checkpoint.

    Raises:
        ValueError: the plan does not fit the processes or the task, or the run folder holds a
            training with another config.
    """
    shards = _shards(plan, runtime)
    task = task.to(runtime.device).to(memory_format=torch.channels_last)
    data = data.to(runtime.device)
    model = DistributedDataParallel(task) if runtime.world > 1 else task
    optimiser = make_optimiser(task.parameters())
    base_rates = [group["lr"] for group in optimiser.param_groups]
    average = {name: value.detach().clone() for name, value in task.state_dict().items()}
    settings = json.dumps(_lasting(config) | {"shards": shards}, sort_keys=True)
    state = State(task, average, optimiser, settings)
    state.resume(run / CHECKPOINT)

    validation = data.validation(plan.batch)
    _check_monitor(task, validation[0], plan, runtime)
    log = _Log(run, runtime, plan.pictures, state.pictures)
    saved = time.monotonic()
    figures: dict[str, float] = {}
    while state.pictures < plan.pictures:
        # One step on the next pictures.
        batch = _step_batch(data, plan, state.step, shards, runtime)
        for group, rate in zip(optimiser.param_groups, base_rates, strict=True):
            group["lr"] = rate * _rate(state.pictures / plan.pictures, plan.warmup)
        with torch.autocast(runtime.device.type, torch.bfloat16, enabled=plan.bf16):
            loss, logs = model(batch)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(task.parameters(), plan.clip)
        optimiser.step()
        before = state.pictures
        state.step += 1
        state.pictures += _pictures(batch) * runtime.world
        _update_average(average, task, _decay(plan.ema, state.step))
        log.step(state, loss, logs)

        # Now and then a validation, which keeps the best weights.
        done = state.pictures >= plan.pictures
        validating = done or state.pictures // plan.validate_every > before // plan.validate_every
        if validating:
            figures, preview = _validate(task, average, validation, plan, runtime)
            improved = figures[plan.monitor] > state.best
            state.best = max(state.best, figures[plan.monitor])
            log.validation(state, figures, preview)
            for name in (WEIGHTS, BEST_WEIGHTS)[: (1 + improved) * runtime.is_main]:
                _save_network(run / name, state, config["task"]["network"], figures)
            runtime.barrier()
        if runtime.is_main and (validating or time.monotonic() - saved > CHECKPOINT_SECONDS):
            state.save(run / CHECKPOINT)
            saved = time.monotonic()
    log.close()
    task.load_state_dict(average)
    return Result(state.pictures, state.best, figures)


class _Log:
    """TensorBoard and a progress bar, of the main process alone."""

    def __init__(self, run: Path, runtime: Runtime, pictures: int, seen: int):
        self.writer = SummaryWriter(str(run)) if runtime.is_main else None
        self.progress = tqdm(
            total=pictures,
            initial=seen,
            unit="pic",
            unit_scale=True,
            smoothing=0.02,  # over the last 50 updates or so
            disable=None if runtime.is_main else True,
        )
        if seen:
            self._say(seen, "resumed")

    def _say(self, seen: int, text: str) -> None:
        if self.writer:
            self.progress.write(f"{seen:>11,} pictures: {text}")

    def step(self, state: State, loss: Tensor, logs: dict[str, Tensor]) -> None:
        """Every 50th step in numbers, as reading them waits for the device."""
        self.progress.update(state.pictures - self.progress.n)
        if self.writer and state.step % 50 == 0:
            self.progress.set_postfix_str(f"loss {loss.item():.3f}", refresh=False)
            for name, value in logs.items():
                self.writer.add_scalar(f"train/{name}", value.item(), state.pictures)

    def validation(self, state: State, figures: dict[str, float], preview: Tensor) -> None:
        if self.writer:
            for name, value in figures.items():
                self.writer.add_scalar(f"validation/{name}", value, state.pictures)
            pictures = make_grid(preview.cpu().float(), nrow=1)
            self.writer.add_image("validation/preview", pictures, state.pictures)
        self._say(state.pictures, _line(figures))

    def close(self) -> None:
        self.progress.close()
        if self.writer:
            self.writer.close()


def _shards(plan: Plan, runtime: Runtime) -> int:
    """Parts that a step's data are made in, over all processes."""
    shards = plan.shards or runtime.world
    if shards % runtime.world or plan.batch % shards:
        raise ValueError(
            f"expected plan.batch ({plan.batch}) in equal shards ({shards}) over "
            f"{runtime.world} processes"
        )
    return shards


def _lasting(config: dict[str, Any]) -> dict[str, Any]:
    """The config without what a resumed run may change: its length, its place, its device."""
    plan = {k: v for k, v in config.get("plan", {}).items() if k not in ("pictures", "shards")}
    kept = {k: v for k, v in config.items() if k not in ("run", "device")}
    return kept | {"plan": plan}


def _check_monitor(task: nn.Module, batch: Batch, plan: Plan, runtime: Runtime) -> None:
    """Refuse a misspelt `monitor` before the first step, not after the first validation."""
    figures = cast(Task, task).evaluate(_moved(_first(batch, 1), runtime.device))
    if plan.monitor not in figures:
        raise ValueError(f"expected plan.monitor out of {', '.join(figures)}, got {plan.monitor!r}")


def _step_batch(data: Data, plan: Plan, step: int, shards: int, runtime: Runtime) -> Batch:
    """This process's shards of one step, one after the other."""
    parts = [
        data.batch(plan.batch // shards, seeded_generator(runtime.device, plan.seed, step, shard))
        for shard in range(runtime.rank, shards, runtime.world)
    ]
    return _like(parts[0], map(torch.cat, zip(*parts, strict=True)))


def _like(batch: Batch, tensors: Iterable[Tensor]) -> Batch:
    """A batch of the same kind."""
    return cast(Callable[..., Batch], type(batch))(*tensors)


def _moved(batch: Batch, device: torch.device) -> Batch:
    return _like(batch, (x.to(device) for x in batch))


def _first(batch: Batch, count: int) -> Batch:
    return _like(batch, (x[:count] for x in batch))


def _pictures(batch: Batch) -> int:
    return math.prod(batch[0].shape[:-3])


def _rate(done: float, warmup: float) -> float:
    """Linear warm-up, then half a cosine (Loshchilov 2017) down to 1 % of the learning rate."""
    if done < warmup:
        return (done + 1e-3 * warmup) / warmup
    return 0.01 + 0.99 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup))) / 2


def _decay(ema: float, step: int) -> float:
    """Of the average: short at first, as TensorFlow's ExponentialMovingAverage has it."""
    return min(ema, (1 + step) / (10 + step))


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
        parts = [judge.evaluate(_moved(batch, runtime.device)) for batch in batches]
        preview = judge.preview(_moved(_first(batches[0], 8), runtime.device))
    task.train()
    task.load_state_dict(trained)
    figures = {name: torch.cat([part[name] for part in parts]).mean() for name in parts[0]}
    return {name: float(runtime.mean(value)) for name, value in figures.items()}, preview


def _line(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in figures.items())


def _save_network(
    path: Path, state: State, architecture: dict[str, Any], figures: dict[str, float]
) -> None:
    """The averaged weights of `task.network` alone."""
    prefix = "network."
    weights = {k.removeprefix(prefix): v for k, v in state.average.items() if k.startswith(prefix)}
    notes = {"pictures": str(state.pictures), "validation": _line(figures)}
    save_weights(weights, architecture, path, **notes)
