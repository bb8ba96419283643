"""Public names say in Google style what they take, give and raise; so do the functions of the packages that users read first."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any

import click
import pytest

import polyvec
from polyvec import Index
from tests.docstrings import problems_of

PACKAGES = (
    "polyvec.collection",
    "polyvec.search",
    "polyvec.shards",
    "polyvec.scoring",
    "polyvec.arguments",
    "polyvec.errors",
    "polyvec.cli",
)


def with_methods(name: str, cls: type) -> Iterator[tuple[str, Any]]:
    """A class and its public methods, inherited ones of polyvec's included."""
    yield name, cls
    for method, value in inspect.getmembers(cls, inspect.isroutine):
        function = getattr(value, "__func__", value)
        if not method.startswith("_") and getattr(function, "__module__", "").startswith("polyvec"):
            yield f"{name}.{method}", function


def public() -> Iterator[tuple[str, Any]]:
    for name in polyvec.__all__:
        value = getattr(polyvec, name)
        if isinstance(value, type):
            yield from with_methods(name, value)
        elif callable(value):
            yield name, value


def functions() -> Iterator[tuple[str, Any]]:
    """Public functions and dataclasses of the packages; commands say what they do in their help."""
    for package in map(importlib.import_module, PACKAGES):
        inside = pkgutil.iter_modules(getattr(package, "__path__", []), f"{package.__name__}.")
        for module in (package, *(importlib.import_module(one.name) for one in inside)):
            for name, value in vars(module).items():
                here = getattr(value, "__module__", "") == module.__name__ and not name.startswith("_")
                kept = inspect.isfunction(value) or (isinstance(value, type) and dataclasses.is_dataclass(value))
                if here and kept and not isinstance(value, click.Command):
                    yield f"{module.__name__}.{name}", value


PUBLIC = {**dict(public()), **dict(functions())}


@pytest.mark.parametrize("name", PUBLIC)
def test_docstrings_say_what_signatures_have(name: str) -> None:
    assert problems_of(name, PUBLIC[name]) == []


def test_the_test_sees_what_is_there() -> None:
    assert {"Index", "Index.search", "Index.create", "Encoder.encode_query", "maxsim", "Hit.explain"} <= PUBLIC.keys()
    assert {"polyvec.arguments.flag", "polyvec.search.fusion.by_rank", "polyvec.cli.render.print_hits"} <= PUBLIC.keys()
    assert set(polyvec.__all__) - {"__version__"} <= {name.split(".")[0] for name in PUBLIC}


def test_the_checker_finds_what_is_wrong() -> None:
    def wrong(one: int, two: int) -> int:
        """Adds, and Raises InputError for nothing.

        Args:
            two: Second.
            one: First.

        Raises:
            NoSuchThing: Never.
        """
        return one + two

    found = " ".join(problems_of("wrong", wrong))
    for word in ("Args names ['two', 'one']", "not said", "NoSuchThing", "in the prose"):
        assert word in found
    assert problems_of("Index.search", Index.search) == []
    wrong.__doc__ = "Adds; see `Index.search`."
    assert "has no ['one', 'two']" in " ".join(problems_of("wrong", wrong))
    wrong.__doc__ = "Adds; see `Index.nothing`."
    assert "not there" in " ".join(problems_of("wrong", wrong))
    wrong.__doc__ = "No sentence"
    assert "not one sentence" in " ".join(problems_of("wrong", wrong))

    @dataclasses.dataclass
    class Bare:
        """Fields that nobody explains."""

        field: int

    assert "the fields are ['field']" in " ".join(problems_of("Bare", Bare))
