"""docs/frameworks.md: each program runs as printed. MTEB's tasks need a network, so a local one takes their place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.integrations.test_mteb import planets

PAGE = Path(__file__).parents[2] / "docs" / "frameworks.md"
PRINTED = {
    "LangChain": ["mars Der Mars ist der rote Planet.", "venus"],
    "LlamaIndex": ["mars Der Mars ist der rote Planet.", "venus"],
    "Haystack": ["mars"],
    "MTEB": ["1.0 1.0"],
    "PyTerrier": ["  docno  rank", "0  mars     0"],
    "DSPy": ["['Der Mars ist der rote Planet.']"],
}
NEEDED = {
    "LangChain": "langchain_core",
    "LlamaIndex": "llama_index.core",
    "Haystack": "haystack",
    "MTEB": "mteb",
    "PyTerrier": "pyterrier",
    "DSPy": "dspy",
}

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]


def _programs() -> dict[str, str]:
    sections = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.M)[1:]
    return {
        section.split("\n", 1)[0]: "\n".join(re.findall(r"```python\n(.*?)```", section, re.S)) for section in sections
    }


def test_every_framework_has_a_program() -> None:
    assert _programs().keys() == PRINTED.keys()
    assert all(_programs().values())


@pytest.mark.parametrize("name", PRINTED)
def test_the_program_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip(NEEDED[name], reason=f"{NEEDED[name]} is not installed")
    monkeypatch.chdir(tmp_path)
    if name == "MTEB":
        import mteb

        monkeypatch.setattr(mteb, "get_tasks", lambda names: [planets()])
        monkeypatch.setenv("MTEB_CACHE", str(tmp_path / "cache"))
    capsys.readouterr()
    exec(compile(_programs()[name], str(PAGE), "exec"), {"__name__": "program"})
    printed = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert printed[-len(PRINTED[name]) :] == PRINTED[name]
