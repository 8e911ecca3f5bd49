"""Run a study: `python evaluate.py`, `python evaluate.py template=T.jpg photos=DIR out=OUT`."""

import logging
import sys

import hydra
from omegaconf import DictConfig, OmegaConf

logger = logging.getLogger(__name__)


@hydra.main(version_base="1.3", config_path="configs", config_name="evaluate")
def main(config: DictConfig) -> None:
    """Instantiate a study, run it, print its summary. Any file that failed makes the status 1."""
    missing = sorted(key for key in OmegaConf.missing_keys(config) if "." not in key)
    if missing:
        sys.exit(f"evaluate.py: expected a value for {', '.join(f'{key}=' for key in missing)}")
    try:
        result = hydra.utils.instantiate(config.run)()
    except (ValueError, OSError) as error:
        sys.exit(f"evaluate.py: {error}")
    for failure in result.failures:
        print(f"evaluate.py: {failure}", file=sys.stderr)
    print(result.summary)
    if result.failures:
        sys.exit(1)


if __name__ == "__main__":
    main()
