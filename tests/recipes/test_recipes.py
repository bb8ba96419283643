"""The recipes that the repository holds, and the page that describes their keys."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from polyvec.training.recipe import Stage, read_recipe
from tests.training.recipe_keys import BEGIN, END, PAGE, rendered

RECIPES = sorted(path for path in PAGE.parents[1].glob("recipes/*.toml") if path.name != "expected.toml")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_can_be_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATA", "START", "SCORED", "E5", "TEACHER"):
        monkeypatch.setenv(name, f"a/{name.lower()}")
    recipe = read_recipe(path)
    assert recipe.output.startswith("runs/")
    assert all(one.path.startswith("a/") for one in recipe.data)


def test_there_is_a_recipe_of_every_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATA", "START", "SCORED", "E5", "TEACHER"):
        monkeypatch.setenv(name, "a")
    stages = {read_recipe(path).stage for path in RECIPES}
    assert stages == set(get_args(Stage))


def test_the_page_has_the_keys_as_they_are() -> None:
    """After a change: python -m tests.training.recipe_keys"""
    page = PAGE.read_text(encoding="utf-8")
    assert page.split(BEGIN)[1].split(END)[0] == rendered()


def test_the_page_names_files_that_exist() -> None:
    named = set(re.findall(r"recipes/[a-z-]+\.toml", PAGE.read_text(encoding="utf-8")))
    assert len(named) >= 5
    assert all((PAGE.parents[1] / name).is_file() for name in named)
