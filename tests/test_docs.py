"""The documents name only what exists."""

import argparse
import re
from pathlib import Path
from typing import Any

import pytest

from codec.commands.parser import parser as codec_parser
from codec.pictures.metadata_formats import ROOM
from defilter.__main__ import command_parser
from tests.conftest import colourful

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "@@" not in text
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("http") or (page.parent / target).exists(), target


def test_the_front_page_stays_short() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 120
    assert [line for line in lines if len(line) > 120] == []


@pytest.mark.parametrize("parser", [codec_parser(), command_parser()], ids=lambda p: p.prog)
def test_the_command_reference_knows_every_option(parser: argparse.ArgumentParser) -> None:
    """`make docs` writes it; argparse lays it out otherwise in every version of Python."""
    page = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    for name, command in commands.choices.items():
        heading = f"### {parser.prog} {name}\n"
        if name == "optimize":  # another spelling
            continue
        section = page.split(heading)[1].split("###")[0]
        for action in command._actions:
            assert all(option in section for option in action.option_strings), action


def test_configs_begin_with_what_they_are() -> None:
    for path in sorted((ROOT / "configs").rglob("*.yaml")):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith("#") or path.parent.name == "optim", path
        if path.parent.name in ("experiment", "study", "fit"):
            assert lines[0] == "# @package _global_", path
            assert "python" in lines[1] + lines[2], path


def test_the_example_of_the_codec_runs() -> None:
    (example,) = re.findall(r"```python\n(import codec.*?)```", PAGES[0].read_text("utf-8"), re.S)
    names: dict[str, Any] = {"picture": colourful(40, 48)}
    exec(example, names)
    assert names["picture"].shape == (3, 40, 48) and names["found"].reached


def test_the_table_of_metadata_is_what_is_written() -> None:
    text = (ROOT / "docs/files.md").read_text(encoding="utf-8")
    table = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in re.findall(r"^  \|.*$", text, re.M)
    ]
    (_, *kinds), _, *rows = table
    said = {
        name: tuple(k for k, cell in zip(kinds, cells, strict=True) if cell != "no")
        for name, *cells in rows
    }
    assert {name: room for name, room in said.items() if room} == ROOM
