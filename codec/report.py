"""What every study saves: figures with commit, versions and machine, and pages."""

import base64
import contextlib
import json
import platform
import subprocess
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import torch

from codec.pictures.devices import gpu_name
from codec.pictures.storage import write_atomically


class Report(NamedTuple):
    """What a study returns to evaluate.py: what it prints, and a sentence for each failure."""

    summary: str
    failures: list[str]


def provenance() -> dict[str, Any]:
    """Commit, versions, processor, GPU and threads, as JSON values."""
    return {
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "libraries": _libraries(),
        "processor": _processor(),
        "gpu": gpu_name(),
        "threads": torch.get_num_threads(),
    }


def _libraries() -> dict[str, str]:
    """Versions of those that encode and score, where they are installed."""
    found = {}
    for name in ("pillow", "imagecodecs", "opencolorio"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _commit() -> str:
    root = Path(__file__).parents[1]
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, first column left, the others right aligned."""
    lines = ["| " + " | ".join(header) + " |", "|---" + "|---:" * (len(header) - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def data_url(picture: bytes, kind: str = "png") -> str:
    """A picture file as the address of itself, for pages that need nothing else."""
    return f"data:image/{kind};base64," + base64.b64encode(picture).decode()


def render_page(
    template: Path, filters: dict[str, Callable[..., str]] | None = None, **values: Any
) -> bytes:
    """An HTML page from a jinja2 template; a value that it names and does not get is an error.

    Every template has the filter `url`, see `data_url`.

    Args:
        template: the file, beside the code that fills it.
        filters: by name, what the template calls besides.
        values: by name, what it shows.
    """
    import jinja2  # of the extra `report`; studies without pages do not need it

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update({"url": data_url} | (filters or {}))
    return environment.get_template(template.name).render(**values).encode()


def save_tables(
    name: str, sections: dict[str, list[dict[str, str]]], out: str, **more: Any
) -> Report:
    """Write tables as OUT/NAME.md, and with their provenance as OUT/NAME.json.

    Args:
        name: of the study.
        sections: by title, rows of cells by column.
        out: folder.
        more: JSON values that the record gets, too.
    """
    text = "\n\n".join(
        f"## {title}\n\n" + markdown_table(list(rows[0]), [list(row.values()) for row in rows])
        for title, rows in sections.items()
    )
    record = provenance() | {"sections": sections} | more
    write_atomically(Path(out) / f"{name}.json", json.dumps(record, indent=1).encode())
    write_atomically(Path(out) / f"{name}.md", f"{text}\n".encode())
    return Report(f"{text}\n\nsaved in {out}", [])
