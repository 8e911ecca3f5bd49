"""Train a network: `python train.py`, `python train.py experiment=debug`, or with torchrun."""

import logging
import sys
from pathlib import Path

import hydra
import torch
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from defilter.loop import fit
from defilter.runtime import start_runtime, stop_runtime

logger = logging.getLogger(__name__)


@hydra.main(version_base="1.3", config_path="configs", config_name="train")
def main(config: DictConfig) -> float:
    """Instantiate task, data and optimiser; fit. Returns the best validation figure."""
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        sys.exit(f"train.py: expected a value for {', '.join(f'{key}=' for key in missing)}")
    try:
        OmegaConf.resolve(config)
        run = Path(config.run)
        runtime = start_runtime(config.device)
        plan = hydra.utils.instantiate(config.plan)
        torch.manual_seed(plan.seed)
        task = hydra.utils.instantiate(config.task)
        data = hydra.utils.instantiate(config.data)
        optimiser = hydra.utils.instantiate(config.optim)
        architecture = OmegaConf.to_container(config.task.network)
        result = fit(task, data, optimiser, plan, run, runtime, architecture)
    except (ValueError, OSError, InstantiationException) as error:
        cause = error.__cause__ if isinstance(error, InstantiationException) else error
        sys.exit(f"train.py: {cause}")
    finally:
        stop_runtime()
    if runtime.is_main:
        print(f"{result.pictures:,} pictures, best {plan.monitor} {result.best:.2f}: {run}")
    return result.best


if __name__ == "__main__":
    main()
