"""Publishing and pulling through a pretended Azure Blob Storage: Azurite, where it is installed (`npm install -g azurite`)."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from polyvec import Index
from polyvec.errors import StorageError
from polyvec.publish import prune, publish, pull
from polyvec.publish.store import ObjectExistsError, Store
from tests.conftest import WordEncoder
from tests.publish.indexes import answers_at, check_large_file, documents, make_index
from tests.publish.test_cuts import LOST, check_publishers_at_once, check_publishing_cut, check_pulling_cut

pytestmark = pytest.mark.heavy
ROUNDS = int(os.environ.get("POLYVEC_ROUNDS", "5"))
# The account that every emulator has.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def make_container(port: int) -> None:
    """Ask for the container `library`, signed as shared keys sign; obstore makes none."""
    date = datetime.now(timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT")
    lines = [
        "PUT",
        *[""] * 11,
        f"x-ms-date:{date}",
        "x-ms-version:2021-08-06",
        f"/{ACCOUNT}/{ACCOUNT}/library",
        "restype:container",
    ]
    signed = hmac.new(base64.b64decode(KEY), "\n".join(lines).encode(), hashlib.sha256).digest()
    headers = {
        "x-ms-date": date,
        "x-ms-version": "2021-08-06",
        "Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(signed).decode()}",
    }
    url = f"http://127.0.0.1:{port}/{ACCOUNT}/library?restype=container"
    urllib.request.urlopen(urllib.request.Request(url, headers=headers, method="PUT"), timeout=30).close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of an emulator with an empty container."""
    program = shutil.which("azurite-blob")
    if program is None:
        pytest.skip("a pretended Azure needs azurite-blob on the PATH: npm install -g azurite")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    command = [program, "--blobPort", str(port), "--location", str(tmp_path_factory.mktemp("azure")), "--silent"]
    running = subprocess.Popen(
        [*command, "--disableTelemetry", "--skipApiVersionCheck"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while running.poll() is None:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            time.sleep(0.1)
        assert running.poll() is None, "azurite-blob ended at once"
        make_container(port)
        yield port
    finally:
        running.terminate()
        running.wait()


@pytest.fixture
def url(server: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A place of its own for one test."""
    settings = {
        "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
        "AZURE_STORAGE_ACCOUNT_KEY": KEY,
        "AZURE_ENDPOINT": f"http://127.0.0.1:{server}/{ACCOUNT}",
        "AZURE_ALLOW_HTTP": "true",
    }
    for key, value in settings.items():
        monkeypatch.setenv(key, value)
    return f"az://library/{tmp_path.name}"


def test_an_index_travels(tmp_path: Path, url: str, encoder: WordEncoder) -> None:
    source = make_index(tmp_path / "a", documents(300), encoder)
    assert publish(source, url).version == 1
    assert not publish(source, url).new
    pull(url, tmp_path / "b")
    assert answers_at(tmp_path / "b", encoder) == answers_at(source, encoder)
    with Index.open(source, encoder=encoder) as index:
        index.update(documents(10, seed=4))
    assert publish(source, url).version == 2
    pull(url, tmp_path / "b")
    assert answers_at(tmp_path / "b", encoder) == answers_at(source, encoder)
    assert prune(url, keep=1, grace_s=0).versions == (1,)
    pull(url, tmp_path / "c")
    assert answers_at(tmp_path / "c", encoder) == answers_at(source, encoder)


def test_an_object_is_created_once(url: str) -> None:
    store = Store(url)
    store.create("versions/a.json", b"first")
    with pytest.raises(ObjectExistsError):
        store.create("versions/a.json", b"second")
    assert store.read("versions/a.json") == b"first"


def test_large_files_travel_in_parts(url: str, tmp_path: Path) -> None:
    check_large_file(Store(url), tmp_path / "large")


def test_places_that_cannot_be_used(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StorageError, match=r"Nothing is published at .* yet: it is empty"):
        pull(url, tmp_path / "b")
    with pytest.raises(StorageError, match="there is no such bucket"):
        pull(url.replace("library", "nowhere"), tmp_path / "b")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "Zm9v")
    with pytest.raises(StorageError, match=r"access is refused. Check the credentials"):
        pull(url, tmp_path / "b")
    assert not (tmp_path / "b").exists()


@LOST
def test_cut_at_every_request(
    tmp_path: Path, url: str, encoder: WordEncoder, monkeypatch: pytest.MonkeyPatch, answered: bool
) -> None:
    for number, check in enumerate((check_publishing_cut, check_pulling_cut)):
        (tmp_path / str(number)).mkdir()
        check(tmp_path / str(number), f"{url}-{number}", encoder, monkeypatch, answered=answered)


def test_two_publishers_at_once(tmp_path: Path, url: str, encoder: WordEncoder) -> None:
    check_publishers_at_once(tmp_path, url, encoder, ROUNDS)
