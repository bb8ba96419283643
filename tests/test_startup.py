"""Which packages are loaded by each way to start: no more than what that way needs, so that a cold start stays short."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

import polyvec
from polyvec.cli import _COMMANDS

# Parts of the standard library that take long to load and that no start needs.
SLOW = {
    "asyncio", "concurrent.futures.process", "ctypes.util", "cProfile", "email", "html", "http", "multiprocessing", "pdb", "pydoc",
    "socketserver", "ssl", "subprocess", "unittest", "urllib.request", "xml", "zipfile",
}  # fmt: skip
# Parts of NumPy that NumPy itself loads only where they are used.
SLOW_NUMPY = {"numpy.ma", "numpy.random", "numpy.fft", "numpy.polynomial", "numpy.testing", "numpy.f2py"}
LIGHT = {"cli", "errors", "version"}
READING = {
    "_native",
    "arguments",
    "atomic",
    "collection",
    "data",
    "deadlines",
    "encoder",
    "errors",
    "index",
    "scoring",
    "search",
    "version",
}
ENCODING = {"_native", "arguments", "atomic", "data", "encoder", "errors", "scoring", "version"}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("startup") / "tea.polyvec"
    with polyvec.Index.create(path, encoder=polyvec.Encoder(backend="native")) as made:
        made.add([{"id": "tea", "text": "Tea is grown in the hills."}, {"id": "sea", "text": "The sea is deep."}])
    return path


def _modules(code: str, *arguments: str) -> set[str]:
    """Names in sys.modules after running some code in a process of its own."""
    code += "\nimport sys; print('\\nLOADED', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True)
    return set(done.stdout.rsplit("LOADED", 1)[1].split())


def _packages(modules: set[str]) -> set[str]:
    """Packages that are neither polyvec's nor of the standard library. What Python loads on its own at start does not count."""
    roots = {name.partition(".")[0] for name in modules - _modules("")}
    return {root for root in roots if root not in sys.stdlib_module_names and root != "polyvec" and root[0] != "_"}


def _parts(modules: Iterable[str]) -> set[str]:
    """Files and folders directly below polyvec."""
    return {name.split(".")[1] for name in modules if name.startswith("polyvec.")}


def _check(modules: set[str], packages: set[str], parts: set[str]) -> None:
    assert _packages(modules) == packages
    assert _parts(modules) == parts
    assert modules & (SLOW | SLOW_NUMPY) == set()
    torch_alone = {
        name for name in modules if name.startswith(("polyvec.encoder.torch", "polyvec.encoder.checkpoints"))
    }
    assert torch_alone == set()


def test_the_package() -> None:
    modules = _modules("import polyvec")
    _check(modules, set(), {"version"})
    assert "dataclasses" not in modules


@pytest.mark.parametrize(
    "command", [(), *([name] for name in _COMMANDS)], ids=lambda command: " ".join(command) or "all"
)
def test_help(command: tuple[str, ...]) -> None:
    modules = _modules("import sys\nfrom polyvec.cli import main\nmain([*sys.argv[1:], '--help'])", *command)
    _check(modules, {"click", "rich"} & _packages(modules), LIGHT)


def test_opening_an_index(index: Path) -> None:
    modules = _modules("import sys, polyvec\npolyvec.Index.open(sys.argv[1])", str(index))
    _check(modules, {"numpy"}, READING)
    assert "polyvec.encoder.native.encoder" not in modules


def test_encoding_a_question() -> None:
    modules = _modules("import polyvec\npolyvec.Encoder(backend='native').encode_query('who grows tea?')")
    _check(modules, {"numpy", "tokenizers"}, ENCODING)


@pytest.mark.parametrize(
    ("mode", "packages"), [("keyword", set()), ("late", {"tokenizers"}), ("hybrid", {"tokenizers"})]
)
def test_searching(index: Path, mode: str, packages: set[str]) -> None:
    code = "import sys\nfrom polyvec.cli import main\nassert main(['search', *sys.argv[1:]]) == 0"
    modules = _modules(code, str(index), "who grows tea?", "--mode", mode)
    _check(modules, {"click", "numpy", "rich"} | packages, READING | LIGHT | {"shards"})
    assert not {name for name in modules if name.startswith("rich.")} & {
        "rich.progress",
        "rich.table",
        "rich.traceback",
    }
