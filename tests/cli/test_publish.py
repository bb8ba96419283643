"""polyvec publish, pull and follow: what they print, and how they end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from polyvec import Index
from polyvec.cli import main
from polyvec.publish import Follower
from tests.conftest import WordEncoder

pytest.importorskip("obstore", reason="publishing needs obstore: pip install 'polyvec[publish]'")


@pytest.fixture(autouse=True)
def wiki(tmp_path: Path, encoder: WordEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Index.create("wiki.polyvec", encoder=encoder) as index:
        index.add([{"id": str(n), "text": f"tea number w{n}"} for n in range(30)])


def ran(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(words)
    found = capsys.readouterr()
    return code, found.out, found.err


def test_publish_and_pull_say_what_they_did(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ran(capsys, "publish", "wiki.polyvec", "there")
    assert (code, "version 1 published at" in out, "30 documents" in out) == (0, True, True)
    code, out, _ = ran(capsys, "publish", "wiki.polyvec", "there")
    assert "version 1 is there already at" in out
    code, out, _ = ran(capsys, "pull", "there", "copy.polyvec")
    assert (code, "version 1 pulled to" in out) == (0, True)
    code, out, _ = ran(capsys, "pull", "there", "copy.polyvec")
    assert "version 1 is there already in" in out
    with Index.open("copy.polyvec") as index:
        assert len(index) == 30


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = ran(capsys, "publish", "wiki.polyvec", "there", "--json", "--keep", "1", "--grace", "0s")
    done = json.loads(out)
    assert (done["version"], done["new"], done["documents"], done["pruned"]) == (1, True, 30, [])
    _, out, _ = ran(capsys, "pull", "there", "copy.polyvec", "--json")
    assert json.loads(out)["folder"].endswith("copy.polyvec")


def test_info_says_where_a_folder_was_pulled_from(capsys: pytest.CaptureFixture[str]) -> None:
    ran(capsys, "publish", "wiki.polyvec", "there")
    ran(capsys, "pull", "there", "copy.polyvec")
    _, out, _ = ran(capsys, "info", "copy.polyvec", "--json")
    assert json.loads(out)["pulled"] == {"url": str(Path("there").resolve()), "version": 1}
    _, out, _ = ran(capsys, "info", "copy.polyvec")
    (line,) = (line for line in " ".join(out.split()).split("codec")[1:] if "pulled" in line)
    assert "version 1" in line
    _, out, _ = ran(capsys, "info", "wiki.polyvec", "--json")
    assert "pulled" not in json.loads(out)


def test_old_versions_are_pruned(capsys: pytest.CaptureFixture[str]) -> None:
    ran(capsys, "publish", "wiki.polyvec", "there")
    ran(capsys, "delete", "wiki.polyvec", "3")
    code, out, _ = ran(capsys, "publish", "wiki.polyvec", "there", "--keep", "1", "--grace", "0s")
    assert (code, "1 old version deleted" in out) == (0, True)
    code, _, err = ran(capsys, "pull", "there", "copy.polyvec", "--version", "1")
    assert (code, "There is no version 1" in err) == (1, True)


def test_follow_prints_each_version(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    ran(capsys, "publish", "wiki.polyvec", "there")

    def run(self: Follower) -> None:
        assert self._every_s == 90
        assert self.check() is None
        assert main(["delete", "wiki.polyvec", "3"]) == 0
        assert main(["publish", "wiki.polyvec", "there"]) == 0
        self.check()
        raise KeyboardInterrupt

    monkeypatch.setattr(Follower, "run", run)
    code, out, err = ran(capsys, "follow", "there", "live.polyvec", "--every", "1.5m")
    assert (code, "Interrupted" in err) == (130, True)
    assert [line for line in out.splitlines() if "pulled to" in line] == [
        line for line in out.splitlines() if line.startswith(("✓ version 1 pulled", "✓ version 2 pulled"))
    ]
    assert "version 2 pulled to" in out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["publish", "nowhere", "there"], 1, "is not a polyvec index"),
        (["publish", "wiki.polyvec", "ftp://there"], 2, "expected s3://"),
        (["publish", "wiki.polyvec", "there", "--keep", "0"], 2, "--keep"),
        (["publish", "wiki.polyvec", "there", "--grace", "-1s"], 2, "expected a time up to 30d"),
        (["pull", "nowhere", "copy.polyvec"], 1, "Nothing is published"),
        (["pull", "wiki.polyvec", "copy.polyvec"], 1, "other things are there"),
        (["follow", "nowhere", "live.polyvec"], 1, "Nothing is published"),
        (["follow", "nowhere", "live.polyvec", "--every", "0s"], 2, "expected a time up to 1d"),
        (["follow", "nowhere", "live.polyvec", "--every", "soon"], 2, "expected a time up to 1d"),
    ],
)
def test_errors_are_one_line(capsys: pytest.CaptureFixture[str], words: list[str], code: int, message: str) -> None:
    found, out, err = ran(capsys, *words)
    assert (found, out) == (code, "")
    assert message in err
    assert len(err.splitlines()) == 1
