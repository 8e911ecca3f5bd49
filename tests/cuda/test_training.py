"""Training on CUDA: steps, validation, resuming, and the device that a process gets."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import hydra
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from defilter.learn.loop import CHECKPOINT, Result, fit
from defilter.learn.runtime import Runtime, start_runtime
from tests.pretend_cuda import CUDA
from tests.test_training import CONFIG, CONFIGS, EXPERIMENTS, PLAN, FixedPairs, adam, small_data
from tests.test_training import small_task as look_task

QUICK = ("area_fig3", "debug", "scene")  # one of each kind, a few seconds on the pretended device


def made(experiment: str) -> tuple[Any, Any, Any, dict[str, Any]]:
    """Task, data, maker of the optimiser and plain config, as train.py makes them."""
    if experiment == "closed_set":
        pytest.importorskip("instafilter", reason="make bench-deps installs it")
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        config = compose("train", [f"experiment={experiment}", *small_data(experiment)])
    torch.manual_seed(0)
    parts = (hydra.utils.instantiate(config[name]) for name in ("task", "data", "optim"))
    return *parts, OmegaConf.to_container(config, resolve=True)


@pytest.mark.parametrize(
    "experiment",
    [pytest.param(e, marks=[pytest.mark.slow] * (e not in QUICK)) for e in EXPERIMENTS],
)
def test_every_experiment_takes_two_steps(
    experiment: str, tmp_path: Path, cuda: torch.device
) -> None:
    task, data, make_optimiser, config = made(experiment)
    before = {name: value.clone() for name, value in task.state_dict().items()}
    monitor = config["plan"]["monitor"]
    pictures = 2 * config["data"].get("photos_per_look", 1)
    plan = replace(PLAN, pictures=pictures, batch=1, shards=None, monitor=monitor)
    result = fit(task, data, make_optimiser, plan, tmp_path, Runtime(cuda), config)
    assert result.pictures == pictures
    assert not any(map(math.isnan, result.figures.values()))
    changed = [not torch.equal(before[k], v.cpu()) for k, v in task.state_dict().items()]
    assert any(changed)


@pytest.mark.parametrize("experiment", ["debug", "scene", "area_fig3"])
def test_the_loss_of_a_batch_is_the_cpus(experiment: str, cuda: torch.device) -> None:
    task, data, _, _ = made(experiment)
    batch = data.validation(2)[0]
    task.eval()
    expected, _ = task(batch)
    expected.backward()
    wanted = {name: p.grad for name, p in task.named_parameters()}
    task.zero_grad()
    loss, _ = task.to(cuda)(type(batch)(*(x.to(cuda) for x in batch)))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-3, abs=1e-3)
    loss.backward()
    for name, p in task.named_parameters():
        assert (p.grad is None) == (wanted[name] is None), name
        if p.grad is not None:
            scale = float(wanted[name].abs().max()) + 1e-6
            assert float((p.grad.cpu() - wanted[name]).abs().max()) < 2e-2 * scale + 1e-5, name


def trained(run: Path, device: torch.device, data: FixedPairs | None = None) -> tuple[Any, Result]:
    task = look_task()
    plan = replace(PLAN, pictures=32)
    return task, fit(task, data or FixedPairs(), adam, plan, run, Runtime(device), CONFIG)


def test_a_resumed_training_is_the_uninterrupted_one(tmp_path: Path, cuda: torch.device) -> None:
    class Interrupt(FixedPairs):
        steps = 0

        def batch(self, looks: int, generator: torch.Generator) -> Any:
            self.steps += 1
            if self.steps > 5:  # two shards a step, a validation after the second
                raise KeyboardInterrupt
            return super().batch(looks, generator)

    whole, _ = trained(tmp_path / "whole", cuda)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", cuda, Interrupt())
    resumed, result = trained(tmp_path / "cut", cuda)
    assert result.pictures == 32
    for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        torch.testing.assert_close(a.cpu(), b.cpu(), atol=1e-4, rtol=1e-3)
    saved = torch.load(tmp_path / "cut" / CHECKPOINT, map_location="cpu", weights_only=True)
    assert saved["step"] == 4


def test_steps_of_adamw_are_counted_on_the_cpu_after_resuming(
    tmp_path: Path, cuda: torch.device
) -> None:
    trained(tmp_path, cuda)
    kept: list[torch.optim.Optimizer] = []

    def keeping(parameters: object) -> torch.optim.Optimizer:
        kept.append(adam(parameters))
        return kept[0]

    plan = replace(PLAN, pictures=32)
    fit(look_task(), FixedPairs(), keeping, plan, tmp_path, Runtime(cuda), CONFIG)
    counts = [state["step"] for state in kept[0].state.values()]
    assert counts and all(count.device.type == "cpu" for count in counts)


@pytest.mark.parametrize(
    ("asked", "local_rank", "expected"),
    [("auto", "0", 0), ("cuda", "0", 0), ("cuda:0", "1", 0), ("cuda:0", "0", 0)],
)
def test_a_process_gets_the_device_it_asks_for(
    asked: str, local_rank: str, expected: int, cuda: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_RANK", local_rank)
    assert start_runtime(asked).device == torch.device("cuda", expected)


def test_every_process_gets_a_device_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[torch.device] = []
    answers: dict[str, Callable[..., Any]] = {
        "is_available": lambda: True,
        "set_device": chosen.append,
    }
    for name, answer in answers.items():
        monkeypatch.setattr(torch.cuda, name, answer)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert start_runtime("cuda").device == torch.device("cuda", 3)
    assert start_runtime("cuda:1").device == torch.device("cuda", 1)
    assert chosen == [torch.device("cuda", 3), torch.device("cuda", 1)]
    assert CUDA.index == 0
