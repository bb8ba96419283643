"""More requests than can be answered: some are answered as ever, the others refused at once, and afterwards all is as before."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from polyvec.encoder import Encoded
from tests.conftest import WordEncoder
from tests.serve.conftest import Start
from tests.serve.running import Running, wait_for


class Slow(WordEncoder):
    """Takes 5 ms for a batch of questions."""

    def stream_queries(self, texts: Any, *, progress: Callable[[int], None] | None = None) -> Iterator[Encoded]:
        given = list(texts)
        time.sleep(0.005 * len(given))
        return super().stream_queries(given)


def ask(server: Running, seconds: float, clients: int) -> tuple[Counter[int], list[httpx.Response]]:
    """What so many clients without pause get, and the refusals among it."""
    counts: Counter[int] = Counter()
    refused: list[httpx.Response] = []
    lock = threading.Lock()
    end = time.monotonic() + seconds

    def one(number: int) -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=30, trust_env=False) as client:
            while time.monotonic() < end:
                answer = client.post("/v1/search", json={"query": f"bees {number}", "k": 3})
                with lock:
                    counts[answer.status_code] += 1
                    if answer.status_code == 429:
                        refused.append(answer)
                if answer.status_code == 200:
                    assert answer.json()["results"][0]["query"] == f"bees {number}", "nobody gets another's answer"
                else:
                    time.sleep(0.01)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return counts, refused


def test_overload(start: Start) -> None:
    server = start(encoder=Slow(), queue=4, threads=2)
    counts, refused = ask(server, 3.0, 16)
    assert set(counts) == {200, 429}
    assert counts[200] > 20
    problem = refused[0].json()
    assert problem["type"] == "/docs#queue-full"
    assert all(int(one.headers["retry-after"]) >= 1 for one in refused)
    wait_for(lambda: server.serving.pool.held == 0)
    assert all(server.post("/v1/search", {"query": "bees"}).status_code == 200 for _ in range(20))
    text = server.client.get("/metrics").text
    assert 'polyvec_refused_total{reason="queue-full"}' in text
    assert 'polyvec_request_seconds_count{method="POST",route="/v1/search",status="429"}' in text


def test_as_many_clients_as_places_are_all_answered(start: Start) -> None:
    server = start(encoder=Slow(), queue=8, threads=2)
    counts, _ = ask(server, 2.0, 8)
    assert set(counts) == {200}


def test_a_long_request_does_not_hold_up_short_ones(start: Start) -> None:
    server = start(encoder=Slow(), threads=1)
    ended: list[float] = []

    def long() -> None:
        server.search([f"bees {n}" for n in range(150)])
        ended.append(time.monotonic())

    thread = threading.Thread(target=long)
    thread.start()
    wait_for(lambda: server.serving.pool.held == 1)
    for _ in range(5):
        server.search("bread")
    short = time.monotonic()
    thread.join()
    assert short < ended[0]


def test_searches_go_on_while_a_write_takes_its_time(start: Start) -> None:
    gate, begun = threading.Event(), threading.Event()

    class Held(WordEncoder):
        def stream_documents(self, texts: Any, *, progress: Callable[[int], None] | None = None) -> Iterator[Encoded]:
            for text in texts:
                if text.startswith("held"):
                    begun.set()
                    gate.wait(30)
                yield from super().stream_documents([text])

    server = start(encoder=Held())
    answers: list[int] = []
    write = threading.Thread(
        target=lambda: answers.append(
            server.put([{"id": "bread", "text": "changed"}, {"id": "x", "text": "held"}]).status_code
        )
    )
    write.start()
    assert begun.wait(20)
    assert server.search("bread oven", k=1)[0]["hits"][0]["text"] == "Bread is baked in an oven.", (
        "nothing of it is seen yet"
    )
    later = threading.Thread(target=lambda: answers.append(server.delete({"ids": ["x"]}).json()["deleted"]))
    later.start()
    gate.set()
    write.join()
    later.join()
    assert answers == [200, 1], "writes are done in order"
    assert server.client.get("/v1/documents/bread").json()["text"] == "changed"
