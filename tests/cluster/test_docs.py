"""docs/scale-out.md: what it says of one machine runs there."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.cluster.served import documents
from tests.serve.page_of_docs import blocks
from tests.serve.running import write_documents

PAGE = Path(__file__).parents[2] / "docs" / "scale-out.md"

pytest.importorskip("ray", reason="Ray is not installed: pip install 'polyvec[ray]'")
pytestmark = [
    pytest.mark.heavy,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not PAGE.is_file(), reason="the tests of an installed package come without docs/"),
]


def _commands(beginning: str) -> list[str]:
    """The lines of the first block that begins so."""
    page = PAGE.read_text(encoding="utf-8")
    found = next(one for one in blocks(page) if one.language == "bash" and one.text.startswith(beginning))
    return found.text.splitlines()


def test_one_machine(tmp_path: Path) -> None:
    write_documents(tmp_path / "docs.jsonl", documents(60))
    shell = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "NO_COLOR": "1"}
    for line in _commands("polyvec cluster build docs.jsonl"):
        done = subprocess.run(line, shell=True, cwd=tmp_path, env=shell, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    (command,) = _commands("polyvec cluster serve wiki-shards")
    command = re.sub(r"--port \d+", "--port 8739", command)
    serving = subprocess.Popen(f"exec {command}", shell=True, cwd=tmp_path, env=shell, stdout=subprocess.DEVNULL)
    try:
        answer = _asked("http://127.0.0.1:8739/v1/search", {"query": "green tea", "k": 3})
        assert len(answer["results"][0]["hits"]) == 3
        assert answer["partial"] is False
    finally:
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(120) == 0


def _asked(url: str, body: dict[str, object]) -> dict[str, list[dict[str, list[object]]]]:
    end = time.monotonic() + 300
    while time.monotonic() < end:
        with contextlib.suppress(httpx.HTTPError):
            answer = httpx.post(url, json=body, timeout=30, trust_env=False)
            if answer.status_code == 200:
                found: dict[str, list[dict[str, list[object]]]] = answer.json()
                return found
        time.sleep(0.5)
    raise AssertionError("it does not answer")
