"""A place in a store: URLs, objects made once, and errors in one line."""

from __future__ import annotations

import http.server
import io
import json
import os
import threading
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote

import pytest

from polyvec.errors import InputError, StorageError
from polyvec.publish.store import ObjectExistsError, ObjectMissingError, Store, parsed_url

pytest.importorskip("obstore", reason="publishing needs obstore: pip install 'polyvec[publish]'")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"), make=True)


def test_objects_are_written_read_listed_and_deleted(store: Store) -> None:
    store.write("files/one", io.BytesIO(b"123456"), 6)
    store.create("versions/a.json", b"{}")
    assert store.read("files/one") == b"123456"
    assert store.read_ranges("files/one", [(1, 3), (4, 6)]) == [b"23", b"56"]
    assert [(one.name, one.size_bytes) for one in store.listed("files/")] == [("files/one", 6)]
    assert store.names() == ["files", "versions"]
    store.delete("files/one")
    store.delete("files/one")
    assert store.listed("files/") == []


def test_an_object_is_created_once(store: Store) -> None:
    store.create("versions/a.json", b"first")
    with pytest.raises(ObjectExistsError, match=r"Cannot write versions/a.json at .*: it is there already"):
        store.create("versions/a.json", b"second")
    assert store.read("versions/a.json") == b"first"


def test_what_is_not_there_is_named(store: Store) -> None:
    for call in (lambda: store.read("files/none"), lambda: store.read_ranges("files/none", [(0, 1)])):
        with pytest.raises(ObjectMissingError, match="Cannot read files/none at "):
            call()


def test_the_clock_is_that_of_the_store(store: Store) -> None:
    before = store.now()
    assert store.now() >= before
    assert abs((datetime.now(timezone.utc) - before).total_seconds()) < 3600  # here, both are this machine's


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir(mode=0o555)
    with pytest.raises(StorageError, match=r"access is refused|Cannot write"):
        Store(str(tmp_path / "store")).now()


@pytest.mark.parametrize("answer", ["PermissionDeniedError", "UnauthenticatedError"])
def test_a_refusal_names_the_credentials(store: Store, answer: str) -> None:
    from obstore import exceptions

    def refuse() -> None:
        raise getattr(exceptions, answer)("<html>403\n\nForbidden</html>\n\nDebug source:\nlong")

    with pytest.raises(StorageError, match=r"access is refused. Check the credentials"):
        store._request("write x", refuse)


@pytest.mark.parametrize(
    "answer",
    [
        "Server returned non-2xx status code: 403 Forbidden: <Code>RequestTimeTooSkewed</Code>",
        "403 Forbidden: AuthenticationFailed: Request date header too old: 'Sat, 28 Nov 2026 01:00:00 GMT'",
    ],
)
def test_a_refusal_on_account_of_the_clock_says_so(store: Store, answer: str) -> None:
    from obstore.exceptions import GenericError

    def refuse() -> None:
        raise GenericError(answer)

    with pytest.raises(StorageError, match="this machine's clock is off"):
        store._request("write x", refuse)


def test_a_reason_is_one_short_line(store: Store) -> None:
    from obstore.exceptions import GenericError

    def fail() -> None:
        raise GenericError("Generic S3 error: <b>gone\naway</b> " + "x" * 1000 + "\n\nDebug source:\nlong")

    with pytest.raises(StorageError) as caught:
        store._request("read x", fail)
    assert "gone away" in str(caught.value)
    assert "Debug" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("given", "spelled"),
    [
        ("s3://bucket/a//b/", "s3://bucket/a/b"),
        ("gs://bucket/a", "gs://bucket/a"),
        ("az://container/a", "az://container/a"),
        ("file:///tmp/a%20b", os.path.abspath("/tmp/a b")),
        ("here", os.path.abspath("here")),
        ("here/../there/", os.path.abspath("there")),
    ],
)
def test_a_url_has_one_spelling(given: str, spelled: str) -> None:
    assert parsed_url(given)[0] == spelled


@pytest.mark.parametrize(
    "url", ["", "s3://", "s3://b", "s3://b/a\n", "file://host/a", "s3://b/a?x=1", "gopher://b/a", None, 3, b"x"]
)
def test_what_is_no_url_is_refused(url: object) -> None:
    with pytest.raises(InputError, match="url="):
        parsed_url(url)  # type: ignore[arg-type]


class _Recorder(http.server.BaseHTTPRequestHandler):
    """A server that says yes to everything, and remembers what it was asked."""

    asked: ClassVar[list[tuple[str, str, dict[str, str]]]] = []

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.asked.append(
            (self.command, self.path, {name.lower(): value for name, value in self.headers.items()})
        )  # fmt: skip
        self.send_response(201)
        self.send_header("ETag", '"1"')
        self.send_header("x-goog-generation", "1")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def recorder() -> Iterator[str]:
    _Recorder.asked.clear()
    server = http.server.HTTPServer(("127.0.0.1", 0), _Recorder)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_azure_is_asked_for_a_creation(recorder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "Zm9v")
    monkeypatch.setenv("AZURE_ENDPOINT", recorder)
    monkeypatch.setenv("AZURE_ALLOW_HTTP", "true")
    Store("az://container/name").create("versions/a.json", b"{}")
    [(_, path, headers)] = _Recorder.asked
    assert path == "/container/name/versions/a.json"
    assert headers["if-none-match"] == "*"


def test_google_is_asked_for_a_creation(recorder: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    account = {"gcs_base_url": recorder, "disable_oauth": True}
    account |= dict.fromkeys(("client_email", "private_key", "private_key_id"), "")
    (tmp_path / "account.json").write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(tmp_path / "account.json"))
    monkeypatch.setenv("GOOGLE_ALLOW_HTTP", "true")
    Store("gs://bucket/name").create("versions/a.json", b"{}")
    [(_, path, headers)] = _Recorder.asked
    assert unquote(path) == "/bucket/name/versions/a.json"
    assert headers["x-goog-if-generation-match"] == "0"
