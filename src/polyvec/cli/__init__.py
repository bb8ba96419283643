"""The `polyvec` command: parses arguments, prints results, turns errors into one line and an exit code.

Exit codes: 0 done, 1 failed, 2 bad usage or bad input, 130 interrupted. No logic lives here; commands load on first use.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Sequence

import click

import polyvec
from polyvec.errors import InputError, PolyvecError

_COMMANDS = {
    "index": "polyvec.cli.keep:index",
    "add": "polyvec.cli.keep:add",
    "update": "polyvec.cli.keep:update",
    "delete": "polyvec.cli.keep:delete",
    "compact": "polyvec.cli.keep:compact",
    "info": "polyvec.cli.keep:info",
    "verify": "polyvec.cli.keep:verify",
    "repair": "polyvec.cli.keep:repair",
    "copy": "polyvec.cli.keep:copy",
    "search": "polyvec.cli.find:search",
    "rerank": "polyvec.cli.find:rerank",
    "evaluate": "polyvec.cli.evaluate:evaluate",
    "ablate": "polyvec.cli.trials:ablate",
    "reproduce": "polyvec.cli.trials:reproduce",
    "train": "polyvec.cli.train:train",
    "mine": "polyvec.cli.train:mine",
    "teach": "polyvec.cli.train:teach",
    "bench": "polyvec.cli.bench:bench",
    "demo": "polyvec.cli.demo:demo",
    "encode": "polyvec.cli.model:encode",
    "convert": "polyvec.cli.model:convert",
    "doctor": "polyvec.cli.model:doctor",
}


class _Commands(click.Group):
    """A group that imports a command's module only when the command is used or listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, name = _COMMANDS[cmd_name].split(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(polyvec.__version__, prog_name="polyvec")
@click.option("-v", "--verbose", is_flag=True, help="Log what happens, to stderr.")
def cli(verbose: bool) -> None:
    """Multilingual late-interaction retrieval: index documents, ask questions, see why they matched."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("polyvec: %(levelname)s: %(message)s"))
    logger = logging.getLogger("polyvec")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.WARNING)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the return value is the exit code."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    try:
        result = cli.main(args=arguments, prog_name="polyvec", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 2
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx is not None else "polyvec"
        return _fail(f"{' '.join(error.format_message().split())} See `{command} --help`.", 2)
    except click.ClickException as error:
        return _fail(error.format_message(), 1)
    except InputError as error:
        return _fail(str(error), 2)
    except PolyvecError as error:
        return _fail(str(error), 1)
    except (KeyboardInterrupt, click.Abort):
        return _fail("Interrupted.", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}.", 1)
    except MemoryError:
        return _fail("Out of memory. Lower the batch size or index in smaller parts.", 1)


def _fail(message: str, code: int) -> int:
    click.echo(f"{click.style('polyvec:', fg='red', bold=True)} {' '.join(message.split())}", err=True)
    return code
