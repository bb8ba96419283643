"""What is tried again, and what is not: against a server that answers from a script."""

from __future__ import annotations

import json
import socket
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("httpx", reason="the extra `client` is not installed")

from polyvec import Client
from polyvec.client import calls, retries
from polyvec.client.answers import Problem
from polyvec.client.calls import Call
from polyvec.client.retries import MOST_TRIES, Tries
from polyvec.errors import InputError, PolyvecError, ServerError
from tests.client.scripted import CUT, problem, scripted

FOUND = (200, {"results": [{"query": "a", "hits": []}]}, {})
STORED = (200, {"added": 1, "replaced": 0, "skipped": 0, "tokens": 1, "truncated": 0, "took_ms": 1}, {})
DELETED = (200, {"deleted": 1, "took_ms": 1}, {})
GOT = (200, {"documents": [None]}, {})
FULL = (429, problem("queue-full", 429, "Too much is waiting."), {"retry-after": "0"})
STOPPING = (503, problem("stopping", 503, "The server is stopping."), {})
DOCUMENT = {"id": "1", "text": "a"}


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "_FIRST_PAUSE_S", 0.001)


def _search(client: Client) -> Any:
    return client.search("a")


def _get(client: Client) -> Any:
    return client.get(["a"])


def _update(client: Client) -> Any:
    return client.update([DOCUMENT])


def _update_stream(client: Client) -> Any:
    return client.update(iter([DOCUMENT]))


def _add(client: Client) -> Any:
    return client.add([DOCUMENT])


def _delete(client: Client) -> Any:
    return client.delete(["1"])


def _change(client: Client) -> Any:
    return client.update_metadata({"1": {"a": 1}})


@pytest.mark.parametrize(
    ("call", "first", "answer", "tries"),
    [
        (_search, CUT, FOUND, 2),
        (_get, CUT, GOT, 2),
        (_update, CUT, STORED, 2),  # doing it twice leaves the same documents
        (_update_stream, CUT, STORED, 1),  # the stream is used up
        (_add, CUT, STORED, 1),  # the second time, the document would be there
        (_delete, CUT, DELETED, 1),  # the count would be another one
        (_change, CUT, (200, {"changed": 1}, {}), 1),
        (_search, FULL, FOUND, 2),
        (_add, FULL, STORED, 2),  # nothing was begun
        (_delete, FULL, DELETED, 2),
        (_change, STOPPING, (200, {"changed": 1}, {}), 2),
        (_update_stream, FULL, STORED, 1),
        (_search, STOPPING, FOUND, 2),
        (_search, (502, b"<html>proxy</html>", {}), FOUND, 2),
        (_add, (502, b"<html>proxy</html>", {}), STORED, 1),  # who knows what was done behind the proxy
        (_search, (500, problem("fault", 500), {}), FOUND, 1),
        (_search, (504, problem("timed-out", 504), {}), FOUND, 1),
        (_search, (422, problem("invalid", 422), {}), FOUND, 1),
        (_search, (503, problem("unusable", 503), {}), FOUND, 2),
        (_search, (404, b"not found", {}), FOUND, 1),
        (_search, (307, b"", {"location": "/elsewhere"}), FOUND, 1),
    ],
)
def test_only_what_is_safe_is_tried_again(call: Callable[[Client], Any], first: Any, answer: Any, tries: int) -> None:
    with scripted(first, answer) as script, Client(script.url) as client:
        if tries == 1:
            with pytest.raises(PolyvecError):
                call(client)
        else:
            call(client)
        assert len(script.asked) == tries
        assert len({(asked.method, asked.path, asked.body) for asked in script.asked}) == 1


def test_it_gives_up_with_the_servers_sentence() -> None:
    with scripted(FULL) as script, Client(script.url) as client:
        with pytest.raises(ServerError, match=r"^Too much is waiting\.$") as raised:
            client.search("a")
        assert len(script.asked) == MOST_TRIES
        assert raised.value.status == 429
        assert raised.value.request_id == "r1"


def test_a_write_that_may_have_been_done_says_so() -> None:
    with (
        scripted(CUT) as script,
        Client(script.url) as client,
        pytest.raises(ServerError, match=r"does not answer .* It may have been done\. Is the server running\?"),
    ):
        client.add([DOCUMENT])


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with Client(url, timeout=5) as client:
        with pytest.raises(ServerError, match=f"{url} does not answer .*Is the server running") as raised:
            client.search("a")
        assert raised.value.status is None
        with pytest.raises(ServerError) as raised:
            client.add(iter([DOCUMENT]))
        assert "may have been done" not in str(raised.value)


def test_a_long_retry_after_is_not_waited_for() -> None:
    late = (429, problem("queue-full", 429), {"retry-after": "60"})
    with scripted(late, FOUND) as script, Client(script.url, timeout=2) as client:
        with pytest.raises(ServerError):
            client.search("a")
        assert len(script.asked) == 1


def test_a_server_that_never_answers_is_left_at_the_deadline() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        Client(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.2) as client,
        pytest.raises(ServerError),
    ):
        client.search("a")


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"results": 3}', b'{"results": [{"hits": [{}]}]}', b"[" * 9999]
)
def test_another_program_answers(body: bytes) -> None:
    with (
        scripted((200, body, {})) as script,
        Client(script.url) as client,
        pytest.raises(ServerError, match="answered with something else than this version of polyvec expects"),
    ):
        client.search("a")


def test_requests_carry_the_token_and_what_was_asked() -> None:
    with scripted(FOUND) as script, Client(f"{script.url}/behind/a/proxy/", token="secret-of-a-test") as client:
        client.search("é", k=3, filter={"a": 1}, exact=True)
        (asked,) = script.asked
        assert asked.path == "/behind/a/proxy/v1/search"
        assert asked.headers["authorization"] == "Bearer secret-of-a-test"
        assert json.loads(asked.body) == {"query": ["é"], "k": 3, "filter": {"a": 1}, "options": {"exact": True}}


def test_a_mistake_in_a_stream_ends_it() -> None:
    def documents() -> Iterator[Any]:
        yield DOCUMENT
        yield {"id": "2"}

    with (
        scripted(STORED) as script,
        Client(script.url) as client,
        pytest.raises(InputError, match="document 1: no text in document '2'"),
    ):
        client.add(documents())


def test_an_error_of_the_callers_own_stream_comes_out() -> None:
    def documents() -> Iterator[Any]:
        yield DOCUMENT
        raise ZeroDivisionError

    with scripted(STORED) as script, Client(script.url) as client:
        with pytest.raises(ZeroDivisionError):
            client.add(documents())
        assert client.add([DOCUMENT]).added == 1  # the client goes on


def test_large_adds_take_bounded_memory() -> None:
    count, text = 4000, "word " * 2000  # 40 MB

    def documents() -> Iterator[Any]:
        for number in range(count):
            yield {"id": str(number), "text": text}

    call = calls.add(None, documents(), "replace", None)
    assert call.lines is not None
    tracemalloc.start()
    sent = sum(len(chunk) for chunk in call.lines())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sent > count * len(text)
    assert peak < 2_000_000


class Clock:
    """Time as a test has it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@given(timeout=st.floats(0.5, 600), asked=st.lists(st.one_of(st.none(), st.integers(0, 20)), min_size=1, max_size=10))
def test_pauses_never_pass_the_deadline(timeout: float, asked: list[int | None]) -> None:
    clock = Clock()
    tries = Tries(Call("GET", "/", lambda answer: answer), "http://x", timeout, clock=clock)
    made = 0
    for retry_after in asked:
        try:
            pause = tries.after_answer(
                Problem(429, problem("queue-full", 429)), None if retry_after is None else str(retry_after)
            )
        except ServerError:
            break
        made += 1
        assert pause >= (retry_after or 0)
        clock.now += pause
        assert clock.now < timeout
        assert tries.left_s() > 0
    assert made < MOST_TRIES
    clock.now = timeout
    with pytest.raises(ServerError, match="gave no answer within"):
        tries.left_s()
