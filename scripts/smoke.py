"""Whether an installed polyvec works: help, indexing, search, explanations, keywords, shards, kernels.

    python scripts/smoke.py                       test the polyvec of this Python
    python scripts/smoke.py WHEEL [--python PY]   install WHEEL in an empty environment that has no compiler, and test it there

Needs nothing but Python and the wheel. Prints one line a step, and ends with exit code 1 at the first step that fails. With
--launcher, commands are started by another program: an emulator of another processor.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

COMPILERS = ("cc", "c++", "gcc", "g++", "clang", "clang++", "cmake", "ninja")
DOCUMENTS = [
    {"id": "bees", "text": "Honey bees dance to tell each other where flowers are.", "lang": "en"},
    {"id": "flores", "text": "Las plantas convierten la luz en azúcar mediante la fotosíntesis.", "lang": "es"},
    {"id": "rhein", "text": "Der Rhein mündet bei Rotterdam in die Nordsee.", "lang": "de"},
    {"id": "cha", "text": "茶は茶の木の葉から作られる飲み物です。", "lang": "ja"},
]
QUESTION = "how do plants make sugar from light?"

START = [sys.executable, "-I"]  # how `python -m polyvec` is started


class FailedError(Exception):
    """A step did not do what it should."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("wheel", nargs="?", type=Path, help="a wheel; without one, the installed polyvec is tested")
    parser.add_argument("--python", default=sys.executable, help="the Python for the empty environment")
    parser.add_argument("--launcher", default="", help="how this Python is started, where it cannot start itself")
    arguments = parser.parse_args()
    if arguments.launcher:
        START[:] = shlex.split(arguments.launcher)
    try:
        if arguments.wheel is None:
            test_installed()
        else:
            test_wheel(arguments.wheel.resolve(), arguments.python)
    except FailedError as error:
        sys.exit(f"smoke test: {error}")


def test_wheel(wheel: Path, python: str) -> None:
    """Install the wheel where no compiler is found, and run this file there."""
    with tempfile.TemporaryDirectory(prefix="polyvec-smoke-") as folder:
        environment = Path(folder) / "environment"
        _run([python, "-m", "venv", str(environment)], dict(os.environ))
        programs = environment / ("Scripts" if os.name == "nt" else "bin")
        inner = str(programs / ("python.exe" if os.name == "nt" else "python"))
        variables = _without_compilers(programs)
        _run([inner, "-m", "pip", "install", "--quiet", "--only-binary", ":all:", str(wheel)], variables)
        print(_run([inner, "-I", str(Path(__file__).resolve())], variables, cwd=folder), end="")


def _without_compilers(programs: Path) -> dict[str, str]:
    """This environment with a PATH that leads to the new one's programs only, and no compiler named otherwise."""
    dropped = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CC", "CXX", "LD_PRELOAD", "POLYVEC_KERNEL"}
    variables = {name: value for name, value in os.environ.items() if name not in dropped}
    variables["PATH"] = str(programs)
    for name in COMPILERS:
        if shutil.which(name, path=variables["PATH"]):
            raise FailedError(f"the empty environment has {name}")
    return variables


def test_installed() -> None:
    import polyvec

    where = Path(polyvec.__file__).parent
    print(
        f"polyvec {polyvec.__version__}, Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    )
    with tempfile.TemporaryDirectory(prefix="polyvec-smoke-") as folder:
        for step in (check_kernels, check_commands, check_library, check_shards):
            step(Path(folder))
            print(f"{step.__name__.removeprefix('check_')}: fine")
    stray = [path.name for path in where.rglob("*") if path.name in ("tests", "conftest.py", "CMakeLists.txt")]
    _expect(not stray, f"the package contains {stray}")


def check_kernels(_: Path) -> None:
    """The fastest kernels of this processor are used: one that is left out makes everything slow without a word."""
    from polyvec import _native

    usable = _native.maxsim_kernels()
    _expect("scalar" in usable, f"there is no scalar kernel among {usable}")
    wanted = _wanted_kernel()
    _expect(wanted is None or wanted == usable[0], f"this processor should use {wanted}, the kernels are {usable}")


def _wanted_kernel() -> str | None:
    """What the operating system says of the processor; None where it does not say."""
    if platform.machine() in ("aarch64", "arm64"):
        return "neon"
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    flags = next((set(line.split()) for line in lines if line.startswith("flags")), set())
    if not flags:
        return None
    if not {"avx2", "fma", "f16c"} <= flags:
        return "scalar"
    return "avx512" if {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= flags else "avx2"


def check_commands(folder: Path) -> None:
    """The command line makes an index, adds, deletes and finds."""
    rows = folder / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in DOCUMENTS[:3]), encoding="utf-8")
    more = folder / "more.jsonl"
    more.write_text(json.dumps(DOCUMENTS[3]) + "\n", encoding="utf-8")
    index = str(folder / "first.polyvec")
    _expect("Usage: polyvec" in _polyvec("--help"), "polyvec --help does not say how it is used")
    _polyvec("index", str(rows), index)
    _polyvec("add", index, str(more))
    found = json.loads(_polyvec("search", index, QUESTION, "-k", "2", "--json"))
    _expect(found["hits"][0]["id"] == "flores", f"{QUESTION!r} found {found}")
    _expect("flores" in _polyvec("search", index, QUESTION, "--explain"), "--explain does not show the hit")
    keyword = json.loads(_polyvec("search", index, "Rotterdam", "--mode", "keyword", "--json"))
    _expect([hit["id"] for hit in keyword["hits"]] == ["rhein"], f"'Rotterdam' as a keyword found {keyword}")
    _polyvec("delete", index, "bees")
    _expect(json.loads(_polyvec("info", index, "--json"))["documents"] == 3, "info does not count three documents")
    _polyvec("verify", index)


def check_library(folder: Path) -> None:
    """The library makes an index, finds across languages and says which words met."""
    import polyvec

    with polyvec.Index.create(str(folder / "second.polyvec"), encoder=polyvec.Encoder()) as index:
        index.add(DOCUMENTS)
        hits = index.search(QUESTION, k=4)
        _expect(hits[0].id == "flores", f"{QUESTION!r} found {[hit.id for hit in hits]}")
        _expect(index.search(QUESTION, filter={"lang": "de"})[0].id == "rhein", "a filter on lang found another one")
        _expect(bool(hits[0].explain().matches), "an explanation has no matches")


def check_shards(folder: Path) -> None:
    """An index that is split answers as before."""
    index, shards = str(folder / "first.polyvec"), str(folder / "shards")
    _polyvec("shard", index, shards, "--shards", "2")
    whole, split = (json.loads(_polyvec("search", one, QUESTION, "--json"))["hits"] for one in (index, shards))
    _expect([hit["id"] for hit in whole] == [hit["id"] for hit in split], "shards find other documents")


def _polyvec(*arguments: str) -> str:
    return _run([*START, "-m", "polyvec", *arguments], dict(os.environ))


def _run(command: list[str], variables: dict[str, str], cwd: str | None = None) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", check=False, env=variables, cwd=cwd
    )
    if done.returncode:
        raise FailedError(
            f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}"
        )
    return done.stdout


def _expect(true: bool, otherwise: str) -> None:
    if not true:
        raise FailedError(otherwise)


if __name__ == "__main__":
    main()
