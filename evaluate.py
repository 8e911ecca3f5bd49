"""Measure or fit: `python evaluate.py`, `python evaluate.py study=NAME`, `... fit=NAME`."""

import os
import sys

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, InstantiationException
from omegaconf import DictConfig, OmegaConf


@hydra.main(version_base="1.3", config_path="configs", config_name="evaluate")
def main(config: DictConfig) -> None:
    """Instantiate a study, run it, print its summary. Any file that failed makes the status 1."""
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        sys.exit(f"evaluate.py: expected a value for {', '.join(f'{key}=' for key in missing)}")
    try:
        report = hydra.utils.instantiate(config, _convert_="all")()
    except (ValueError, TypeError, OSError, InstantiationException) as error:
        if "HYDRA_FULL_ERROR" in os.environ:
            raise
        hint = "; HYDRA_FULL_ERROR=1 shows more" if isinstance(error, TypeError) else ""
        wrapped = isinstance(error, InstantiationException) and error.__cause__
        reason = " ".join(str(wrapped or error).split())
        sys.exit(f"evaluate.py: {reason}{hint}")
    for failure in report.failures:
        print(f"evaluate.py: {failure}", file=sys.stderr)
    print(report.summary)
    if report.failures:
        sys.exit(1)


def check_quotes(arguments: list[str]) -> None:
    """Say how to write a name that Hydra cannot read, such as one with spaces or brackets."""
    parser = OverridesParser.create()
    for argument in (a for a in arguments if "=" in a and not a.startswith("-")):
        key, value = argument.split("=", 1)
        try:
            parser.parse_override(argument)
        except HydraException:
            quoted = "'" + f'{key}="{value}"' + "'"
            sys.exit(
                f"evaluate.py: {argument}: expected names with spaces, brackets, commas or equals "
                f"signs in two pairs of quotes, such as {quoted}"
            )


if __name__ == "__main__":
    check_quotes(sys.argv[1:])
    main()
