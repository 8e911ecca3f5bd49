"""Run a study: `python evaluate.py`, `python evaluate.py template=T.jpg photos=DIR out=OUT`."""

import os
import sys

import hydra
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf


@hydra.main(version_base="1.3", config_path="configs", config_name="evaluate")
def main(config: DictConfig) -> None:
    """Instantiate a study, run it, print its summary. Any file that failed makes the status 1."""
    missing = [str(key) for key in config if OmegaConf.is_missing(config, key)]
    if missing:
        sys.exit(f"evaluate.py: expected a value for {', '.join(f'{key}=' for key in missing)}")
    try:
        result = hydra.utils.instantiate(config.run)()
    except (ValueError, TypeError, OSError, InstantiationException) as error:
        if "HYDRA_FULL_ERROR" in os.environ:
            raise
        hint = "; HYDRA_FULL_ERROR=1 shows more" if isinstance(error, TypeError) else ""
        wrapped = isinstance(error, InstantiationException) and error.__cause__
        reason = " ".join(str(wrapped or error).split())
        sys.exit(f"evaluate.py: {reason}{hint}")
    for failure in result.failures:
        print(f"evaluate.py: {failure}", file=sys.stderr)
    print(result.summary)
    if result.failures:
        sys.exit(1)


if __name__ == "__main__":
    main()
