"""Train a network: `python train.py`, `python train.py experiment=debug`, or with torchrun."""

import os
import re
import sys
from pathlib import Path

import hydra
import torch
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from defilter.learn.loop import fit
from defilter.learn.runtime import start_runtime, stop_runtime


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
        make_optimiser = hydra.utils.instantiate(config.optim)
        result = fit(task, data, make_optimiser, plan, run, runtime, OmegaConf.to_container(config))
    except (ValueError, TypeError, OSError, InstantiationException) as error:
        if "HYDRA_FULL_ERROR" in os.environ:
            raise
        hint = "; HYDRA_FULL_ERROR=1 shows more" if isinstance(error, TypeError) else ""
        reason = " ".join(str(error.__cause__ or error).split())
        key = re.search(r"full_key: (\S+)", str(error))
        where = f" (at {key[1]})" if key else ""
        sys.exit(f"train.py: {reason}{where}{hint}")
    finally:
        stop_runtime()
    if runtime.is_main:
        print(f"{result.pictures:,} pictures, best {plan.monitor} {result.best:.2f}: {run}")
    return result.best


if __name__ == "__main__":
    main()
