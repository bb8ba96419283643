"""Runs examples/ and compares what they print with examples/output. `python -m tests.example_outputs [--update] [NAME ...]`

Words have to be the same; numbers with a point may differ by .05, since processors round differently and a few questions make
coarse measures. A notebook keeps its own output: it is run from the start, and each cell has to print
what it printed.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"
PROGRAMS = (
    "notes", "faq", "code_search", "evaluate_languages", "fine_tune", "hybrid_threshold", "own_vectors", "citations",
)  # fmt: skip
NOTEBOOKS = ("tour", "dims_and_bits")
NUMBER = re.compile(r"\d+\.\d+")
NEAR = 0.05


def run(name: str) -> str:
    """What a program or a notebook prints, run in an empty folder and without a network."""
    with tempfile.TemporaryDirectory() as folder:
        return _run_notebook(name, Path(folder)) if name in NOTEBOOKS else _run_program(name, Path(folder))


def kept(name: str) -> str:
    """What it printed when its output was kept."""
    if name in NOTEBOOKS:
        import nbformat

        return _printed(nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4))
    return (EXAMPLES / "output" / f"{name}.txt").read_text(encoding="utf-8")


def differences(found: str, expected: str) -> list[str]:
    """Lines that do not say the same, numbers with a point compared as numbers."""
    pairs = [(a.rstrip(), b.rstrip()) for a, b in zip(found.splitlines(), expected.splitlines(), strict=False)]
    lines = [f"printed {new!r}, kept {old!r}" for new, old in pairs if not _same(new, old)]
    if len(found.splitlines()) != len(expected.splitlines()):
        lines.append(f"{len(found.splitlines())} lines printed, {len(expected.splitlines())} kept")
    return lines


def _same(new: str, old: str) -> bool:
    if NUMBER.sub("", new).replace("#", "") != NUMBER.sub("", old).replace("#", ""):
        return False
    pairs = zip(NUMBER.findall(new), NUMBER.findall(old), strict=True)
    return all(abs(float(a) - float(b)) <= NEAR for a, b in pairs)


def _run_program(name: str, folder: Path) -> str:
    command = [sys.executable, str(EXAMPLES / f"{name}.py")]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, encoding="utf-8", cwd=folder, env=environment
    )
    if done.returncode:
        raise RuntimeError(f"{name}.py ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def _run_notebook(name: str, folder: Path) -> str:
    return _printed(executed(name, folder))


def executed(name: str, folder: Path):  # type: ignore[no-untyped-def]
    """The notebook with the output of a run in `folder`."""
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
    NotebookClient(book, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    return book


def _printed(book) -> str:  # type: ignore[no-untyped-def]
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    return "".join(part.text for cell in cells for part in cell.outputs if part.get("name") == "stdout")


def _update(name: str) -> None:
    if name not in NOTEBOOKS:
        (EXAMPLES / "output" / f"{name}.txt").write_text(run(name), encoding="utf-8")
        return
    import nbformat

    with tempfile.TemporaryDirectory() as folder:
        book = executed(name, Path(folder))
    book.metadata["language_info"] = {"name": "python"}  # without the version that ran it
    for cell in book.cells:
        cell.metadata.pop("execution", None)  # times, which differ each time
    nbformat.write(book, EXAMPLES / f"{name}.ipynb")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="Examples without their ending. Default: all.")
    parser.add_argument("--update", action="store_true", help="Keep what they print now.")
    given = parser.parse_args()
    failed = 0
    for name in given.names or [*PROGRAMS, *NOTEBOOKS]:
        begun = time.monotonic()
        if given.update:
            _update(name)
        wrong = [] if given.update else differences(run(name), kept(name))
        failed += bool(wrong)
        print(
            f"{name:20} {time.monotonic() - begun:5.1f} s  {'as kept' if not wrong else 'DIFFERS'}", *wrong, sep="\n  "
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
