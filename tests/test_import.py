"""Importing polyvec is light, and the modules depend on each other in one direction only."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import polyvec

SOURCE = Path(polyvec.__file__).parent
HEAVY = ("torch", "transformers", "sentence_transformers", "pyarrow", "matplotlib")

# bottom-up: a module may import only from those above it
ORDER = [
    "errors",
    "arguments",
    "atomic",
    "data",
    "scoring",
    "encoder",
    "modules",
    "index",
    "explain",
    "fusion",
    "search",
    "reranking",
    "incoming",
    "asking",
    "provenance",
    "collection",
    "building",
    "repairing",
    "evaluation",
    "training",
    "integrations",
    "demo",
    "benchmarking",
    "cli",
    "__main__",
]


def _run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    "code",
    [
        "import polyvec",
        "import polyvec; polyvec.Index, polyvec.SearchOptions, polyvec.maxsim, polyvec.rerank",
        "from polyvec.cli import main; main(['--help'])",
    ],
    ids=["package", "index", "help"],
)
def test_nothing_heavy_is_imported(code: str) -> None:
    loaded = _run(f"{code}\nimport sys; print('LOADED', *sorted(set(sys.modules) & {set(HEAVY)!r}))")
    assert loaded.rsplit("LOADED", 1)[1].split() == []


def test_vectors_are_searched_with_torch_absent(tmp_path: Path) -> None:
    code = f"""
import sys
for name in {HEAVY!r}:
    sys.modules[name] = None                      # an import of it now raises ImportError
import numpy as np, polyvec
rng = np.random.default_rng(0)
arrays = [rng.standard_normal((4, 8), dtype=np.float32) for _ in range(5)]
index = polyvec.Index.create({str(tmp_path / "v.polyvec")!r}, dim=8)
index.add_vectors([str(i) for i in range(5)], arrays)
index.close()
print(polyvec.Index.open({str(tmp_path / "v.polyvec")!r}).search_vectors(arrays[3], k=1)[0].id)
"""
    assert _run(code).strip() == "3"


def test_public_names_are_what_they_say() -> None:
    for name in polyvec.__all__:
        value = getattr(polyvec, name)
        assert value is not None
        assert not isinstance(value, type(sys)), f"polyvec.{name} is a module"
    with pytest.raises(AttributeError, match="no attribute 'Encodr'"):
        polyvec.Encodr  # noqa: B018


def test_imports_point_one_way() -> None:
    def stage(module: str) -> str:
        return module.split(".")[1] if module.count(".") else "__init__"

    wrong = []
    for path in SOURCE.rglob("*.py"):
        relative = path.relative_to(SOURCE).with_suffix("")
        own = relative.parts[0]
        if own == "__init__":
            continue
        assert own in ORDER, f"{path.name}: say in this test where {own} stands"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = []
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("polyvec."):
                modules = [node.module]
            elif isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names if alias.name.startswith("polyvec.")]
            for module in modules:
                used = stage(module)
                if used in ORDER and ORDER.index(used) > ORDER.index(own):
                    wrong.append(f"{relative} imports {module}")
    assert wrong == []
