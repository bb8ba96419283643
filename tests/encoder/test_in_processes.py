"""Documents encoded in several processes: the same vectors, in order; a process that ends early is said in one line."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polyvec import Encoder
from polyvec.encoder import Encoded, batches
from polyvec.encoder.in_processes import encoding_in
from polyvec.errors import InputError, ModelError, ModelMismatchError, PolyvecError
from tests.conftest import WordEncoder

ROOT = Path(__file__).parents[2]
TEXTS = [f"word{number} and word{number % 7}" for number in range(40)]


class Moody(WordEncoder):
    """In a process of its own, it dies, fails or sleeps at a text that says so."""

    def stream_documents(
        self, texts: Iterable[str], *, progress: Callable[[int], None] | None = None
    ) -> Iterator[Encoded]:
        for text in texts:
            if multiprocessing.parent_process() is not None:
                if "die" in text:
                    os.kill(os.getpid(), signal.SIGKILL)
                if "fail" in text:
                    raise InputError(f"text {text!r}: expected another.")
                if "sleep" in text:
                    time.sleep(60)
            yield from super().stream_documents([text], progress=progress)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.name == "changed":
            self.fingerprint = "another"


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_WINDOW_TEXTS", 5)


def same(found: Iterable[Encoded], wanted: Iterable[Encoded]) -> bool:
    pairs = zip(found, wanted, strict=True)
    return all(np.array_equal(a.vectors, b.vectors) and a.truncated == b.truncated for a, b in pairs)


def test_vectors_are_the_same_to_the_bit(caplog: pytest.LogCaptureFixture) -> None:
    encoder, seen = Encoder(threads=1, document_length=8), list[int]()
    with encoding_in(encoder, 2) as several:
        texts = [*TEXTS[:11], "a text that is longer than eight tokens, by far"]
        assert same(several.stream_documents(texts, progress=seen.append), encoder.stream_documents(texts))
        assert sum(seen) == len(texts)
        assert [record.message[:7] for record in caplog.records] == ["1 of 12"] * 2
        with pytest.raises(InputError, match="document 1"):
            list(several.stream_documents(["fine", ""]))


def test_any_encoder_that_can_be_pickled(encoder: WordEncoder) -> None:
    with encoding_in(encoder, 1) as one:
        assert one is encoder
    with encoding_in(encoder, 3) as several:
        for _ in range(2):
            assert same(several.stream_documents(TEXTS), encoder.stream_documents(TEXTS))
        assert list(several.stream_documents([])) == []
    lock: Any = threading.Lock()
    encoder.lock = lock  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="WordEncoder cannot be pickled"), encoding_in(encoder, 2):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="processes are killed otherwise there")
@pytest.mark.parametrize(
    ("name", "text", "error", "word"),
    [
        ("words", "die", ModelError, "ended early"),
        ("words", "fail", InputError, "expected another"),
        ("changed", "fine", ModelMismatchError, "another"),
    ],
)
def test_what_goes_wrong_in_a_process(name: str, text: str, error: type[PolyvecError], word: str) -> None:
    with encoding_in(Moody(name=name), 2) as several, pytest.raises(error, match=word) as caught:
        list(several.stream_documents([*TEXTS[:12], text, *TEXTS[12:]]))
    assert "\n" not in str(caught.value)
    assert multiprocessing.active_children() == []


SLEEPING = """
import multiprocessing, sys, threading, time
from polyvec.encoder.in_processes import encoding_in
from tests.encoder.test_in_processes import Moody

def report():
    while not (children := multiprocessing.active_children()):
        time.sleep(0.05)
    print(*(child.pid for child in children), flush=True)

if __name__ == "__main__":
    threading.Thread(target=report, daemon=True).start()
    with encoding_in(Moody(), 2) as several:
        list(several.stream_documents(["sleep"] * 3))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="processes are killed otherwise there")
def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    (tmp_path / "sleeping.py").write_text(SLEEPING)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    running = subprocess.Popen([sys.executable, "sleeping.py"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE)
    assert running.stdout is not None
    children = [int(number) for number in running.stdout.readline().split()]
    running.kill()
    running.wait()
    running.stdout.close()
    assert children
    for number in children:
        while alive(number):
            time.sleep(0.05)


def alive(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
