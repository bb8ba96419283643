"""Importing polyvec is light; files depend on each other in one direction only; public names are the promised ones."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import polyvec

SOURCE = Path(polyvec.__file__).parent
HEAVY = ("torch", "transformers", "sentence_transformers", "pyarrow", "matplotlib")

# Bottom-up: a file may import only from its own stage and those above it. The longest name that fits a file is its stage.
STAGES = [
    "version",
    "errors",
    "arguments",
    "deadlines",
    "atomic",
    "data",
    "scoring",
    "encoder",
    "encoder.model_folder",
    "encoder.description",
    "encoder.torch",
    "encoder.heads",
    "encoder.bigrams",
    "encoder.checkpoints",
    "encoder.native",
    "encoder.torch.model",
    "encoder.parallel",
    "encoder.encoder",
    "encoder.in_processes",
    "encoder.torch.doctor",
    "encoder.doctor",
    "encoder.__init__",
    "modules",
    "index.__init__",
    "index.forks",
    "index.lock",
    "index.format",
    "index.catalog",
    "index.kernels",
    "index.definitions",
    "index.codec",
    "index.engine.options",
    "index.engine.protocol",
    "index.segment",
    "index.coded_segment",
    "index.engine",
    "index.place",
    "index.reader",
    "index.views",
    "index.folder",
    "index.upkeep",
    "index.writing",
    "index.recovery",
    "index.copying",
    "index.session",
    "search",
    "collection",
    "shards.__init__",
    "shards.routing",
    "shards.manifest",
    "shards.calls",
    "shards.commit_lock",
    "shards.keywords",
    "shards.catalog",
    "shards.view",
    "shards.session",
    "shards.upkeep",
    "shards.writing",
    "shards.shards",
    "shards.splitting",
    "shards.opening",
    "publish.store",
    "publish.manifest",
    "publish.blocks",
    "publish.pulled_folder",
    "publish.publishing",
    "publish.pulling",
    "publish.pruning",
    "publish.following",
    "publish.published_shards",
    "publish.__init__",
    "client",
    "evaluation",
    "training",
    "integrations",
    "demo",
    "bench",
    "serve.__init__",
    "serve.schemas",
    "serve.config",
    "serve.tokens",
    "serve.problems",
    "serve.encoding",
    "serve.pool",
    "serve.collections",
    "serve.exchange",
    "serve.room",
    "serve.bodies",
    "serve.metrics",
    "serve.serving",
    "serve.calls",
    "serve.reference",
    "serve.routes",
    "serve.logs",
    "serve.tracing",
    "serve.guard",
    "serve.static",
    "serve.warming",
    "serve.mcp_tools",
    "serve.mcp",
    "serve.mcp_route",
    "serve.app",
    "serve.protocol",
    "serve.lifecycle",
    "cluster.__init__",
    "cluster.ray_session",
    "cluster.serving.place",
    "cluster.serving.question",
    "cluster.serving.answering",
    "cluster.serving.held",
    "cluster.serving.asking",
    "cluster.serving.merged",
    "cluster.serving.loop",
    "cluster.serving.version",
    "cluster.serving.session",
    "cluster.serving.collection",
    "cluster.serving.router",
    "cluster.serving.config",
    "cluster.serving.serve",
    "cluster.serving.running",
    "cluster.building.inputs",
    "cluster.building.work",
    "cluster.building.plan",
    "cluster.building.documents",
    "cluster.building.codec",
    "cluster.building.encoding",
    "cluster.building.writing",
    "cluster.building.tasks",
    "cluster.building.build",
    "__init__",
    "cli",
    "__main__",
]

# The only imports inside functions: importer, imported, reason. The first two stand for what lies below them too.
LAZY = [
    ("cli", "", "a command loads what it needs when it runs, so that --help and completion are quick"),
    ("encoder.encoder", "encoder", "importing polyvec.encoder must not load torch; a model does when it is made"),
    ("encoder", "encoder.torch.heads", "defines torch modules: importing it loads torch"),
    ("encoder", "encoder.torch.bigrams", "defines torch modules: importing it loads torch"),
    ("encoder.doctor", "encoder.torch.doctor", "loads torch; most checks do without"),
    ("encoder", "encoder.torch.lean", "defines torch modules: importing it loads torch"),
    ("training.stages", "training", "reading a recipe must not load torch; a stage does when it runs"),
    ("training.starting", "encoder.torch.heads", "loads torch"),
    ("collection", "encoder.in_processes", "loads multiprocessing, where more than one process is asked for"),
    ("shards.opening", "shards.shards", "an index that is one is opened without what shards need"),
]

# What product documentation promises.
PROMISED = {
    "AddReport",
    "AsyncClient",
    "Client",
    "Document",
    "Encoded",
    "Encoder",
    "EncoderOptions",
    "Explanation",
    "Hit",
    "Index",
    "PolyvecError",
    "SearchOptions",
    "Shards",
    "build_index",
    "evaluate",
    "maxsim",
    "read_documents",
    "repair_index",
    "rerank",
}


class Import(NamedTuple):
    importer: str
    imported: str
    inside_function: bool


def _run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    "code",
    [
        "import polyvec",
        "import polyvec; polyvec.Index, polyvec.SearchOptions, polyvec.maxsim, polyvec.rerank, polyvec.Encoder",
        "from polyvec.cli import main; main(['--help'])",
    ],
    ids=["package", "names", "help"],
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


def test_public_names_are_the_promised_ones() -> None:
    assert set(polyvec.__all__) == PROMISED | {"__version__"}
    for name in polyvec.__all__:
        value = getattr(polyvec, name)
        assert value is not None
        assert not isinstance(value, type(sys)), f"polyvec.{name} is a module"
    with pytest.raises(AttributeError, match="no attribute 'Encodr'"):
        polyvec.Encodr  # noqa: B018


def _files() -> dict[str, Path]:
    """Dotted names below polyvec -> files; a package is its __init__."""
    paths = [path for path in SOURCE.rglob("*.py") if "models" not in path.relative_to(SOURCE).parts]
    return {".".join(path.relative_to(SOURCE).with_suffix("").parts): path for path in paths}


def _imports(files: dict[str, Path]) -> list[Import]:
    """Every import of a file of polyvec by another one, those for the type checker included."""

    def file_of(name: str) -> str | None:
        below = name.partition(".")[2]
        package = f"{below}.__init__".lstrip(".")
        return below if below in files else package if package in files else None

    def walk(node: ast.AST, inside: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ImportFrom) and (child.module or "").split(".")[0] == "polyvec":
                for alias in child.names:
                    whole = f"{child.module}.{alias.name}"
                    if whole != "polyvec._native":
                        yield file_of(whole) or file_of(child.module or "") or whole, inside
            elif isinstance(child, ast.Import):
                for alias in child.names:
                    if alias.name.split(".")[0] == "polyvec":
                        yield file_of(alias.name) or alias.name, inside
            yield from walk(child, inside or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)))

    return [
        Import(name, imported, inside)
        for name, path in files.items()
        for imported, inside in walk(ast.parse(path.read_text(encoding="utf-8")), False)
    ]


def _under(name: str, prefix: str) -> bool:
    return not prefix or name == prefix or name.startswith(f"{prefix}.")


def _stage(name: str) -> int:
    fitting = [stage for stage in STAGES if _under(name, stage)]
    assert fitting, f"say in STAGES where {name} stands"
    return STAGES.index(max(fitting, key=len))


def test_imports_point_one_way() -> None:
    files = _files()
    wrong = [
        f"{one.importer} imports {one.imported}"
        for one in _imports(files)
        if one.imported not in files or _stage(one.imported) > _stage(one.importer)
    ]
    assert wrong == []


def test_no_circle_of_files() -> None:
    waiting: dict[str, set[str]] = {name: set() for name in _files()}
    for one in _imports(_files()):
        waiting[one.importer].add(one.imported)
    while ready := [name for name, needs in waiting.items() if not needs]:
        for name in ready:
            del waiting[name]
        for needs in waiting.values():
            needs.difference_update(ready)
    assert sorted(waiting) == [], "these import each other, or need one that does"


def test_imports_inside_functions_are_listed_with_a_reason() -> None:
    inside = [one for one in _imports(_files()) if one.inside_function]
    unlisted = [
        f"{one.importer} imports {one.imported} inside a function"
        for one in inside
        if not any(_under(one.importer, a) and _under(one.imported, b) for a, b, _ in LAZY)
    ]
    assert unlisted == []
    unused = [
        (a, b) for a, b, _ in LAZY if not any(_under(one.importer, a) and _under(one.imported, b) for one in inside)
    ]
    assert unused == [], "nothing needs these entries any more"
