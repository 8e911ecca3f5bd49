"""`python -m codec`, and the command `dfc`."""

from collections.abc import Sequence

from codec.commands import shell
from codec.commands.parser import parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; for exit statuses see `shell.run`."""
    return shell.run("dfc", parser(), arguments)


def program() -> None:
    """The installed command."""
    shell.entry(main)


if __name__ == "__main__":
    program()
