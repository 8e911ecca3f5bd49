"""train.py and the loop: every config, resume, several processes, overfitting, refusals."""

import inspect
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import hydra
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf
from safetensors.torch import load_file
from torch import Tensor

from defilter.areas.network import SegmentNet
from defilter.faces import Protection
from defilter.global_look import GlobalLook, LookEncoder
from defilter.learn.look_tasks import GlobalLookTask, PictureToPictureTask, log_mse
from defilter.learn.loop import BEST_WEIGHTS, CHECKPOINT, Plan, Result, fit
from defilter.learn.pairs import PairBatch
from defilter.learn.runtime import Runtime, seeded_generator
from defilter.scene.network import SceneClassifier
from defilter.scene.similarity import literal_degree
from defilter.unet import AreaDefilterUNet, DefilterUNet
from defilter.weights import load_network, save_weights
from tests.conftest import small_network
from tests.defilter.learn.test_data import write_pair_folders

ROOT = Path(__file__).parents[1]
CONFIGS = str(ROOT / "configs")
EXPERIMENTS = sorted(p.stem for p in (ROOT / "configs" / "experiment").glob("*.yaml"))
NETWORKS = sorted(p.stem for p in (ROOT / "configs" / "network").glob("*.yaml"))
STUDIES = sorted(p.stem for p in (ROOT / "configs" / "study").glob("*.yaml"))
FITS = sorted(p.stem for p in (ROOT / "configs" / "fit").glob("*.yaml"))
BUILDABLE = (GlobalLook, DefilterUNet, AreaDefilterUNet, SceneClassifier, SegmentNet)
CPU = Runtime(torch.device("cpu"))
PLAN = Plan(
    pictures=48,
    batch=4,
    shards=2,
    warmup=0.1,
    ema=0.9,
    clip=1.0,
    validate_every=16,
    monitor="removed",
    bf16=True,
    seed=0,
)
CONFIG = {"task": {"network": {"_target_": "defilter.unet.DefilterUNet"}}}


class FixedPairs:
    """Darkened noise: data for the loop alone."""

    def to(self, device: torch.device) -> "FixedPairs":
        return self

    def batch(self, looks: int, generator: torch.Generator) -> PairBatch:
        clean = torch.rand(looks, 2, 3, 16, 16, generator=generator, device=generator.device)
        photo = torch.rand(looks, 3, 16, 16, generator=generator, device=generator.device)
        return PairBatch(clean * 0.6, clean, photo, photo * 0.6)

    def validation(self, looks: int) -> list[PairBatch]:
        return [self.batch(looks, torch.Generator().manual_seed(7))]


def adam(parameters: object, lr: float = 1e-3) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=lr)  # type: ignore[arg-type]


def small_task() -> GlobalLookTask:
    torch.manual_seed(0)
    return GlobalLookTask(small_network(), render_weight=1.0, pooled_weight=0.5)


def train(run: Path, plan: Plan = PLAN) -> tuple[GlobalLookTask, Result]:
    task = small_task()
    return task, fit(task, FixedPairs(), adam, plan, run, CPU, CONFIG)


def test_training_learns_and_leaves_weights_logs_and_checkpoint(tmp_path: Path) -> None:
    plan = replace(PLAN, pictures=1600, validate_every=800, ema=0.5)
    task, result = train(tmp_path, plan)
    assert result.pictures == 1600
    assert result.figures["removed"] > result.figures["template"] + 3
    names = {path.name.split(".")[0] for path in tmp_path.iterdir()}
    assert names == {"best", "checkpoint", "events", "weights"}
    weights = load_file(tmp_path / BEST_WEIGHTS)
    assert set(weights) == set(task.network.state_dict())


def test_resume_is_bit_exact(tmp_path: Path) -> None:
    whole, _ = train(tmp_path / "whole")
    interrupted = small_task()

    class Interrupt(FixedPairs):
        steps = 0

        def batch(self, looks: int, generator: torch.Generator) -> PairBatch:
            self.steps += 1
            if self.steps > 9:  # two shards a step: in the fifth step, after two validations
                raise KeyboardInterrupt
            return super().batch(looks, generator)

    with pytest.raises(KeyboardInterrupt):
        fit(interrupted, Interrupt(), adam, PLAN, tmp_path / "cut", CPU, CONFIG)
    resumed, result = train(tmp_path / "cut")
    assert result.pictures == 48
    for (name, expected), value in zip(
        whole.state_dict().items(), resumed.state_dict().values(), strict=True
    ):
        assert torch.equal(expected, value), name
    first, second = (
        torch.load(tmp_path / run / CHECKPOINT, weights_only=True) for run in ("whole", "cut")
    )
    assert first["step"] == second["step"]
    assert all(torch.equal(first["task"][k], second["task"][k]) for k in first["task"])


def test_a_finished_run_stays_finished(tmp_path: Path) -> None:
    first, _ = train(tmp_path)
    again, result = train(tmp_path)
    assert result.pictures == 48
    for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_other_settings_in_the_same_run_are_refused(tmp_path: Path) -> None:
    train(tmp_path)
    other = PictureToPictureTask(DefilterUNet(widths=(4, 8, 8)))
    changed = CONFIG | {"optim": {"lr": 1}}
    with pytest.raises(ValueError, match="choose another name"):
        fit(other, FixedPairs(), adam, PLAN, tmp_path, CPU, changed)
    longer = CONFIG | {"plan": {"pictures": 64}, "device": "cpu"}  # these may change
    assert train(tmp_path / "again")[1].pictures == 48
    again = small_task()
    plan = replace(PLAN, pictures=64)
    assert fit(again, FixedPairs(), adam, plan, tmp_path / "again", CPU, longer).pictures == 64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 5}, "equal shards"),
        ({"monitor": "beauty"}, "monitor"),
        ({"batch": "many"}, "batch"),
        ({"clip": 0}, "clip"),
        ({"shards": -1}, "shards"),
        ({"ema": 1.5}, "ema"),
        ({"seed": "x"}, "seed"),
    ],
)
def test_plans_that_cannot_work(tmp_path: Path, change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train(tmp_path, replace(PLAN, **change))


@pytest.mark.parametrize(
    "task",
    [
        lambda: GlobalLookTask(small_network(), 1.0, 0.5),
        lambda: PictureToPictureTask(DefilterUNet(widths=(8, 16, 16), norm=True)),
    ],
    ids=["global look", "Fig. 2"],
)
def test_overfits_one_batch(task) -> None:
    torch.manual_seed(0)
    task = task()
    batch = FixedPairs().batch(2, torch.Generator().manual_seed(0))
    optimiser = adam(task.parameters(), 5e-3)
    first = task(batch)[0].item()
    for _ in range(120):
        loss, _ = task(batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < first - 1.0
    figures = task.evaluate(batch)
    assert figures["removed"].mean() > figures["template"].mean() + 3


def test_the_loss_ranks_pictures() -> None:
    x = torch.rand(2, 3, 8, 8)
    near, far = x + 0.01, x + torch.tensor([0.2, 0.3])[:, None, None, None]
    assert log_mse(x, near).shape == (2,)
    assert (log_mse(x, near) < log_mse(x, far)).all()


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_takes_a_step(experiment: str, tmp_path: Path) -> None:
    if experiment == "closed_set":
        pytest.importorskip("instafilter", reason="make bench-deps installs it")
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        config = compose("train", [f"experiment={experiment}", *small_data(experiment)])
    task = hydra.utils.instantiate(config.task)
    data = hydra.utils.instantiate(config.data)
    plan = replace(hydra.utils.instantiate(config.plan), pictures=4, batch=1)
    saved = OmegaConf.to_container(config, resolve=True)
    optimiser = hydra.utils.instantiate(config.optim)
    result = fit(task, data, optimiser, plan, tmp_path, CPU, saved)
    assert result.pictures == 4
    if experiment.startswith("codec"):
        assert load_file(tmp_path / BEST_WEIGHTS)
        return
    network = load_network(tmp_path / BEST_WEIGHTS, *BUILDABLE, parts=(LookEncoder,))
    assert sum(p.numel() for p in network.parameters()) <= 1_600_000


def small_data(experiment: str) -> list[str]:
    """Overrides that make an experiment's data small."""
    if experiment.startswith("codec"):
        return ["data.tiles=16"]
    if experiment == "scene":
        return []
    if experiment.startswith("area"):
        return ["data.size=32"]
    if experiment in ("segment", "saliency"):
        return ["data.side=64"]
    return ["data.photos.crops=1"]


def test_real_pairs_train_too(tmp_path: Path) -> None:
    write_pair_folders(tmp_path, iffi=True)
    overrides = ["data=folder_pairs", f"data.filtered={tmp_path}", "data.photos_per_look=2"]
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        config = compose("train", overrides)
    data = hydra.utils.instantiate(config.data)
    result = fit(small_task(), data, adam, PLAN, tmp_path / "run", CPU, CONFIG)
    assert result.pictures == PLAN.pictures


@pytest.mark.parametrize(
    "choice", [*(f"study={name}" for name in STUDIES), *(f"fit={name}" for name in FITS)]
)
def test_every_study_and_every_fit_composes(choice: str) -> None:
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        config = compose("evaluate", [choice])
    file = ROOT / "configs" / Path(*choice.split("=")).with_suffix(".yaml")
    assert "${" not in file.read_text(encoding="utf-8")  # no key that only passes another on
    function = hydra.utils.get_method(config._target_)
    arguments = {str(key) for key in config if not str(key).startswith("_")}
    assert arguments == set(inspect.signature(function).parameters)
    with (
        initialize_config_dir(CONFIGS, version_base="1.3"),
        pytest.raises(ConfigCompositionException),
    ):
        compose("evaluate", [choice, "ouut=x"])


@pytest.mark.parametrize("fit", FITS)
def test_no_fit_writes_into_the_package_unless_told_so(fit: str) -> None:
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        config = compose("evaluate", [f"fit={fit}"])
    assert config.out.startswith("out/")


@pytest.mark.parametrize(
    ("choice", "part"),
    [
        ("scene=off", "scene"),
        ("faces=off", "faces"),
        ("areas=off", "areas"),
        ("saliency=off", "saliency"),
        ("faces=literal", None),
        ("scene=shipped", None),
        ("scene=literal", None),
    ],
)
def test_what_a_transfer_knows_is_chosen(choice: str, part: str | None) -> None:
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        config = compose("evaluate", [choice])
    analysers = hydra.utils.instantiate(config).keywords["analysers"]
    missing = [n for n in ("scene", "faces", "areas", "saliency") if getattr(analysers, n) is None]
    assert missing == ([] if part is None else [part])
    assert analysers.literal == (choice == "faces=literal")
    assert analysers.protection == Protection()
    if analysers.scene is not None:
        literal = analysers.scene.degree_of is literal_degree
        assert literal == (choice == "scene=literal")


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_config_is_a_network(name: str, tmp_path: Path) -> None:
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        config = compose("train", [f"+network@network={name}"])
    network = hydra.utils.instantiate(config.network)
    architecture = OmegaConf.to_container(config.network, resolve=True)
    save_weights(network.state_dict(), architecture, tmp_path / "x.safetensors")
    loaded = load_network(tmp_path / "x.safetensors", *BUILDABLE, parts=(LookEncoder,))
    assert type(loaded) is type(network)
    assert sum(p.numel() for p in network.parameters()) <= 1_600_000


@pytest.mark.parametrize(
    "override",
    ["plan.picture=3", "task.network.hiden=3", "experiment=nothing", "looks.recipe.mix=1"],
)
def test_misspelt_keys_are_refused(override: str) -> None:
    with (
        initialize_config_dir(CONFIGS, version_base="1.3"),
        pytest.raises(ConfigCompositionException),
    ):
        compose("train", [override])


def test_seeds_differ_between_steps_and_shards() -> None:
    def draw(*key: int) -> Tensor:
        return torch.rand(3, generator=seeded_generator(torch.device("cpu"), *key))

    assert torch.equal(draw(0, 1, 2), draw(0, 1, 2))
    assert not torch.equal(draw(0, 1, 2), draw(0, 2, 1))


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, cwd=cwd
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.mark.slow
def test_two_processes_train_what_one_trains(tmp_path: Path) -> None:
    overrides = [
        str(ROOT / "train.py"),
        "experiment=debug",
        "plan.pictures=96",
        "plan.batch=4",
        "plan.shards=2",
        "plan.validate_every=48",
        "plan.bf16=false",
        "device=cpu",
    ]
    one = command(*overrides, f"run={tmp_path / 'one'}", cwd=tmp_path)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    two = command(*torchrun, *overrides, f"run={tmp_path / 'two'}", cwd=tmp_path)
    assert one.returncode == two.returncode == 0, one.stderr + two.stderr
    first, second = (load_file(tmp_path / run / "weights.safetensors") for run in ("one", "two"))
    start = train_start(overrides)
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, atol=2e-5, rtol=1e-3)
    moved = sum(float((first[k] - start[k]).abs().sum()) for k in start)
    apart = sum(float((first[k] - second[k]).abs().sum()) for k in start)
    assert apart < 0.02 * moved


@pytest.mark.slow
def test_two_processes_train_context_networks_whatever_their_tiles_hold(tmp_path: Path) -> None:
    """One tile a process: often, one of the two has no perceptual tile for `adaptive` to see."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    overrides = [
        "experiment=codec_context",
        "data.tiles=32",
        "plan.batch=2",
        "plan.pictures=12",
        "plan.validate_every=100",
        "device=cpu",
        f"run={tmp_path}",
    ]
    done = command(*torchrun, str(ROOT / "train.py"), *overrides, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert load_file(tmp_path / BEST_WEIGHTS)


def train_start(overrides: list[str]) -> dict[str, Tensor]:
    """The weights that both trainings start from."""
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        config = compose("train", overrides[1:])
    torch.manual_seed(config.plan.seed)
    return hydra.utils.instantiate(config.task).network.state_dict()


@pytest.mark.slow
def test_the_debug_command_finishes_and_its_weights_work(tmp_path: Path) -> None:
    done = command(str(ROOT / "train.py"), "experiment=debug", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "best score" in done.stdout
    weights = tmp_path / "runs" / "debug" / "best.safetensors"
    done = command(str(ROOT / "evaluate.py"), f"weights={weights}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "transfer" / "report.html").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "arguments", "expected"),
    [
        ("train.py", ["plan.batch=many"], "plan.batch"),
        ("train.py", ["folders.photos=/nowhere"], "/nowhere"),
        ("train.py", ["experiment=debug", "device=tpu"], "tpu"),
        ("train.py", ["experiment=debug", "optim.lr=abc"], "str"),
        ("train.py", ["experiment=debug", "task.network.hidden=abc"], "task.network"),
        ("train.py", ["data=folder_pairs"], "data.filtered"),
        ("evaluate.py", ["strength=abc"], "strength"),
        ("evaluate.py", ["photos=/nowhere"], "/nowhere"),
        ("evaluate.py", ["strength=3"], "strength"),
        ("evaluate.py", ["study=look_benchmark"], "folders.kodak=, folders.looks="),
        ("evaluate.py", ["study=areas"], "folders.looks=, folders.people=, folders.street="),
        ("evaluate.py", ["areas=torchvision", "analysers.areas.model=no"], "no: expected one of"),
        ("evaluate.py", ["analysers.faces.model=none.onnx"], "none.onnx"),
        ("evaluate.py", ["template=a (1).jpg"], "'template=\"a (1).jpg\"'"),
        ("evaluate.py", ['template="a (1).jpg"'], "a (1).jpg: no such file"),
    ],
)
def test_wrong_values_are_one_sentence(
    script: str, arguments: list[str], expected: str, tmp_path: Path
) -> None:
    done = command(str(ROOT / script), *arguments, cwd=tmp_path)
    assert done.returncode != 0
    assert expected in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 3, done.stderr
