"""The pictures and tables of docs/benchmarks.md come from the result files as they are now."""

from __future__ import annotations

import html
import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
if not (ROOT / "benchmarks" / "plots.py").is_file():
    pytest.skip("the tests of an installed package come without benchmarks/", allow_module_level=True)


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


plots, engine_report = _load("plots"), _load("engine_report")
sys.modules["engine_report"] = engine_report  # as the next one imports it
anchors_report = _load("anchors_report")
del sys.modules["engine_report"]


def _numbers(picture: Path) -> Any:
    (found,) = re.findall(r"<dc:description>(.*?)</dc:description>", picture.read_text(encoding="utf-8"), re.S)
    return json.loads(html.unescape(found))


@pytest.mark.parametrize("name", plots.PICTURES)
def test_a_picture_is_drawn_from_the_results_as_they_are(name: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    source, data_of, _, _ = plots.PICTURES[name]
    expected = data_of(plots.read_lines(source))
    assert len(expected) >= 4
    assert _numbers(plots.draw(name, tmp_path)) == expected
    assert _numbers(plots.IMAGES / f"{name}.svg") == expected, "run python benchmarks/plots.py"
    assert (plots.IMAGES / f"{name}.svg").stat().st_size < 100_000


def test_every_drawn_picture_is_shown() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert [name for name in plots.PICTURES if f"](images/{name}.svg)" not in page] == []


def test_the_engines_tables_are_those_of_the_results(tmp_path: Path) -> None:
    lines, page = plots.read_lines("engine"), ROOT / "docs" / "benchmarks.md"
    copy = tmp_path / "benchmarks.md"
    copy.write_text(page.read_text(encoding="utf-8"), encoding="utf-8")
    engine_report.write(lines, tmp_path, copy)
    told = "run python benchmarks/engine.py --part report"
    assert copy.read_text(encoding="utf-8") == page.read_text(encoding="utf-8"), told
    kept = ROOT / "benchmarks" / "results" / "engine.md"
    assert (tmp_path / "engine.md").read_text(encoding="utf-8") == kept.read_text(encoding="utf-8"), told


def test_the_anchors_tables_are_those_of_the_results(tmp_path: Path) -> None:
    page = ROOT / "docs" / "benchmarks.md"
    copy = tmp_path / "benchmarks.md"
    copy.write_text(page.read_text(encoding="utf-8"), encoding="utf-8")
    anchors_report.write(plots.read_lines("anchors"), tmp_path, copy)
    told = "run python benchmarks/engine.py --part report"
    assert copy.read_text(encoding="utf-8") == page.read_text(encoding="utf-8"), told
    kept = ROOT / "benchmarks" / "results" / "anchors.md"
    assert (tmp_path / "anchors.md").read_text(encoding="utf-8") == kept.read_text(encoding="utf-8"), told


def test_the_frontier_leaves_out_what_is_slower_and_no_better() -> None:
    points = [(3.0, 0.7), (1.0, 0.5), (2.0, 0.5), (2.5, 0.9), (1.0, 0.4), (9.0, 0.95)]
    assert plots.frontier(points) == [(1.0, 0.5), (2.5, 0.9), (9.0, 0.95)]


def test_a_page_without_a_place_for_a_table_is_refused() -> None:
    with pytest.raises(ValueError, match="once into the page; found 0 times"):
        engine_report.with_tables(plots.read_lines("engine"), "# no tables here")
