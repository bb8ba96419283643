"""docs/reference: generated pages are current, and every public name and method stands on one of them."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import polyvec

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = DOCS / "reference"

pytestmark = pytest.mark.skipif(not REFERENCE.is_dir(), reason="the tests of an installed package come without docs/")

# Packages whose names users import. Those of frameworks are read from their sources, as the frameworks may not be installed.
PUBLIC = ("polyvec", "polyvec.encoder", "polyvec.data", "polyvec.errors", "polyvec.modules", "polyvec.publish")
ADAPTERS = Path(polyvec.__file__).parent / "integrations"
NOT_ADAPTERS = {"__init__", "conditions", "target"}
# Steps of `polyvec index`, which only polyvec itself calls.
INTERNAL = {"create_resumable", "finish"}


def _shown() -> dict[str, str]:
    """What each `::: name` of a page asks for, with the options below it."""
    found = {}
    for page in REFERENCE.glob("*.md"):
        for name, options in re.findall(r"^::: ([\w.]+)\n((?:    .*\n)*)", page.read_text(encoding="utf-8"), re.M):
            found[name] = options
    return found


def _public_names() -> Iterator[str]:
    for package in PUBLIC:
        for name in importlib.import_module(package).__all__:
            if name != "__version__":
                yield f"{package}.{name}"
    for path in [*ADAPTERS.glob("*.py"), *ADAPTERS.glob("*/__init__.py")]:
        package = path.stem if path.parent == ADAPTERS else path.parent.name
        if package in NOT_ADAPTERS:
            continue
        text = path.read_text(encoding="utf-8")
        listed = re.search(r"^__all__ = \[(.*?)\]", text, re.M | re.S)
        names = re.findall(r'"(\w+)"', listed[1]) if listed else re.findall(r"^class ([A-Z]\w+)", text, re.M)
        assert names, path
        yield from (f"polyvec.integrations.{package}.{name}" for name in names)


def _covered(name: str, shown: dict[str, str]) -> bool:
    """Whether a page shows a name, the same thing under another one, or its whole module."""
    if name in shown or name.rpartition(".")[0] in shown:
        return True
    package, _, last = name.rpartition(".")
    if package.startswith("polyvec.integrations"):
        return False
    thing = getattr(importlib.import_module(package), last)
    if getattr(thing, "__module__", "") in shown:
        return True
    return any(_thing(other) is thing for other in shown if other.endswith(f".{last}"))


def _thing(name: str) -> object:
    package, _, last = name.rpartition(".")
    return getattr(importlib.import_module(package), last)


def test_every_public_name_is_in_the_reference() -> None:
    shown = _shown()
    assert [name for name in _public_names() if not _covered(name, shown)] == []


def test_every_public_method_is_in_the_reference() -> None:
    """A page that lists members lists them all."""
    for name, options in _shown().items():
        listed = re.search(r"members: \[([^\]]*)\]", options)
        if listed:
            members = [one.strip() for one in listed[1].split(",")]
            cls = _thing(name)
            there = {member for member, value in inspect.getmembers(cls) if not member.startswith("_")}
            assert set(members) == there - INTERNAL, name


def test_names_are_found_in_the_sources() -> None:
    """The builder would fail on a name that is not there, but it is not part of `make test`."""
    for name in _shown():
        if not name.startswith("polyvec.integrations"):
            assert _thing(name) is not None


def test_the_page_of_http_is_current() -> None:
    pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
    from tests.docs.http_page import PAGE, page

    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"


def test_the_page_of_recipe_keys_is_current() -> None:
    from tests.docs.recipe_page import PAGE, page

    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"


def test_the_tree_of_errors_is_complete() -> None:
    from polyvec import errors

    drawn = errors.__doc__ or ""
    for name in errors.__all__:
        assert re.search(rf"\b{name}\b", drawn), name


def test_the_picture_has_the_values_of_the_model() -> None:
    from tests.docs.picture import COLORS, IMAGES, drawn, similarities

    words_and_values = similarities()
    for mode in COLORS:
        there, now = (
            (IMAGES / f"late-interaction-{mode}.svg").read_text(encoding="utf-8"),
            drawn(*words_and_values, mode),
        )
        number = re.compile(r">(\d\.\d\d)<")
        assert [float(one) for one in number.findall(there)] == pytest.approx(
            [float(one) for one in number.findall(now)], abs=0.03
        ), "run `python -m tests.docs.picture`"
