"""Follow docs/start as a reader does: copy each block into an empty folder, in an empty environment, without a compiler.

python -m tests.docs.start [--wheel FILE] builds a wheel, or takes one, and prints what each block took. The page's `pip install` is
run as it stands; pip finds the wheel in a folder, and what else it needs where it looks otherwise.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

from tests.serve.page_of_docs import blocks

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "start"
PAGES = ("install.md", "first-index.md", "across-languages.md", "page.md")
COMPILERS = ("cc", "c++", "gcc", "g++", "clang", "clang++", "cmake", "ninja")


class Step(NamedTuple):
    """One block: the page it stands on, its first line, seconds, and whether the search page answered after it."""

    page: str
    line: str
    seconds: float
    served: bool


def wheel(folder: Path) -> Path:
    """Build the package's wheel into a folder."""
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            str(folder),
            str(ROOT),
        ],
        check=True,
    )
    (built,) = folder.glob("polyvec-*.whl")
    return built


def follow(folder: Path, built: Path) -> list[Step]:
    """Run every block of the pages in one shell session's state; raises where one fails or the page does not come.

    Args:
        folder: Empty; the reader's.
        built: The wheel that pip shall find.
    """
    environment, steps = _environment(folder, built), []
    servers: list[subprocess.Popen[bytes]] = []
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    try:
        for page in PAGES:
            for block in blocks((DOCS / page).read_text(encoding="utf-8")):
                if block.language not in ("sh", "python"):
                    continue
                began = time.monotonic()
                text = block.text.replace("127.0.0.1:8000", f"127.0.0.1:{port}")
                if text.startswith("polyvec serve"):
                    servers.append(_serve(text, folder, environment, port))
                else:
                    _run(text, block.language, folder, environment)
                line = text.splitlines()[0]
                steps.append(
                    Step(page, line, time.monotonic() - began, bool(servers) and line.startswith("polyvec serve"))
                )
    finally:
        for server in servers:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()
    return steps


def _environment(folder: Path, built: Path) -> dict[str, str]:
    """An environment whose compilers fail, without anything of this checkout's Python."""
    broken = folder.parent / "no-compiler"
    broken.mkdir(exist_ok=True)
    for name in COMPILERS:
        (broken / name).write_text(
            f"#!/bin/sh\necho '{name}: this machine has no compiler' >&2\nexit 1\n", encoding="utf-8"
        )
        (broken / name).chmod(0o755)
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "POLYVEC"))
    }
    links = f"{built.parent} {os.environ.get('PIP_FIND_LINKS', '')}".strip()
    return {
        **kept,
        "PATH": os.pathsep.join([str(broken), *_path_without_environments()]),
        "CC": str(broken / "cc"),
        "CXX": str(broken / "c++"),
        "PIP_FIND_LINKS": links,
        "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
    }


def _path_without_environments() -> list[str]:
    return [
        place for place in os.environ["PATH"].split(os.pathsep) if not (Path(place).parent / "pyvenv.cfg").is_file()
    ]


def _run(text: str, language: str, folder: Path, environment: dict[str, str]) -> None:
    """Run a block as the terminal of a reader would: with the environment that the install page made."""
    if language == "python":
        text = f"python - <<'END_OF_PROGRAM'\n{text}\nEND_OF_PROGRAM\n"
    ran = subprocess.run(
        ["bash", "-euc", _activated(folder) + text],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode != 0:
        raise RuntimeError(f"{text}\n{ran.stdout}\n{ran.stderr}")


def _activated(folder: Path) -> str:
    """What an earlier block left in the terminal."""
    (name,) = re.findall(r"^\. (\S+)/bin/activate$", (DOCS / "install.md").read_text(encoding="utf-8"), re.M)
    return f". {name}/bin/activate\n" if (folder / name / "bin" / "polyvec").is_file() else ""


def _serve(text: str, folder: Path, environment: dict[str, str], port: int) -> subprocess.Popen[bytes]:
    """Start the server, and open its page."""
    command = f"{_activated(folder)}exec {text.strip()} --port {port}"
    server = subprocess.Popen(["bash", "-euc", command], cwd=folder, env=environment, start_new_session=True)
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                if b"polyvec" not in answer.read():
                    raise RuntimeError("the page is not there")
                return server
        except OSError:
            if server.poll() is not None:
                raise RuntimeError("the server ended") from None
            time.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheel", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        wheels, empty = Path(place) / "wheels", Path(place) / "empty"
        wheels.mkdir()
        empty.mkdir()
        built = given.wheel.resolve() if given.wheel else wheel(wheels)
        steps = follow(empty, built)
    total = 0.0
    for step in steps:
        total += step.seconds
        print(
            f"{step.seconds:6.1f} s  {total:6.1f} s  {step.page:20} {step.line[:70]}{'  <- the page' if step.served else ''}"
        )


if __name__ == "__main__":
    main()
