"""A command whose help ends with examples; the reference page shows them too, and a test runs them. And a family of commands."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
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


class Family(click.Group):
    """Commands below one name, whose modules are imported only when they are used or listed."""

    def __init__(self, *arguments: Any, commands_at: Mapping[str, str], **settings: Any) -> None:
        """commands_at: by name, the place of each, as module:function."""
        super().__init__(*arguments, **settings)
        self._commands_at = dict(commands_at)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._commands_at)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._commands_at:
            return None
        module, name = self._commands_at[cmd_name].split(":")
        found: click.Command = getattr(importlib.import_module(module), name)
        return found


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
