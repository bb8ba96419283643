"""A list of expected results -> each command run again, each value compared, or the values written anew.

The file is TOML: a table `about` (model, machine), and entries `[[result]]` as `Expected` has them. DATA in a command stands
for a folder of datasets; an entry whose data are not there is passed over, and so is a published figure, whose command
needs weights or data from the network.
"""

from __future__ import annotations

import json
import platform
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from polyvec.atomic import write_text
from polyvec.data.files import as_path, named
from polyvec.data.toml_tables import checked_table, read_toml
from polyvec.errors import InputError, PolyvecError
from polyvec.evaluation.evaluation import EvaluationResult
from polyvec.evaluation.job import Job, Progress, Workshop
from polyvec.evaluation.significance import compare
from polyvec.version import __version__

NO_VALUE = "has no value yet: run with --update"
BASELINE = "BM25"  # the system that others are compared with


@dataclass(frozen=True, kw_only=True)
class Expected:
    """One command and what it prints.

    Attributes:
        name: The dataset, ": ", the system.
        value: None until an update has run the command.
        languages: The measure by language of the query.
        tolerance: For the value, language_tolerance for each of the languages.
        bytes_per_token, against: Facts beside the value, written but not compared; against BM25 the mean difference,
            its 95 % interval and p.
        published: Somebody else's figure.
        slow: Run only when everything is asked for.
    """

    name: str
    command: str
    dataset: str
    measure: str
    value: float | None = None
    tolerance: float
    languages: dict[str, float] = field(default_factory=dict)
    language_tolerance: float = 0.05
    bytes_per_token: float = 0.0
    against: dict[str, float] = field(default_factory=dict)
    published: bool = False
    slow: bool = False
    note: str = ""

    @property
    def system(self) -> str:
        """What was judged."""
        return self.name.removeprefix(f"{self.dataset}: ")


@dataclass(frozen=True, kw_only=True)
class ExpectedFile:
    """A whole file.

    Attributes:
        about: Model and machine, as written by the last update.
        comment: The lines it begins with.
    """

    comment: str
    about: dict[str, str]
    entries: list[Expected]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What running an entry gave.

    Attributes:
        found: The value, None where the command was not run or failed.
    """

    entry: Expected
    state: Literal["same", "off", "passed over"]
    found: float | None = None
    note: str = ""
    result: EvaluationResult | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        entry = self.entry
        shown = {"name": entry.name, "state": self.state, "expected": entry.value, "found": self.found}
        return {**shown, "measure": entry.measure, "command": entry.command, "note": self.note}


def read_expected(path: Path) -> ExpectedFile:
    """Read and check the file.

    Raises:
        InputError: A wrong, missing or unknown key.
    """
    path = as_path(path, "a file of expected results")
    name = named(path)
    tables = read_toml(path)
    known = ", ".join(field.name for field in fields(Expected))
    rows, about = tables.pop("result", None), tables.pop("about", {})
    if not isinstance(rows, list) or tables:
        odd = f"unknown key {min(tables)!r}" if tables else "'result' is missing"
        raise InputError(f"{name}: {odd}. Expected a table [about], and entries [[result]] with {known}.")
    entries = [
        checked_table(Expected, row, f"{name}: result {number}", negative=True)
        for number, row in enumerate(rows, start=1)
    ]
    if not isinstance(about, dict) or not all(isinstance(value, str) for value in about.values()):
        raise InputError(f"{name}: about = {about!r}: expected a table of strings.")
    text = path.read_text(encoding="utf-8-sig")
    lines = text.splitlines()
    comment = lines[: next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))]
    return ExpectedFile(comment="\n".join(comment), about=about, entries=entries)


def rerun(
    entries: Sequence[Expected],
    data: Path | None,
    job_of: Callable[[list[str]], Job],
    *,
    unknown: bool = False,
    slow: bool = False,
    progress: Progress | None = None,
) -> Iterator[Outcome]:
    """Run every entry and compare, in the order of the file.

    Args:
        job_of: Reads the words of a command after `polyvec evaluate`.
        unknown, slow: Whether entries without a value, and those marked slow, are run too. A command that fails is
            off; one that is no `polyvec evaluate` raises InputError.
    """
    prepared = [_left_out(entry, unknown, slow) or _prepared(entry, data, job_of) for entry in entries]
    done: dict[Job, EvaluationResult] = {}
    with Workshop(progress=progress) as workshop:
        for entry, job in zip(entries, prepared, strict=True):
            if isinstance(job, str):
                yield Outcome(entry=entry, state="passed over", note=job)
                continue
            try:
                if job not in done:
                    done[job] = workshop.do(job)
                yield _compared(entry, done[job])
            except PolyvecError as error:
                yield Outcome(entry=entry, state="off", note=str(error))


def _left_out(entry: Expected, unknown: bool, slow: bool) -> str:
    """Why an entry is passed over before its command is read; empty where it is not."""
    if entry.published:
        return "published; run it where the weights are"
    if entry.value is None and not unknown:
        return NO_VALUE
    return "slow; run with --all" if entry.slow and not slow else ""


def _prepared(entry: Expected, data: Path | None, job_of: Callable[[list[str]], Job]) -> Job | str:
    """The job, or why there is none."""
    try:
        words = shlex.split(entry.command)
    except ValueError as error:
        raise InputError(f"command {entry.command!r}: {error}.") from error
    if words[:2] != ["polyvec", "evaluate"]:
        raise InputError(f"command {entry.command!r}: expected one that begins with `polyvec evaluate`.")
    if any("DATA" in word for word in words):
        if data is None:
            return "needs --data"
        words = [word.replace("DATA", str(data)) for word in words]
        absent = next((word for word in words if word.startswith(str(data)) and not Path(word).exists()), None)
        if absent is not None:
            return f"{absent} is not there"
    return job_of(words[2:])


def _compared(entry: Expected, result: EvaluationResult) -> Outcome:
    if entry.measure not in result.measures:
        return Outcome(entry=entry, state="off", note=f"{entry.measure} is not among the measures of the command")
    found = result.measures[entry.measure]
    if entry.value is None:
        return Outcome(entry=entry, state="off", found=found, note=NO_VALUE, result=result)
    problems = [] if abs(found - entry.value) <= entry.tolerance else [f"off by {found - entry.value:+.4f}"]
    for lang, value in entry.languages.items():
        theirs = result.by_lang.get(lang, {}).get(entry.measure)
        if theirs is None or abs(theirs - value) > entry.language_tolerance:
            problems.append(f"{lang}: {value:.4f} expected, {'nothing' if theirs is None else f'{theirs:.4f}'} found")
    state: Literal["same", "off"] = "off" if problems else "same"
    return Outcome(entry=entry, state=state, found=found, note="; ".join(problems), result=result)


def updated(file: ExpectedFile, outcomes: Sequence[Outcome], about: dict[str, str]) -> ExpectedFile:
    """The file with what the last of the outcomes found; an entry that was not run keeps its values.

    BM25's outcome on the same dataset, where it stands among those before, is what the difference is taken from.
    """
    outcome = outcomes[-1]
    if outcome.result is None or outcome.found is None:
        return file
    entry, measure, result = outcome.entry, outcome.entry.measure, outcome.result
    against: dict[str, float] = {}
    for one in outcomes[:-1]:
        if one.result is not None and (one.entry.dataset, one.entry.system) == (entry.dataset, BASELINE):
            theirs = {q: row[measure] for q, row in one.result.per_query.items()}
            found = compare({q: row[measure] for q, row in result.per_query.items()}, theirs)
            against = {name: round(getattr(found, name), 4) for name in ("difference", "low", "high", "p")}
    new = replace(
        entry,
        value=round(outcome.found, 4),
        languages={lang: round(row[measure], 4) for lang, row in result.by_lang.items()},
        bytes_per_token=0.0 if result.settings.get("mode") == "keyword" else result.bytes_per_token,
        against=against,
    )
    return replace(file, about=about, entries=[new if one.name == entry.name else one for one in file.entries])


def about_this(fingerprint: str) -> dict[str, str]:
    """What an update writes about the model and the machine."""
    import torch

    parts = [_processor(), platform.machine(), f"Python {platform.python_version()}", f"torch {torch.__version__}"]
    return {"model": fingerprint, "machine": ", ".join(parts), "polyvec": __version__}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown processor")


def write_expected(path: Path, file: ExpectedFile) -> None:
    """Write the file, keys that have their default value left out."""
    parts = [file.comment, "\n[about]\n" + "".join(f"{name} = {_toml(value)}\n" for name, value in file.about.items())]
    defaults = {one.name: one for one in fields(Expected)}
    for entry in file.entries:
        rows = [
            f"{name} = {_toml(value)}"
            for name, value in asdict(entry).items()
            if value not in (defaults[name].default, {}) or name == "tolerance"
        ]
        parts.append("\n[[result]]\n" + "\n".join(rows) + "\n")
    write_text(path, "\n".join(part.rstrip("\n") for part in parts) + "\n")


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(one)}" for key, one in value.items()) + " }"
    return str(value).lower() if isinstance(value, bool) else json.dumps(value, ensure_ascii=False)
