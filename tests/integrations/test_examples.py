"""examples/rag_*.py: each program runs offline, answers, and shows the passage that it found in another language."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
NEEDED = {"rag_langchain": "langchain_core", "rag_llama_index": "llama_index.core", "rag_haystack": "haystack"}

pytestmark = pytest.mark.heavy


def test_every_example_is_run_here_and_short() -> None:
    assert {path.stem for path in EXAMPLES.glob("rag_*.py")} == NEEDED.keys()
    for path in EXAMPLES.glob("rag_*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) < 60


@pytest.mark.parametrize("name", NEEDED)
def test_an_example_answers_and_marks_its_passage(name: str, tmp_path: Path) -> None:
    pytest.importorskip(NEEDED[name], reason=f"{NEEDED[name]} is not installed")
    run = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py")],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        cwd=tmp_path,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    question, answer, passage = run.stdout.splitlines()
    assert question.startswith("Q: Woran erkennen Bienen")
    assert len(answer) > len("A: ")
    assert passage.startswith("From honeybee-en: ")
    assert "*flowers*" in passage, "Blüten"
