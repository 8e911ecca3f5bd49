"""Write docs/commands.md from the commands' own help: `python docs/commands.py`."""

import argparse
import os
from pathlib import Path

from codec.commands.parser import parser as codec_parser
from defilter.__main__ import command_parser

HEAD = """# Commands

`defilter` and `dfc` are installed with the package; `python -m defilter` and `python -m codec` are
the same. This page is made from their `--help` by `make docs`; what all of them do with files is in
[files.md](files.md). The exit status is 0 if all went well, 1 if something failed, 2 for wrong
usage, 130 if it was stopped; what was written is whole in any case.
"""


def reference(title: str, parser: argparse.ArgumentParser) -> str:
    """The help of a program and of each of its commands."""
    return "\n".join([f"## {title}\n", *commands_of(title, parser)])


def commands_of(title: str, parser: argparse.ArgumentParser) -> list[str]:
    """The help of each of its commands, and of theirs."""
    parts: list[str] = []
    seen: list[argparse.ArgumentParser] = []
    for action in parser._actions:
        choices = action.choices if isinstance(action, argparse._SubParsersAction) else {}
        for name, command in choices.items():
            if command not in seen:
                seen.append(command)
                text = command.format_help().strip()
                parts.append(f"### {title} {name}\n\n```text\n{text}\n```\n")
                parts += commands_of(f"{title} {name}", command)
    return parts


def main() -> str:
    os.environ["COLUMNS"] = "100"
    pages = (reference("defilter", command_parser()), reference("dfc", codec_parser()))
    return "\n".join((HEAD, *pages))


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(main(), encoding="utf-8")
