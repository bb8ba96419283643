"""Publishing and pulling through a pretended S3: moto's server, in this process, with conditional puts as S3 has them."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from polyvec import Index
from polyvec.errors import StorageError
from polyvec.publish import prune, publish, pull
from polyvec.publish.store import ObjectExistsError, Store
from tests.conftest import WordEncoder
from tests.publish.indexes import answers_at, check_large_file, documents, make_index
from tests.publish.test_cuts import LOST, check_publishers_at_once, check_publishing_cut, check_pulling_cut

pytestmark = pytest.mark.heavy
moto_server = pytest.importorskip("moto.server", reason="a pretended S3 needs moto: pip install 'moto[s3,server]'")
ROUNDS = int(os.environ.get("POLYVEC_ROUNDS", "5"))


def asked(url: str, method: str, content: bytes = b"") -> None:
    headers = {"Content-Type": "application/octet-stream"}
    urllib.request.urlopen(urllib.request.Request(url, content or None, headers, method=method), timeout=30).close()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    with one_put_at_a_time():
        running.start()
        host, port = running.get_host_and_port()
        yield f"http://{host}:{port}"
        running.stop()


@contextlib.contextmanager
def one_put_at_a_time() -> Iterator[None]:
    """S3 decides on a conditional put and does it at once; moto looks first and puts then, so that two may both be let through."""
    from moto.s3.responses import S3Response

    put, lock = S3Response.put_object, threading.Lock()

    def locked(self: S3Response) -> Any:
        with lock:
            return put(self)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(S3Response, "put_object", locked)
        yield


@pytest.fixture
def url(server: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[str]:
    settings = {
        "AWS_ENDPOINT_URL": server,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "something",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    asked(f"{server}/moto-api/reset", "POST")
    asked(f"{server}/library", "PUT")
    yield "s3://library/indexes/wiki"
    asked(f"{server}/moto-api/reset-auth", "POST", b"inf")


def test_an_index_travels_through_a_bucket(tmp_path: Path, url: str, encoder: WordEncoder) -> None:
    source = make_index(tmp_path / "a", documents(300), encoder)
    assert publish(source, url).version == 1
    assert not publish(source, url).new
    pull(url, tmp_path / "b")
    assert answers_at(tmp_path / "b", encoder) == answers_at(source, encoder)
    with Index.open(source, encoder=encoder) as index:
        index.update(documents(10, seed=4))
    done = publish(source, url)
    assert done.version == 2
    pull(url + "/", tmp_path / "b")
    assert answers_at(tmp_path / "b", encoder) == answers_at(source, encoder)
    pruned = prune(url, keep=1, grace_s=0)
    assert (pruned.versions, pruned.kept) == ((1,), (2,))
    pull(url, tmp_path / "c")
    assert answers_at(tmp_path / "c", encoder) == answers_at(source, encoder)


def test_large_files_travel_in_parts(url: str, tmp_path: Path) -> None:
    store = Store(url)
    check_large_file(store, tmp_path / "large")
    with pytest.raises(StorageError):
        store.read_ranges("files/large", [(30 << 20, 31 << 20)])
    with pytest.raises(ObjectExistsError):
        store.create("files/large", b"")


@LOST
def test_publishing_cut_at_every_request(
    tmp_path: Path, url: str, encoder: WordEncoder, monkeypatch: pytest.MonkeyPatch, answered: bool
) -> None:
    check_publishing_cut(tmp_path, url, encoder, monkeypatch, answered=answered)


@LOST
def test_pulling_cut_at_every_request(
    tmp_path: Path, url: str, encoder: WordEncoder, monkeypatch: pytest.MonkeyPatch, answered: bool
) -> None:
    check_pulling_cut(tmp_path, url, encoder, monkeypatch, answered=answered)


def test_of_many_that_create_one_object_one_succeeds(url: str) -> None:
    for number in range(ROUNDS):
        store, start, made = Store(url), threading.Barrier(4), list[int]()

        def create(which: int, store: Store = store, start: threading.Barrier = start, made: list[int] = made) -> None:
            start.wait()
            with contextlib.suppress(ObjectExistsError):
                store.create(f"versions/{number}.json", str(which).encode())  # noqa: B023 - joined below
                made.append(which)

        threads = [threading.Thread(target=create, args=(which,)) for which in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [str(which).encode() for which in made] == [store.read(f"versions/{number}.json")]


def test_two_publishers_at_once(tmp_path: Path, url: str, encoder: WordEncoder) -> None:
    check_publishers_at_once(tmp_path, url, encoder, ROUNDS)


def test_buckets_that_cannot_be_used(tmp_path: Path, url: str, server: str, encoder: WordEncoder) -> None:
    source = make_index(tmp_path / "a", documents(20), encoder)
    with pytest.raises(StorageError, match=r"Nothing is published at .* yet: it is empty"):
        pull(url, tmp_path / "b")
    for call in (lambda: pull("s3://nowhere/wiki", tmp_path / "b"), lambda: publish(source, "s3://nowhere/wiki")):
        with pytest.raises(StorageError, match="there is no such bucket"):
            call()
    asked(f"{server}/library/indexes/wiki/holiday.jpg", "PUT", b"x")
    with pytest.raises(StorageError, match=r"other things are there \('holiday.jpg'\)"):
        publish(source, url)
    policy = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::library/*"}
    asked(f"{server}/library?policy", "PUT", json.dumps({"Version": "2012-10-17", "Statement": [policy]}).encode())
    with pytest.raises(StorageError, match=r"Cannot write clock at .*: access is refused"):
        publish(source, "s3://library/indexes/news")
    asked(f"{server}/moto-api/reset-auth", "POST", b"0")  # from now on, credentials are checked
    for call in (lambda: publish(source, url), lambda: pull(url, tmp_path / "b")):
        with pytest.raises(StorageError, match=r"access is refused. Check the credentials"):
            call()
    assert not (tmp_path / "b").exists()


def test_a_server_that_is_not_there(
    tmp_path: Path, url: str, encoder: WordEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("polyvec.publish.store._RETRIES", {"max_retries": 0})
    with pytest.raises(StorageError, match="Cannot list versions/ at") as caught:
        pull(url, tmp_path / "b")
    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)
