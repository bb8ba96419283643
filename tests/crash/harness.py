"""Kills a process that writes an index, at random instants and at every call that changes a file, and looks at what is left.

    python -m tests.crash.harness [--random 500] [--every 1] [--interrupt 1000] [--seed 0]

Also half-written blocks, a full disk (ENOSPC) and a broken one (EIO) at each of those calls, and failures that come from Python.
After each: the index opens, `verify` is clean, what was acknowledged is there, and what was not is there as a whole or not at all.
Prints one JSON line.
"""

from __future__ import annotations

import argparse
import errno
import json
import logging
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polyvec import Index
from polyvec.errors import PolyvecError
from polyvec.index.upkeep import policy
from polyvec.index.writing import writer
from tests.crash.faults import COUNT, FAIL_ON, FAIL_ONCE, KILL, TEAR, Faults, available, build, preloaded_environment
from tests.crash.interruptions import go_on, interrupt
from tests.crash.model import ENCODER, MARK, NBITS, State, Step, all_problems, difference, draw_step, remember

_MOST_DOCUMENTS = 250


@dataclass
class Report:
    """What was done to the index, and what went wrong."""

    kills: int = 0
    faults: int = 0
    interruptions: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "kills": self.kills,
            "errors_injected": self.faults,
            "interruptions": self.interruptions,
            "what": dict(sorted(self.counts.items())),
            "problems": self.problems[:20],
        }


def small_thresholds() -> None:
    """Merging and training often, so that kills meet them."""
    policy.TRAIN_FROM = 400
    policy.BUFFER_TOKENS = 200
    writer.BUFFER_TOKENS = 200
    policy.MERGED_TOKENS = 4000
    writer._GRACE_SECONDS = 0.01


def in_fork(work: Callable[[Callable[[Any], None]], None]) -> tuple[int, Callable[[], list[Any]]]:
    """Run `work` in a fork, which tells things by the function that it is given. Returns its id, and what hears them all."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        code = 1
        try:
            with os.fdopen(writing, "wb", buffering=0) as pipe:
                work(lambda value: pickle.dump(value, pipe))
            code = 0
        except BaseException as error:  # a fork must never return into the parent's code
            traceback.print_exception(error)
        finally:
            os._exit(code)
    os.close(writing)

    def heard() -> list[Any]:
        values = []
        with os.fdopen(reading, "rb") as pipe:
            while True:
                try:
                    values.append(pickle.load(pipe))
                except (EOFError, pickle.UnpicklingError):  # it died, perhaps in the middle of a word
                    break
        os.waitpid(child, 0)
        return values

    return child, heard


def checked(path: Path, states: list[State]) -> tuple[int, str]:
    """`all_problems`, in a process of its own."""
    _, heard = in_fork(lambda tell: tell(all_problems(path, states)))
    answers = heard()
    return answers[0] if answers else (-1, "looking at it failed, see above")


def make(path: Path, state: State) -> None:
    """A new index in a state, with several segments, a few dead rows and a codec."""

    def work(tell: Callable[[Any], None]) -> None:
        with Index.create(path, encoder=ENCODER, nbits=NBITS) as index:
            names = sorted(state)
            for start in range(0, len(names), 30):
                Step("add", {name: state[name] for name in names[start : start + 30]}).run(index)
            if names:
                Step("add", {"gone": 0}).run(index)
                index.delete(["gone"])

    _, heard = in_fork(work)
    heard()


def kill_at_random(folder: Path, kills: int, seed: int, report: Report) -> None:
    """One index, written to and killed over and over; each process goes on where the one before was killed."""
    chooser = random.Random(seed)
    path, state, fresh = folder / "random", {}, 1
    make(path, state)
    for _ in range(kills):
        if len(state) > _MOST_DOCUMENTS:
            shutil.rmtree(path)
            state = {}
            make(path, state)
        before, first = dict(state), fresh

        def work(tell: Callable[[Any], None], state: State = before, fresh: int = first) -> None:
            steps = random.Random(f"{seed} {fresh}")
            with Index.open(path, encoder=ENCODER) as index:
                while True:
                    step = draw_step(steps, state, fresh)
                    tell(("begun", step))
                    step.run(index)
                    tell(("done", step))
                    state = step.after(state)
                    fresh += 100

        child, heard = in_fork(work)
        time.sleep(chooser.uniform(0.0, 0.25))
        os.kill(child, signal.SIGKILL)
        under_way = None
        for what, step in heard():
            under_way = step if what == "begun" else None
            state = step.after(state) if what == "done" else state
            fresh += 100
        report.kills += 1
        report.counts[f"random kill in {under_way.call if under_way else 'no call'}"] += 1
        states = [state] if under_way is None else [state, under_way.after(state)]
        remember(states[-1])
        place, problem = checked(path, states)
        if problem:
            report.problems.append(f"random kill, {under_way}: {problem}")
            return
        state = states[place]
        fresh += 100


CASES = {
    "add to an empty index": ({}, Step("add", {f"n{i}": 5 for i in range(10)})),
    "add": ({f"d{i}": 1 for i in range(40)}, Step("add", {f"n{i}": 5 for i in range(3)})),
    "add that trains": ({f"d{i}": 1 for i in range(55)}, Step("add", {f"n{i}": 5 for i in range(15)})),
    "add that merges": ({f"d{i}": 1 for i in range(90)}, Step("add", {f"n{i}": 5 for i in range(60)})),
    "update": ({f"d{i}": 1 for i in range(90)}, Step("update", {f"d{i}": 5 for i in range(20, 30)})),
    "delete": ({f"d{i}": 1 for i in range(90)}, Step("delete", {f"d{i}": 0 for i in range(0, 90, 4)})),
    "delete by filter": ({f"d{i}": 1 for i in range(90)}, Step("discard", {f"d{i}": 0 for i in range(0, 90, 5)})),
    "update metadata": ({f"d{i}": 1 for i in range(90)}, Step("mark", {f"d{i}": 1 + 7 * MARK for i in range(20, 30)})),
    "compact": ({f"d{i}": 1 for i in range(90)}, Step("compact", {})),
    "compact that trains": ({f"d{i}": 1 for i in range(50)}, Step("compact", {})),
    "retrain": ({f"d{i}": 1 for i in range(90)}, Step("retrain", {})),
}


def fail_everywhere(folder: Path, every: int, report: Report) -> None:
    """Each call of CASES, once for each `every`-th system call in it that changes a file, and each way to fail there."""
    offset = 0
    for name, (state, step) in CASES.items():
        origin, path = folder / "origin", folder / "index"
        remember({**state, **step.after(state)})
        make(origin, state)
        total = _calls_of(origin, path, step)
        for kind, action, error in (
            ("killed", KILL, 0),
            ("torn", TEAR, 0),
            ("ENOSPC once", FAIL_ONCE, errno.ENOSPC),
            ("ENOSPC", FAIL_ON, errno.ENOSPC),
            ("EIO once", FAIL_ONCE, errno.EIO),
            ("EIO", FAIL_ON, errno.EIO),
        ):
            offset += 1
            for at in range(1 + offset % every, total + 1, every):
                _copy(origin, path)
                if action in (KILL, TEAR):
                    problem = _killed(path, state, step, at, action)
                    report.kills += 1
                else:
                    problem = _failed(path, state, step, at, action, error, more=at % 2 == 0)
                    report.faults += 1
                report.counts[f"{kind} in {name}"] += 1
                if problem:
                    report.problems.append(f"{name}, {kind} at call {at} of {total}: {problem}")
        shutil.rmtree(origin)


def _copy(origin: Path, path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(origin, path)


def _calls_of(origin: Path, path: Path, step: Step) -> int:
    """How many calls that change files a step makes."""
    _copy(origin, path)

    def work(tell: Callable[[Any], None]) -> None:
        faults = Faults()
        faults.arm(path, at=0, action=COUNT)
        with Index.open(path, encoder=ENCODER) as index:
            step.run(index)
            tell(faults.calls())

    _, heard = in_fork(work)
    (count,) = heard()
    assert count > 3, f"{step} makes {count} calls: the library is not preloaded"
    return int(count)


def _killed(path: Path, state: State, step: Step, at: int, action: int) -> str:
    def work(tell: Callable[[Any], None]) -> None:
        Faults().arm(path, at=at, action=action)
        with Index.open(path, encoder=ENCODER) as index:
            step.run(index)
            tell("done")
            os.kill(os.getpid(), signal.SIGKILL)

    _, heard = in_fork(work)
    done = "done" in heard()
    return checked(path, [step.after(state)] if done else [state, step.after(state)])[1]


def _failed(path: Path, state: State, step: Step, at: int, action: int, error: int, *, more: bool) -> str:
    """An error instead of a kill. more: whether the process goes on with other work, without errors, before it is killed."""

    def work(tell: Callable[[Any], None]) -> None:
        faults = Faults()
        faults.arm(path, at=at, action=action, error=error)
        after = [state, step.after(state)]
        index = None
        try:
            index = Index.open(path, encoder=ENCODER)
            step.run(index)
            after = after[1:]
        except (PolyvecError, OSError) as raised:
            tell(("raised", type(raised).__name__))
        faults.disarm()
        if index is None:
            index = Index.open(path, encoder=ENCODER)
        if problems := index.verify():
            tell(("problem", f"verify in the same process: {problems}"))
        here = [difference(index, one) for one in after]
        if "" not in here:
            tell(("problem", f"in the same process: {here}"))
        elif more:
            now, _, problem = go_on(index, after[here.index("")], 4, random.Random(at), 10_000)
            tell(("problem", f"the same process went on: {problem}") if problem else ("state", now))
        else:
            tell(("state", None if len(after) == 2 else after[0]))
        os.kill(os.getpid(), signal.SIGKILL)

    _, heard = in_fork(work)
    answers = dict(heard())
    if "problem" in answers:
        return str(answers["problem"])
    if "state" not in answers:
        return "it died of an error that is not one of ours, see above"
    known = answers["state"]
    return checked(path, [state, step.after(state)] if known is None else [known])[1]


def interrupt_often(folder: Path, interruptions: int, seed: int, report: Report) -> None:
    """Failures that come from Python, one process a hundred of them; each process is killed at its end."""
    path, state = folder / "interrupted", {f"d{i}": 0 for i in range(30)}
    for start in range(0, interruptions, 100):
        make(path, state)

        def work(
            tell: Callable[[Any], None], rounds: int = min(100, interruptions - start), start: int = start
        ) -> None:
            with Index.open(path, encoder=ENCODER) as index:
                tell(interrupt(index, state, rounds, seed + start))
                os.kill(os.getpid(), signal.SIGKILL)

        _, heard = in_fork(work)
        answers = heard()
        counts, last, problem = answers[0] if answers else (Counter(), state, "it died of an error, see above")
        report.interruptions += counts.total() if hasattr(counts, "total") else sum(counts.values())
        report.counts.update(counts)
        if problem := problem or checked(path, [last])[1]:
            report.problems.append(f"interrupted, seed {seed + start}: {problem}")
        shutil.rmtree(path)


def run(*, kills: int, every: int, seed: int, interruptions: int) -> Report:
    """Everything, in this process, which has to have the library preloaded."""
    small_thresholds()
    logging.getLogger("polyvec").setLevel(logging.ERROR)
    report = Report()
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a kill loses nothing that a disk would keep
    with tempfile.TemporaryDirectory(prefix="polyvec-crash-", dir=memory) as folder:
        kill_at_random(Path(folder), kills, seed, report)
        interrupt_often(Path(folder), interruptions, seed, report)
        fail_everywhere(Path(folder), every, report)
    return report


def run_apart(
    *, kills: int, every: int, interruptions: int, seed: int = 0, timeout_s: float | None = None
) -> dict[str, Any]:
    """Everything, in a new process with the library preloaded; its report."""
    with tempfile.TemporaryDirectory(prefix="polyvec-faults-") as folder:
        arguments = [
            "--random",
            str(kills),
            "--every",
            str(every),
            "--seed",
            str(seed),
            "--interrupt",
            str(interruptions),
        ]
        done = subprocess.run(
            [sys.executable, "-m", "tests.crash.harness", *arguments],
            env=preloaded_environment(build(Path(folder))),
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
    if done.returncode not in (0, 1) or not done.stdout:
        raise RuntimeError(f"the harness ended with {done.returncode}: {done.stderr}")
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    report["stderr"] = done.stderr[-2000:]
    return report


def main() -> int:
    """Run as told by the command line; exit 1 where anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--random", type=int, default=500, help="kills at random instants")
    parser.add_argument("--every", type=int, default=1, help="fail at each n-th call only")
    parser.add_argument("--interrupt", type=int, default=1000, help="failures that come from Python")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    if "POLYVEC_TEST_FAULTS" not in os.environ:
        if not available():
            sys.exit("This needs Linux and a C compiler.")
        report = run_apart(kills=chosen.random, every=chosen.every, interruptions=chosen.interrupt, seed=chosen.seed)
    else:
        report = run(
            kills=chosen.random, every=chosen.every, seed=chosen.seed, interruptions=chosen.interrupt
        ).as_json()
    print(json.dumps(report))
    return 1 if report["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
