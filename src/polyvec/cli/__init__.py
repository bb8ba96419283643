"""The `polyvec` command: parses arguments, prints results, turns errors into one line and an exit code.

Exit codes: 0 done, 1 failed, 2 bad usage or bad input, 130 interrupted. No logic lives here; commands load on first use.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
import traceback
from collections.abc import Sequence

import click

import polyvec
from polyvec.cli.lines import printable, shortened
from polyvec.cli.streams import drop_output, flush_output, prepare_streams, settle_messages
from polyvec.errors import InputError, PolyvecError

logger = logging.getLogger("polyvec")

_LONGEST_MESSAGE = 1200  # characters of an error that are shown
_GROUPS = {
    "Make and keep an index": {
        "index": "polyvec.cli.index:index",
        "add": "polyvec.cli.add:add",
        "update": "polyvec.cli.add:update",
        "delete": "polyvec.cli.delete:delete",
        "compact": "polyvec.cli.compact:compact",
        "scan": "polyvec.cli.scan:scan",
        "info": "polyvec.cli.info:info",
        "verify": "polyvec.cli.verify:verify",
        "repair": "polyvec.cli.repair:repair",
        "copy": "polyvec.cli.copy:copy",
        "shard": "polyvec.cli.shard:shard",
    },
    "Publish": {
        "publish": "polyvec.cli.publish:publish",
        "pull": "polyvec.cli.publish:pull",
        "follow": "polyvec.cli.publish:follow",
    },
    "Ask": {
        "search": "polyvec.cli.search:search",
        "rerank": "polyvec.cli.rerank:rerank",
        "demo": "polyvec.cli.demo:demo",
    },
    "Serve": {
        "serve": "polyvec.cli.serve:serve",
        "mcp": "polyvec.cli.mcp:mcp",
    },
    "Many machines": {
        "cluster": "polyvec.cli.cluster:cluster",
    },
    "Judge": {
        "evaluate": "polyvec.cli.evaluate:evaluate",
        "ablate": "polyvec.cli.ablate:ablate",
        "reproduce": "polyvec.cli.reproduce:reproduce",
        "bench": "polyvec.cli.bench:bench",
    },
    "Models": {
        "encode": "polyvec.cli.encode:encode",
        "convert": "polyvec.cli.convert:convert",
        "doctor": "polyvec.cli.doctor:doctor",
        "tune": "polyvec.cli.tune:tune",
        "train": "polyvec.cli.train:train",
        "mine": "polyvec.cli.mine:mine",
        "teach": "polyvec.cli.teach:teach",
    },
}
_COMMANDS = {name: place for group in _GROUPS.values() for name, place in group.items()}


class _Commands(click.Group):
    """A group that imports a command's module only when the command is used or listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            if cmd_name.startswith("-"):
                return None
            import difflib  # for this message only

            nearest = difflib.get_close_matches(cmd_name, _COMMANDS, n=1)
            hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
            raise click.UsageError(f"No such command '{printable(cmd_name, 60)}'.{hint}", ctx)
        module, name = _COMMANDS[cmd_name].split(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands in groups, each with the first sentence of its help in one line."""
        for title, names in _GROUPS.items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            with formatter.section(title):
                formatter.write_dl([(name, command.get_short_help_str(64)) for name, command in commands if command])


class _LineFormatter(logging.Formatter):
    """One printable line a record."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # logging's own name
        return printable(" ".join(super().formatMessage(record).split()))


class _StderrHandler(logging.StreamHandler):  # type: ignore[type-arg]  # no such argument in Python 3.10
    """Where stderr is broken, a record is dropped: nothing is left to say it on."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(polyvec.__version__, prog_name="polyvec")
@click.option("-v", "--verbose", is_flag=True, help="Log what happens, to stderr.")
def cli(verbose: bool) -> None:
    """Multilingual late-interaction retrieval: index documents, ask questions, see why they matched."""
    handler = _StderrHandler()
    handler.setFormatter(_LineFormatter("polyvec: %(levelname)s: %(message)s"))
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.WARNING)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: Its words; None for those of the process.

    Returns:
        The exit code.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    prepare_streams()
    try:
        code = _run(arguments)
        flush_output()
        settle_messages()
        return code
    except BrokenPipeError:
        drop_output()
        return 1
    except (KeyboardInterrupt, click.Abort):
        return _fail("Interrupted.", 130)
    except MemoryError:
        return _fail("Out of memory. Lower the batch size or index in smaller parts.", 1)
    except RecursionError:
        return _fail("Something in the input is nested too deeply to be read.", 2)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx is not None else "polyvec"
        return _fail(f"{error.format_message()} See `{command} --help`.", 2)
    except click.ClickException as error:
        return _fail(error.format_message(), 1)
    except InputError as error:
        return _fail(str(error), 2)
    except PolyvecError as error:
        return _fail(str(error), 1)
    except OSError as error:
        where = f"{printable(error.filename)}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}.", 1)
    except Exception as error:  # the last door: a fault of our own is one line as well, and says that it is ours
        logger.debug("the fault below is of polyvec itself", exc_info=True)
        file, number, *_ = traceback.extract_tb(error.__traceback__)[-1]
        return _fail(
            f"A fault of polyvec itself, {type(error).__name__}: {error} ({os.path.basename(file)}:{number}). Please report it; "
            "`polyvec -v` shows where it comes from.",
            1,
        )


def _run(arguments: Sequence[str] | None) -> int:
    if "_POLYVEC_COMPLETE" in os.environ:
        cli.main(prog_name="polyvec")  # answers the shell, and leaves
    try:
        with cli.make_context("polyvec", list(sys.argv[1:] if arguments is None else arguments)) as context:
            result = cli.invoke(context)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 2
    except click.exceptions.Exit as error:
        return error.exit_code
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    return result if isinstance(result, int) else 0


def _fail(message: str, code: int) -> int:
    """One line on stderr; nothing is left to do where that is closed, full or broken."""
    try:
        flush_output()
    except OSError:
        drop_output()
    label = "polyvec:" if os.environ.get("NO_COLOR") else click.style("polyvec:", fg="red", bold=True)
    with contextlib.suppress(OSError):
        click.echo(f"{label} {printable(shortened(' '.join(message.split()), _LONGEST_MESSAGE))}", err=True)
    settle_messages()
    return code
