"""A list of expected results -> each command run again, each value compared.

The file is TOML: entries `[[result]]` with name, command, measure, value, tolerance, and lang where the value is one language's.
DATA in a command stands for a folder of datasets; an entry whose data are not there is passed over, and so is a published
figure, whose command needs weights or data from the network.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal

from polyvec.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True, kw_only=True)
class Expected:
    """One line of the file. published: somebody else's figure, not run here."""

    name: str
    command: str
    measure: str
    value: float
    tolerance: float
    lang: str | None = None
    published: bool = False
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What running an entry gave."""

    name: str
    state: Literal["same", "off", "passed over"]
    found: float | None
    note: str

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def read_expected(path: Path) -> list[Expected]:
    """Read and check the file. Raises InputError for a wrong, missing or unknown key."""
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8"))["result"]
        return [Expected(**row) for row in rows]
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        known = ", ".join(field.name for field in fields(Expected))
        raise InputError(f"{path}: {error}. Expected entries [[result]] with {known}.") from error


def run_expected(entry: Expected, data: Path | None) -> Outcome:
    """Run one entry's command and compare. A command that fails is off."""
    if entry.published:
        return Outcome(name=entry.name, state="passed over", found=None, note="published; run it where the weights are")
    words = shlex.split(entry.command)
    if any("DATA" in word for word in words):
        if data is None:
            return Outcome(name=entry.name, state="passed over", found=None, note="needs --data")
        words = [word.replace("DATA", str(data)) for word in words]
        absent = next((word for word in words if word.startswith(str(data)) and not Path(word).exists()), None)
        if absent is not None:
            return Outcome(name=entry.name, state="passed over", found=None, note=f"{absent} is not there")
    printed, error = _run(tuple(words))
    if printed is None:
        return Outcome(name=entry.name, state="off", found=None, note=error)
    table = printed["by_lang"][entry.lang] if entry.lang else printed["measures"]
    found = float(table[entry.measure])
    state: Literal["same", "off"] = "same" if abs(found - entry.value) <= entry.tolerance else "off"
    return Outcome(name=entry.name, state=state, found=found, note="")


@cache
def _run(words: tuple[str, ...]) -> tuple[dict[str, Any] | None, str]:
    """Run `polyvec ... --json` once, whatever the number of entries that look at it."""
    if words[0] != "polyvec":
        raise InputError(f"command {shlex.join(words)!r}: expected one that begins with polyvec.")
    command = [sys.executable, "-m", "polyvec", *words[1:], "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return None, done.stderr.strip()[-300:]
    return json.loads(done.stdout), ""
