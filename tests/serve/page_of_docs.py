"""A page of docs/ as a program: its blocks, what each of them prints, and whether that is what the page shows."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

_ANY = ("took_ms", "encode_ms", "search_ms", "request_id")  # what differs from run to run
_BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TIME = re.compile(r"\b\d+(\.\d+)? (ms|s)\b")
_FRACTION = re.compile(r"-?\d+\.\d+")
_NEAR = 0.05  # processors differ in how they round, and the model's arithmetic in int8 shows it
_PRINTS = ("sh", "python")
_SHOWS = ("json", "text")


class Block(NamedTuple):
    """One fenced block: its language, what follows the language, its text, and where the text lies in the page."""

    language: str
    note: str
    text: str
    start: int
    end: int


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [Block(m[1], m[2].strip(), m[3], m.start(3), m.end(3)) for m in _BLOCK.finditer(page)]


def run_page(page: str, folder: Path, port: int) -> Iterator[tuple[Block, Block | None, str]]:
    """Run every block in order: (block, the block that shows what it prints, what it printed)."""
    found = blocks(page)
    names: dict[str, Any] = {"__name__": "docs"}
    server: subprocess.Popen[bytes] | None = None
    try:
        for block, after in zip_longest(found, found[1:]):
            if block.language not in _PRINTS:
                continue
            text = block.text.replace("127.0.0.1:8000", f"127.0.0.1:{port}")
            if block.language == "sh" and text.startswith("polyvec serve"):
                if server is not None:
                    _stopped(server)
                server = _started(text.split(), folder, port)
                continue
            printed = _python(text, names) if block.language == "python" else _shell(text, folder)
            shows = after if after is not None and after.language in _SHOWS and not after.note else None
            yield block, shows, printed
    finally:
        if server is not None:
            _stopped(server)


def same(shown: str, printed: str) -> bool:
    """Whether a page shows what was printed; times and request ids may differ, fractions a little."""
    try:
        return _same(json.loads(shown), json.loads(printed))
    except ValueError:
        return _same(_with_numbers(shown), _with_numbers(printed))


def _with_numbers(text: str) -> list[str | float]:
    """A text as its words and its decimal fractions; times are all the same."""
    words = _TIME.sub("time", text).split()
    return [float(part) if _FRACTION.fullmatch(part) else part for part in words]


def as_shown(printed: str) -> str:
    """What was printed, as a page shows it: JSON on one line where it fits, otherwise indented."""
    try:
        value = json.loads(printed)
    except ValueError:
        return "\n".join(line.rstrip() for line in printed.strip("\n").splitlines()).rstrip() + "\n"
    line = json.dumps(value, ensure_ascii=False)
    return (line if len(line) <= 132 else json.dumps(value, ensure_ascii=False, indent=2)) + "\n"


def _same(shown: Any, printed: Any) -> bool:
    if isinstance(shown, dict) and isinstance(printed, dict):
        return shown.keys() == printed.keys() and all(
            key in _ANY or _same(value, printed[key]) for key, value in shown.items()
        )
    if isinstance(shown, list) and isinstance(printed, list):
        return len(shown) == len(printed) and all(map(_same, shown, printed))
    if isinstance(shown, float) and isinstance(printed, float):
        return abs(shown - printed) <= _NEAR * abs(shown)
    return type(shown) is type(printed) and bool(shown == printed)


def _environment() -> dict[str, str]:
    """This interpreter's polyvec first in the path."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHON": sys.executable}


# Commands of a page mean this interpreter's; nothing is installed.
_SHIM = 'polyvec() { "$PYTHON" -m polyvec "$@"; }\npython() { "$PYTHON" "$@"; }\npip() { :; }\n'


def _shell(text: str, folder: Path) -> str:
    command = ["bash", "-euo", "pipefail", "-c", _SHIM + text]
    ran = subprocess.run(
        command, cwd=folder, env=_environment(), capture_output=True, text=True, timeout=900, check=False
    )
    assert ran.returncode == 0, f"{text}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


def _python(text: str, names: dict[str, Any]) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(text, "page", "exec"), names)
    return out.getvalue()


def _stopped(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    assert server.wait(timeout=60) == 0


def _started(words: list[str], folder: Path, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "polyvec", *words[1:], "--port", str(port), "--log-format", "none"]
    server = subprocess.Popen(command, cwd=folder, env=_environment(), stdout=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).close()
            return server
        except OSError:
            assert server.poll() is None, "the server ended"
            assert time.monotonic() < end, "the server is not ready after a minute"
            time.sleep(0.05)
