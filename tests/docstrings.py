"""Whether a docstring in Google style says what the signature has: every argument, what is returned, errors that exist.

Knows the parts of a docstring, and nothing about which functions there are.
"""

from __future__ import annotations

import builtins
import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import click

import polyvec
from polyvec import errors

_SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises):$", re.M)
_ENTRY = re.compile(r"^    \*{0,2}(\w+): ", re.M)
_SEE = re.compile(r"[Ss]ee\s+`([\w.]+)`")
_NOTHING = ("None", None, "NoReturn", "Iterator[None]")


def problems_of(name: str, value: Any) -> list[str]:
    """What is missing or wrong in the docstring of a function, a method or a class."""
    found = sections(value.__doc__ or "")
    problems = [*_in_prose(found[""]), *_in_errors(found.get("Raises", ""))]
    problems += _in_class(value, found) if isinstance(value, type) else _in_function(value, found)
    return [f"{name}: {problem}" for problem in problems]


def sections(text: str) -> dict[str, str]:
    """The body of each section by its name, and under "" what stands before them."""
    parts = _SECTION.split(inspect.cleandoc(text))
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def _in_function(function: Callable[..., Any], found: dict[str, str]) -> Iterator[str]:
    """Every argument has its line; what comes out is said, if only by the first sentence where nothing goes in."""
    wanted = [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]
    named = _ENTRY.findall(found.get("Args", ""))
    if (seen := _SEE.search(found[""])) is not None:  # said there once for both
        yield from _in_reference(seen.group(1), set(wanted) - set(named))
        return
    if named != wanted:
        yield f"Args names {named}, the signature has {wanted}"
    nothing = function.__annotations__.get("return", "None") in _NOTHING
    said = "Returns" in found or "Yields" in found
    if nothing and said:
        yield "nothing is returned"
    if not nothing and not said and wanted:
        yield "what is returned is not said"


def _in_reference(place: str, wanted: set[str]) -> Iterator[str]:
    """What "see `Index.search`" leaves open: arguments that are not named there."""
    target: Any = polyvec
    for part in place.removeprefix("polyvec.").split("."):
        target = getattr(target, part, None)
    if target is None:
        yield f"it refers to {place}, which is not there"
    elif inspect.isroutine(target):
        there = {*inspect.signature(target).parameters, "keywords"}
        if wanted - there:
            yield f"it refers to {place}, which has no {sorted(wanted - there)}"


def _in_class(cls: type, found: dict[str, str]) -> Iterator[str]:
    """A dataclass names its fields, or has a comment beside or above each of them."""
    if not dataclasses.is_dataclass(cls):
        return
    wanted = [one.name for one in dataclasses.fields(cls) if not one.name.startswith("_")]
    named = _ENTRY.findall(found.get("Attributes", ""))
    if named != wanted and (named or not all(_has_comment(inspect.getsource(cls), field) for field in wanted)):
        yield f"Attributes names {named}, the fields are {wanted}"


def _has_comment(source: str, field: str) -> bool:
    above_or_beside = rf"(^    # [^\n]*\n    {field}: )|(^    {field}: [^\n]*(\n        [^\n]*)*# )"
    return re.search(above_or_beside, source, re.M) is not None


def _in_prose(prose: str) -> Iterator[str]:
    first = prose.strip().split("\n\n")[0]
    if not first.endswith(".") or "\n" in first:
        yield f"the docstring begins with {first!r}, which is not one sentence in one line"
    if re.search(r"\bRaises [A-Z]\w+Error", prose) or " · " in prose:
        yield "arguments or errors stand in the prose, not in a section"


def _in_errors(section: str) -> Iterator[str]:
    for error in _ENTRY.findall(section):
        kind = getattr(errors, error, getattr(builtins, error, getattr(click, error, None)))
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            yield f"Raises names {error}, which is no error"
    if section and not _ENTRY.search(section):
        yield "Raises names no error"
