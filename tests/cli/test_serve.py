"""polyvec serve at the command line: one line for every mistake, and a server for everything else."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import polyvec
from polyvec.cli import main
from tests.serve.running import ServerProcess, process


def index(folder: Path, name: str = "wiki.polyvec") -> Path:
    with polyvec.Index.create(folder / name, encoder=polyvec.Encoder()) as made:
        made.add([{"id": "one", "text": "Bees dance."}])
    return folder / name


def test_two_collections_and_settings_from_everywhere(tmp_path: Path) -> None:
    (tmp_path / "serve.toml").write_text("max_k = 5\nread_only = true\nport = 1\n")
    paths = [str(index(tmp_path, name)) for name in ("one.polyvec", "two.polyvec")]
    with process(
        *paths, "--port", "0", "--config", str(tmp_path / "serve.toml"), environment={"POLYVEC_MAX_K": "3"}
    ) as server, server.client() as client:  # fmt: skip
        assert [one["name"] for one in client.get("/v1/collections").json()["collections"]] == [
            "one.polyvec",
            "two.polyvec",
        ]
        ask: dict[str, Any] = {"query": "bees", "collection": "one"}
        assert client.post("/v1/search", json={**ask, "k": 3}).json()["results"][0]["hits"][0]["id"] == "one"
        assert client.post("/v1/search", json={**ask, "k": 4}).status_code == 422
        assert client.put("/v1/documents?collection=one", json=[]).status_code == 403


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nowhere.polyvec"], 1, "nowhere.polyvec is not a polyvec index"),
        (["{index}", "--host", "0.0.0.0"], 2, "open to other machines, and there are no tokens"),
        (["{index}", "--port", "70000"], 2, "70000 is not in the range 0<=x<=65535"),
        (["{index}", "--max-body", "8XB"], 2, "max_body='8XB': expected a size"),
        (["{index}", "--timeout", "soon"], 2, "timeout='soon': expected a time"),
        (["{index}", "--token-file", "none.toml"], 2, "none.toml"),
        (["{index}", "--config", "none.toml"], 2, "none.toml"),
        (["{index}", "{index}"], 2, "Two collections are named 'wiki.polyvec'"),
        ([], 2, "INDEX"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    path = str(index(tmp_path)) if "{index}" in arguments else ""
    assert main(["serve", *(path if one == "{index}" else one for one in arguments)]) == code
    printed = capsys.readouterr().err
    assert words in printed
    assert len(printed.strip().splitlines()) == 1


def test_a_missing_extra_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "fastapi" else found(name, *more)
    )
    assert main(["serve", str(tmp_path)]) == 1
    assert (
        capsys.readouterr()
        .err.strip()
        .endswith("Serving needs fastapi, which is not installed: pip install 'polyvec[serve]'.")
    )


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    path = index(tmp_path)
    with process(str(path), "--port", "0") as server:
        port = server.url.rpartition(":")[2]
        second = subprocess.run(
            [sys.executable, "-m", "polyvec", "serve", str(path), "--port", port],
            check=False,
            capture_output=True,
            text=True,
        )
    assert second.returncode == 2
    assert f"Cannot listen at 127.0.0.1 port {port}" in second.stderr
    assert "Traceback" not in second.stderr


def test_demo_serves_its_corpus(tmp_path: Path) -> None:
    server = ServerProcess.__new__(ServerProcess)
    server.url = ""
    server.process = subprocess.Popen(
        [sys.executable, "-m", "polyvec", "demo", str(tmp_path / "demo.polyvec"), "--serve", "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        server.wait_until_ready()
        with server.client() as client:
            answer = client.post("/v1/search", json={"query": "how do bees tell each other where the flowers are?"})
            assert "honeybee" in answer.json()["results"][0]["hits"][0]["id"]
    finally:
        server.kill()
