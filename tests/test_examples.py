"""examples/: every program and notebook is short, runs from an empty folder, and prints what was kept of it."""

from __future__ import annotations

import json

import pytest

from tests.example_outputs import EXAMPLES, NOTEBOOKS, PROGRAMS, differences, kept, run

pytestmark = pytest.mark.skipif(
    not EXAMPLES.is_dir(), reason="the tests of an installed package come without examples/"
)

HEAVY = {"evaluate_languages", "fine_tune", "own_vectors", "citations"}  # more than a few seconds, or torch


def test_the_lists_name_every_example() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.ipynb")} == set(NOTEBOOKS)
    assert {path.stem for path in EXAMPLES.glob("*.py") if not path.stem.startswith("rag_")} == set(PROGRAMS)
    assert {path.stem for path in (EXAMPLES / "output").iterdir()} == set(PROGRAMS)
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert [
        path.name for path in EXAMPLES.iterdir() if path.is_file() and path.name not in (*page.split("`"), "README.md")
    ] == []


def test_every_example_is_short() -> None:
    for name in PROGRAMS:
        assert len((EXAMPLES / f"{name}.py").read_text(encoding="utf-8").splitlines()) < 60, name
    for name in NOTEBOOKS:
        cells = json.loads((EXAMPLES / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
        assert sum(len(cell["source"]) for cell in cells if cell["cell_type"] == "code") < 60, name


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.heavy if name in HEAVY else []) for name in PROGRAMS]
)
@pytest.mark.timeout(900)
def test_a_program_prints_what_was_kept(name: str) -> None:
    if name == "fine_tune":
        pytest.importorskip("torch", reason="torch is not installed")
    assert differences(run(name), kept(name)) == []


@pytest.mark.heavy
@pytest.mark.parametrize("name", NOTEBOOKS)
@pytest.mark.timeout(900)
def test_a_notebook_prints_what_was_kept(name: str) -> None:
    pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    assert differences(run(name), kept(name)) == []


@pytest.mark.parametrize(
    ("found", "expected", "number"),
    [
        ("a 0.71\nb\n", "a 0.73 \nb\n", 0),
        ("a 0.71\nb\n", "a 0.80\nb\n", 1),
        ("c 0.71\n", "a 0.71\n", 1),
        ("a\n", "a\nb\n", 1),
        ("a 12\n", "a 13\n", 1),
        ("0.5 ####\n", "0.51 #####\n", 0),
    ],
)
def test_numbers_may_differ_a_little_and_words_not_at_all(found: str, expected: str, number: int) -> None:
    assert len(differences(found, expected)) == number
