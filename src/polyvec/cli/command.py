"""A command whose help ends with examples; the reference page shows them too, and a test runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click


class Command(click.Command):
    """A click command with examples: whole command lines, as somebody would type them."""

    def __init__(self, *arguments: Any, examples: Sequence[str] = (), **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.examples = tuple(examples)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples, one a line."""
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(f"{'':{formatter.current_indent}}{example}\n")


def command(name: str | None = None, *, examples: Sequence[str], help: str | None = None) -> Callable[..., Command]:
    """A decorator that makes a function a command.

    Args:
        name: The command's name; None for the function's.
        examples: Command lines that show its use, the simplest first.
        help: Its help; None for the function's docstring.

    Returns:
        The decorator.
    """
    return click.command(name, cls=Command, examples=examples, help=help)
