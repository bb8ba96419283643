"""A real server and a real browser. Everything here is skipped, with the reason, where one of the two is absent."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from polyvec import Encoder, Index
from polyvec.demo import load_demo

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

BEES = "How do bees tell each other where the flowers are?"
MARKUP = (
    "A page <script>document.title='taken over'</script> with <img src=x onerror=\"document.title='taken over'\"> &amp;"
)

# No sandbox: tests run as root in containers. The rest keeps the browser itself off the network.
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def serve(paths: list[Path], encoder: Encoder, **settings: Any) -> Iterator[str]:
    """The server with these indexes, in a thread, until the generator goes on. Yields its address."""
    uvicorn = pytest.importorskip("uvicorn")
    pytest.importorskip("fastapi")
    from polyvec.serve.app import create_app
    from polyvec.serve.collections import open_collections
    from polyvec.serve.config import ServeConfig

    listening = socket.create_server(("127.0.0.1", 0))
    collections = open_collections(paths, encoder=encoder)
    for collection in collections.values():
        collection.examples = [BEES, "为什么看不到月球的背面？"]
    app = create_app(collections, ServeConfig(**settings))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False, ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started and thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert server.started, "the server did not start"
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    server.should_exit = True
    thread.join(30)
    assert not thread.is_alive()


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    return Encoder()


@pytest.fixture(scope="session")
def indexes(tmp_path_factory: pytest.TempPathFactory, encoder: Encoder) -> list[Path]:
    """The demo corpus; documents with markup, numbers, emoji and much text; nothing."""
    folder = tmp_path_factory.mktemp("served")
    paths = [folder / f"{name}.polyvec" for name in ("demo", "odd", "empty")]
    with Index.create(paths[0], encoder=encoder) as index:
        index.add(load_demo().documents)
    with Index.create(paths[1], encoder=encoder) as index:
        index.add(
            [
                {"id": "markup", "title": "<b>Bold</b>", "text": MARKUP, "year": 1999, "kind": "<i>a</i>"},
                {"id": "long", "text": "Sand. " * 300 + "Bees dance. " + "Sand. " * 300, "year": 2004, "kind": "b"},
                {
                    "id": "emoji",
                    "text": "🐝🐝 Bees tell each other 🌸 where the flowers are.",
                    "year": 2010,
                    "kind": "b",
                },
            ]
        )
    Index.create(paths[2], encoder=encoder).close()
    return paths


@pytest.fixture(scope="session")
def address(indexes: list[Path], encoder: Encoder) -> Iterator[str]:
    yield from serve(indexes, encoder)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One browser for this folder's tests. While it is open, an event loop runs in this thread: others need it closed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make test-all")
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=found, args=_FLAGS)
        yield chromium
        chromium.close()


@dataclass
class Visit:
    """One page in the browser, and what it did that nobody sees."""

    page: Page
    address: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)  # of the console, and uncaught errors

    def open(self, query: str = "", **parts: str) -> Page:
        """Go to the page with ?c=demo&q=query and other parts, and wait for what it shows."""
        given = {"c": "demo", "q": query, **parts}
        self.page.goto(self.address + "?" + "&".join(f"{key}={quote(value)}" for key, value in given.items() if value))
        self.settle()
        return self.page

    def settle(self) -> None:
        """Wait until something is shown and no request is under way."""
        self.page.wait_for_function(
            "() => !document.querySelector('#ask.waiting') && "
            "['#hits > li', '#welcome:not([hidden])', '#notice:not([hidden])'].some((one) => document.querySelector(one))"
        )

    def shown(self) -> list[str]:
        """The ids of the hits, in order."""
        return self.page.locator("#hits article").evaluate_all("all => all.map((one) => one.dataset.id)")


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Visit]:
    yield from visiting(browser, address)


@pytest.fixture
def phone(browser: Browser, address: str) -> Iterator[Visit]:
    yield from visiting(browser, address, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)


Visiting = Callable[..., Iterator[Visit]]


def visiting(browser: Browser, address: str, **settings: Any) -> Iterator[Visit]:
    """A fresh browser context. What the console complains of fails the test, unless the test empties the list."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 860}, **settings})
    context.set_default_timeout(20_000)
    visit = Visit(context.new_page(), address)
    visit.page.on("request", lambda request: visit.requests.append(request.url))
    visit.page.on(
        "console", lambda said: visit.complaints.append(said.text) if said.type in ("error", "warning") else None
    )
    visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    yield visit
    outside = [url for url in visit.requests if not url.startswith(address) and not url.startswith("data:")]
    complaints = list(visit.complaints)
    context.close()
    assert outside == [], "the page asked somebody else"
    assert complaints == []
