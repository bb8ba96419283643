"""The tools over the protocol, asked with the official client: on stdin and stdout of a process, and over HTTP."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp", reason="the extra `mcp` is not installed")

import anyio
import httpx
import httpx2
from mcp import Client, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from starlette.applications import Starlette
from starlette.routing import Mount

import polyvec
from polyvec.collection.index import Index
from polyvec.errors import StorageError
from polyvec.serve.mcp import http_manager, make_server
from polyvec.serve.mcp_tools import Answer, AssistantTools
from tests.serve.in_thread import running, served

ROWS = [
    {"id": "bees", "text": "Bees dance to tell each other where the flowers are.", "lang": "en", "year": 2001},
    {"id": "mond", "text": "Der Mond wendet der Erde immer dieselbe Seite zu.", "lang": "de", "year": 1990},
    {"id": "te", "text": "El té verde y el té negro vienen de la misma planta.", "lang": "es"},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index made with the model that ships, so that another process can open it."""
    path = tmp_path_factory.mktemp("mcp") / "notes.polyvec"
    with Index.create(path, encoder=polyvec.Encoder()) as index:
        index.add(ROWS)
    return path


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "polyvec", "mcp", *map(str, arguments)]


def _over_stdio(talk: Callable[[Client], Awaitable[None]], *arguments: object, mode: str = "auto") -> None:
    command = _command(*arguments)

    async def run() -> None:
        with anyio.fail_after(60):
            parameters = StdioServerParameters(command=command[0], args=command[1:])
            async with Client(stdio_client(parameters), mode=mode) as client:
                await talk(client)

    anyio.run(run)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_process_answers_the_official_client(folder: Path, mode: str) -> None:
    async def talk(client: Client) -> None:
        assert "across languages" in (client.instructions or "")
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"search", "get", "collections"}
        assert "across languages" in (tools["search"].description or "")
        assert all(tool.annotations is not None and tool.annotations.read_only_hint for tool in tools.values())
        answer = await client.call_tool(
            "search", {"query": "Comment les abeilles montrent-elles où sont les fleurs ?", "k": 1}
        )
        assert not answer.is_error
        assert answer.structured_content["hits"][0]["id"] == "bees"  # found in English, asked in French
        assert "Bees dance" in answer.content[0].text
        answer = await client.call_tool("search", {"query": "the moon", "filter": {"year": {"$lt": 2000}}})
        assert [hit["id"] for hit in answer.structured_content["hits"]] == ["mond"]
        answer = await client.call_tool("get", {"ids": ["te", "none"]})
        assert answer.structured_content["documents"][0]["text"] == ROWS[2]["text"]
        assert answer.structured_content["missing"] == ["none"]
        answer = await client.call_tool("collections")
        assert answer.structured_content["collections"][0]["name"].removesuffix(".polyvec") == "notes"

    _over_stdio(talk, folder, mode=mode)


def test_errors_are_tool_errors_in_one_sentence(folder: Path) -> None:
    async def talk(client: Client) -> None:
        for name, arguments, said in [
            ("search", {"query": "moon", "k": 0}, "k=0: expected a whole number of hits, at least 1."),
            ("search", {"query": "moon", "filter": {"year": {"$foo": 1}}}, "$foo"),
            ("search", {}, "search: the argument 'query' is missing."),
            ("forget", {"ids": ["te"]}, "there is no such tool"),
        ]:
            answer = await client.call_tool(name, arguments)
            assert answer.is_error
            assert said in answer.content[0].text
            assert "\n" not in answer.content[0].text

    _over_stdio(talk, folder)


def test_what_another_process_adds_is_found(tmp_path: Path) -> None:
    path = tmp_path / "growing.polyvec"
    Index.create(path, encoder=polyvec.Encoder()).close()

    async def talk(client: Client) -> None:
        assert (await client.call_tool("search", {"query": "tea"})).structured_content["hits"] == []
        await anyio.to_thread.run_sync(_add, path)
        hits = (await client.call_tool("search", {"query": "tea"})).structured_content["hits"]
        assert [hit["id"] for hit in hits] == ["tea"]

    def _add(path: Path) -> None:
        with Index.open(path) as index:
            index.add([{"id": "tea", "text": "Green tea and black tea."}])

    _over_stdio(talk, path)


def test_stdout_holds_nothing_but_the_protocol(folder: Path) -> None:
    lines = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": _initialize()},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {
            "jsonrpc": "2.0",
            "id": 2,
            "method": "tools/call",
            "params": {"name": "search", "arguments": {"query": "tea"}},
        },
    ]
    given = "".join(json.dumps(line) + "\n" for line in lines) + "this is no JSON\n"
    process = subprocess.Popen(
        _command(folder, "--budget", "500"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(given)
    process.stdin.flush()
    answers: list[dict[str, Any]] = []
    while not any(answer.get("id") == 2 for answer in answers):
        answers.append(json.loads(process.stdout.readline()))
    out, err = process.communicate(timeout=30)  # stdin ends here, and with it the process
    assert process.returncode == 0, err
    answers += [json.loads(line) for line in out.splitlines()]
    assert all(answer["jsonrpc"] == "2.0" for answer in answers)
    assert "Traceback" not in err


def _initialize() -> dict[str, Any]:
    return {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_at_once(folder: Path, ending: signal.Signals) -> None:
    process = subprocess.Popen(_command(folder), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    line = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": _initialize()}
    process.stdin.write(json.dumps(line) + "\n")
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["result"]["serverInfo"]["name"] == "polyvec"
    process.send_signal(ending)
    assert process.wait(timeout=20) == -ending
    process.stdin.close()
    process.stdout.close()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["{tmp}/none.polyvec"], 1, "none.polyvec"),
        ([], 2, "INDEX"),
        (["{folder}", "{folder}"], 2, "Two collections are named 'notes"),
        (["{folder}", "--budget", "10"], 2, "--budget"),
    ],
)
def test_a_bad_start_is_one_line(folder: Path, tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    filled = [one.format(tmp=tmp_path, folder=folder) for one in arguments]
    ran = subprocess.run(
        _command(*filled), check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == code
    assert ran.stdout == ""
    assert said in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1


def test_without_the_extra_one_line_names_it(folder: Path) -> None:
    code = (
        f"import sys; sys.modules['mcp'] = None\nfrom polyvec.cli import main; sys.exit(main(['mcp', {str(folder)!r}]))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert ran.returncode == 1
    assert ran.stderr == "polyvec: Tools for assistants need mcp. Install it with: pip install 'polyvec[mcp]'\n"


# -- over HTTP ---------------------------------------------------------------------------------------------------------


def _app(tools: AssistantTools, **options: Any) -> Starlette:
    manager = http_manager(make_server(tools, ["notes"], **options), max_body=100_000)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with manager.run():
            yield

    return Starlette(routes=[Mount("/", app=manager.handle_request)], lifespan=lifespan)


def _over_http(url: str, talk: Callable[[Client], Awaitable[None]], mode: str = "auto") -> None:
    async def run() -> None:
        with anyio.fail_after(60):
            async with Client(f"{url}/mcp", mode=mode) as client:
                await talk(client)

    anyio.run(run)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_server_answers_the_official_client(folder: Path, mode: str) -> None:
    async def talk(client: Client) -> None:
        assert {tool.name for tool in (await client.list_tools()).tools} == {"search", "get", "collections"}
        answer = await client.call_tool("search", {"query": "Warum sieht man immer dieselbe Seite des Mondes?", "k": 1})
        assert answer.structured_content["hits"][0]["id"] == "mond"
        answer = await client.call_tool("search", {"query": ""})
        assert answer.is_error

    with served([folder]) as url:
        _over_http(url, talk, mode)


def test_a_server_asks_for_the_same_token(folder: Path) -> None:
    async def talk(client: Client) -> None:
        assert not (await client.call_tool("search", {"query": "moon"})).is_error

    async def run(url: str, token: str) -> None:
        async with (
            httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as http,
            Client(streamable_http_client(f"{url}/mcp", http_client=http)) as client,
        ):
            await talk(client)

    with served([folder], tokens=("read:reader-secret-0001",)) as url:
        anyio.run(run, url, "reader-secret-0001")
        with pytest.raises(BaseException) as raised:  # noqa: PT011  # a group of errors
            anyio.run(run, url, "another-secret-0001")
        assert "Server returned an error response" in "".join(traceback.format_exception(raised.value))
        assert httpx.post(f"{url}/mcp", json={}).status_code == 401


def test_only_post_is_answered(folder: Path) -> None:
    with served([folder]) as url:
        for method in ("GET", "DELETE", "PUT"):
            answer = httpx.request(method, f"{url}/mcp")
            assert answer.status_code == 405
            assert answer.headers["allow"] == "POST"
        answer = httpx.post(f"{url}/mcp", content=b"no JSON", headers={"content-type": "application/json"})
        assert answer.status_code == 400
        answer = httpx.post(f"{url}/mcp", json={}, headers={"host": "evil.example"})
        assert answer.status_code == 403


def test_a_server_hides_where_its_collections_lie(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "gone.polyvec"
    with Index.open(folder) as index:
        index.copy(path)

    async def talk(client: Client) -> None:
        path.rename(tmp_path / "moved.polyvec")
        answer = await client.call_tool("collections")
        assert answer.is_error
        assert str(tmp_path) not in answer.content[0].text

    with served([path]) as url:
        _over_http(url, talk)


class SlowTools(AssistantTools):
    """A tool that takes as long as a test wants."""

    def __init__(self) -> None:
        super().__init__({})
        self.released = threading.Event()

    def call(self, name: str, arguments: Any) -> Answer:
        if name == "collections":
            return Answer("none", {"collections": []})
        assert self.released.wait(timeout=30)
        return Answer("slow", {"collection": "notes", "query": "", "hits": [], "next_offset": None})


def test_a_slow_search_holds_nobody_up() -> None:
    tools = SlowTools()

    async def talk(client: Client) -> None:
        async with anyio.create_task_group() as group:
            done = anyio.Event()

            async def slow() -> None:
                assert (await client.call_tool("search", {"query": "x"})).content[0].text == "slow"
                done.set()

            group.start_soon(slow)
            assert (await client.call_tool("collections")).content[0].text == "none"
            assert not done.is_set()
            tools.released.set()

    with running(_app(tools)) as url:
        _over_http(url, talk)


def test_failures_inside_are_logged_and_say_nothing_about_the_inside(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(AssistantTools):
        def call(self, name: str, arguments: Any) -> Answer:
            if arguments:
                raise StorageError("The disk of the index is gone. Mount it again.")
            raise RuntimeError("secret /path")

    async def talk(client: Client) -> None:
        answer = await client.call_tool("search", {"query": "x"})
        assert answer.is_error
        assert answer.content[0].text == "The disk of the index is gone. Mount it again."
        answer = await client.call_tool("collections")
        assert answer.is_error
        assert answer.content[0].text == "collections failed inside the server; the server's log says why."

    with running(_app(Broken({}))) as url:
        _over_http(url, talk)
    assert "secret /path" in caplog.text


def test_the_calls_run_where_the_application_says() -> None:
    ran: list[str] = []

    async def run(call: Callable[[], Answer]) -> Answer:
        ran.append("here")
        return call()

    async def talk(client: Client) -> None:
        answer = await client.call_tool("collections")
        assert answer.structured_content == {"collections": []}

    with running(_app(AssistantTools({}), run=run)) as url:
        _over_http(url, talk)
    assert ran == ["here"]
