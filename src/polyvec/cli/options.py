"""Types and options that commands share: what an argument may be is said once.

A path is never empty, since an empty one would mean the current folder; a text is valid Unicode; a number is finite.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import click

from polyvec.cli.lines import printable

_LARGEST = 10**9


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
NUMBER = NumberType()
COUNT = click.IntRange(1, _LARGEST)

index_argument = click.argument("index_path", metavar="INDEX", type=PATH)
docs_argument = click.argument("docs", metavar="DOCS", type=PATH_OR_DASH)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
model_option = click.option(
    "--model", metavar="M", type=NAME, help="Checkpoint folder or hub name. Default: the model that ships with polyvec."
)
dim_option = click.option(
    "--dim", type=COUNT, metavar="D", help="Which Matryoshka head to use.  [default: the model's own]"
)


strings_option = click.option("--strings", is_flag=True, help="Keep numbers and true/false in CSV and TSV as text.")
