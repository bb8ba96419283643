"""What both clients have: the address of a server, a token, a collection, deadlines; and how one HTTP request is made of a call."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from polyvec.arguments import number, shown
from polyvec.client.calls import Call
from polyvec.errors import InputError, MissingExtraError
from polyvec.version import __version__

_CONNECT_S = 10.0  # a server that does not accept a connection within this time is not there
_TOKEN = re.compile("[!-~]{1,4096}")


@dataclass(frozen=True)
class Settings:
    """Checked on creation. Raises InputError for what makes no sense."""

    url: str
    token: str | None
    collection: str | None
    timeout: float
    write_timeout: float

    def __post_init__(self) -> None:
        httpx = load_httpx()
        try:
            parsed = httpx.URL(self.url) if isinstance(self.url, str) else None
        except httpx.InvalidURL:
            parsed = None
        if (
            parsed is None
            or parsed.scheme not in ("http", "https")
            or not parsed.host
            or parsed.query
            or parsed.fragment
        ):
            raise InputError(f"url={shown(self.url)}: expected the address of a server, such as http://127.0.0.1:8000.")
        if parsed.userinfo:
            raise InputError("url: it holds a user name or a password. Give a token instead: Client(url, token=...).")
        object.__setattr__(self, "url", self.url.rstrip("/"))
        if self.token is not None and not (isinstance(self.token, str) and _TOKEN.fullmatch(self.token)):
            raise InputError("token: expected a text of printable ASCII characters without spaces.")
        if self.collection is not None and not (isinstance(self.collection, str) and self.collection):
            raise InputError(f"collection={shown(self.collection)}: expected the name of a collection, or None.")
        for name in ("timeout", "write_timeout"):
            seconds = number(name, getattr(self, name), "seconds, above 0", lambda value: value > 0)
            object.__setattr__(self, name, seconds)

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        headers = {"user-agent": f"polyvec/{__version__}", "accept": "application/json"}
        return headers if self.token is None else {**headers, "authorization": f"Bearer {self.token}"}

    def seconds(self, call: Call[Any]) -> float:
        """How long a call may take, all its tries together."""
        return self.write_timeout if call.writes else self.timeout


def load_httpx() -> Any:
    """The module httpx. Raises MissingExtraError."""
    try:
        import httpx
    except ImportError as error:
        raise MissingExtraError("The client needs httpx. Install it with: pip install 'polyvec[client]'") from error
    return httpx


def request_arguments(call: Call[Any], settings: Settings, left_s: float) -> dict[str, Any]:
    """The arguments of httpx's `stream` for one try. left_s: until the deadline."""
    httpx = load_httpx()
    arguments: dict[str, Any] = {
        "method": call.method,
        "url": settings.url + call.path,
        "params": dict(call.params),
        "timeout": httpx.Timeout(left_s, connect=min(left_s, _CONNECT_S)),
    }
    if call.body is not None:
        return {**arguments, "content": call.body, "headers": {"content-type": "application/json"}}
    return {**arguments, "headers": {"content-type": "application/x-ndjson"}} if call.lines else arguments


def was_sent(error: Exception) -> bool:
    """Whether the server may have got a request that failed."""
    httpx = load_httpx()
    return not isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout))
