"""Types and options that commands share: what an argument may be is said once.

A path is never empty, since an empty one would mean the current folder; a text is valid Unicode; a number is finite.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from polyvec.cli.lines import printable

_LARGEST = 10**9

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class PathType(click.Path):
    """A path as the file system has it, UTF-8 or not. Nothing in it is expanded."""

    def __init__(self, *, exists: bool = False, allow_dash: bool = False) -> None:
        super().__init__(path_type=Path, exists=exists, allow_dash=allow_dash)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert(_not_empty(self, os.fspath(value), param, ctx), param, ctx)


class NameType(click.ParamType):  # type: ignore[type-arg]  # no such argument in click 8.1
    """A folder or the name of something: not empty. Folders whose names are not UTF-8 stay as they are."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return _not_empty(self, str(value), param, ctx)


class TextType(click.ParamType):  # type: ignore[type-arg]  # no such argument in click 8.1
    """Text: valid Unicode, read as UTF-8 where the locale is another."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if text.isascii() or _is_unicode(text):
            return text
        try:  # bytes that the locale could not read: they may be UTF-8 all the same
            return os.fsencode(text).decode("utf-8")
        except UnicodeError:
            self.fail(f"{printable(text, 60)} is not valid UTF-8. Give it in UTF-8.", param, ctx)


class FilterType(TextType):
    """A metadata filter as JSON."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from polyvec.data import parse_json

        text = super().convert(value, param, ctx)
        return parse_json(text, f"--filter {text[:80]}")


class CountType(click.ParamType):  # type: ignore[type-arg]  # no such argument in click 8.1
    """A whole number, at least 1."""

    name = "integer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number = int(value)
        except ValueError:
            number = 0
        if not 1 <= number <= _LARGEST:
            self.fail(f"{printable(str(value), 60)} is not a whole number from 1 to {_LARGEST:,}.", param, ctx)
        return number


class NumberType(click.types.FloatParamType):
    """A finite number."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{printable(str(value), 60)} is not a finite number.", param, ctx)
        return number


def _not_empty(
    kind: click.ParamType,  # type: ignore[type-arg]
    text: str,
    param: click.Parameter | None,
    ctx: click.Context | None,
) -> str:
    if not text:
        kind.fail("it is empty. Give a name; the current folder is `.`.", param, ctx)
    if "\0" in text:
        kind.fail(f"{printable(text, 60)} holds a NUL character, which no name can.", param, ctx)
    return text


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


PATH = PathType()
PATH_OR_DASH = PathType(allow_dash=True)
EXISTING_PATH = PathType(exists=True)
NAME = NameType()
TEXT = TextType()
FILTER = FilterType()
NUMBER = NumberType()
COUNT = CountType()

index_argument = click.argument("index_path", metavar="INDEX", type=PATH)
docs_argument = click.argument("docs", metavar="DOCS", type=PATH_OR_DASH)

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
model_option = click.option(
    "--model",
    metavar="M",
    type=NAME,
    help="Checkpoint folder or hub name.  [default: the model that ships with polyvec]",
)
dim_option = click.option(
    "--dim", type=COUNT, metavar="D", help="Which Matryoshka head to use.  [default: the model's own]"
)
nbits_option = click.option(
    "--nbits",
    type=COUNT,
    metavar="B",
    help="Bits a dimension of a stored vector: 1, 2, 4, 8, or 16 for fp16.  [default: 4]",
)
pool_factor_option = click.option(
    "--pool-factor",
    type=NUMBER,
    metavar="F",
    default=1.0,
    show_default=True,
    help="Keep about 1/F of a document's vectors.",
)
strings_option = click.option("--strings", is_flag=True, help="Keep numbers and true/false in CSV and TSV as text.")
processes_option = click.option(
    "--processes",
    type=COUNT,
    default=1,
    show_default=True,
    metavar="N",
    help="Encode in N processes, each with a model of its own; for large machines.",
)
filter_option = click.option(
    "--filter",
    "condition",
    metavar="JSON",
    type=FILTER,
    help='Metadata filter, \'{"lang": "de", "year": {"$gte": 2000}}\'.',
)
queries_option = click.option(
    "--queries",
    type=PATH_OR_DASH,
    help="A file of queries: .jsonl, .csv, .tsv, .txt (one a line) or .parquet; - reads stdin.",
)
run_in_option = click.option("--run-in", type=PATH, metavar="RUN", help="Read this TREC run.")
run_out_option = click.option("--run-out", type=PATH_OR_DASH, metavar="RUN", help="Write a TREC run; - is stdout.")
tag_option = click.option(
    "--tag", type=TEXT, default="polyvec", show_default=True, help="Name of the system in the TREC run."
)
split_option = click.option(
    "--split", type=TEXT, help="Which qrels of a BEIR folder.  [default: test, or the only one]"
)
threads_option = click.option(
    "--threads", type=COUNT, default=None, help="Threads to search with.  [default: all cores]"
)
mode_option = click.option(
    "--mode",
    type=click.Choice(["late", "keyword", "hybrid"]),
    default="late",
    show_default=True,
    help="MaxSim, BM25, or both fused.",
)


def k_option(default: int | None, counted: str = "Hits a query.") -> Callable[[Decorated], Decorated]:
    """The option -k.

    Args:
        default: Its default; None where something below has one, 10.
        counted: What it counts, for the help.

    Returns:
        The decorator.
    """
    text = counted if default is not None else f"{counted}  [default: 10]"
    return click.option("-k", type=COUNT, default=default, show_default=default is not None, help=text)


def probing_options(decorated: Decorated) -> Decorated:
    """The options that say how much of an index is searched: --exact, --recall, --nprobe and --candidates.

    Args:
        decorated: The function of a command.

    Returns:
        The function with the options.
    """
    options = (
        click.option("--exact", is_flag=True, help="Score every document; no candidate generation."),
        click.option(
            "--recall",
            type=NUMBER,
            metavar="R",
            help="Probe as much as finds this share of the exact top 10, such as 0.99.",
        ),
        click.option(
            "--nprobe", type=COUNT, metavar="N", help="Centroids to probe for each query token.  [default: 16]"
        ),
        click.option(
            "--candidates",
            type=COUNT,
            metavar="N",
            help="Documents to score approximately; an eighth is scored in full.  [default: what comes near enough]",
        ),
    )
    for option in reversed(options):
        decorated = option(decorated)
    return decorated
