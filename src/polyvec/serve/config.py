"""How to serve: every setting, once, under one name for flags, environment variables and the settings file.

`--max-body 8MB`, `POLYVEC_MAX_BODY=8MB` and `max_body = "8MB"` say the same. A flag counts before the environment, and that before
the file.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from polyvec.arguments import flag, list_of, one_of, shown, whole_number
from polyvec.data.toml_tables import read_toml
from polyvec.errors import InputError
from polyvec.scoring import default_threads

LogFormat = Literal["text", "json", "none"]

_PREFIX = "POLYVEC_"
_SIZES = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_TIMES = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_AMOUNT = re.compile(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*([a-z]*)\s*", re.IGNORECASE)
_SIZED = ("max_body", "max_upload")
_TIMED = ("timeout", "write_timeout", "stop_timeout")
_COUNTED = {
    "queue": "requests", "threads": "threads", "max_k": "hits", "max_batch": "texts", "max_text": "characters",
    "max_connections": "connections",
}  # fmt: skip
_LISTED = ("tokens", "cors_origin", "allowed_host")


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """Checked on creation. Raises InputError for a value that makes no sense."""

    host: str = "127.0.0.1"  # address to listen at
    port: int = 8000  # 0: any free one
    token_file: str | None = None  # TOML with the tokens of clients, see polyvec.serve.tokens
    tokens: tuple[str, ...] = ()  # "read:SECRET" or "write:SECRET"; from environment or file, never a flag
    anonymous: bool = False  # whether anybody may ask without a token on an address that others reach
    read_only: bool = False  # whether every write is refused
    follow: bool = False  # whether every search sees what other processes have committed
    max_body: int = 8_000_000  # bytes of a JSON body, and of one line of NDJSON
    max_upload: int = 2_000_000_000  # bytes of one NDJSON stream of documents
    max_k: int = 10_000  # hits that one query may ask for
    max_batch: int = 1000  # queries, or texts to encode or to rerank, in one request
    max_text: int = 1_000_000  # characters of one text to encode, to rerank or to store
    max_connections: int = 1000  # open at once
    queue: int | None = None  # requests accepted at once; None: 16 a thread, at least 32
    threads: int | None = None  # threads that search; None: as many as processors
    timeout: float = 10.0  # seconds that one request may take, but for writes
    write_timeout: float = 600.0  # seconds that one write may take
    stop_timeout: float = 30.0  # seconds that accepted requests have to finish when the server stops
    cors_origin: tuple[str, ...] = ()  # origins whose web pages may ask
    allowed_host: tuple[str, ...] = ()  # names in the Host header that are answered beside the usual ones
    log_format: LogFormat = "text"  # of the line a request

    def __post_init__(self) -> None:
        def keep(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        for name in ("host", "token_file"):
            value = getattr(self, name)
            if (value is not None or name == "host") and (not isinstance(value, str) or not value.strip()):
                raise InputError(f"{name}={shown(value)}: expected a name that is not empty.")
        keep("port", whole_number("port", self.port, least=0, most=65535))
        for name in ("anonymous", "read_only", "follow"):
            keep(name, flag(name, getattr(self, name)))
        for name in _SIZED:
            keep(name, size_bytes(name, getattr(self, name)))
        for name in _TIMED:
            keep(name, duration_s(name, getattr(self, name)))
        for name, counted in _COUNTED.items():
            value = getattr(self, name)
            if value is not None or name not in ("queue", "threads"):
                keep(name, whole_number(name, value, of=counted))
        for name in _LISTED:
            keep(name, tuple(_texts(name, getattr(self, name))))
        keep("log_format", one_of("log_format", self.log_format, get_args(LogFormat)))

    @property
    def search_threads(self) -> int:
        """Threads that search."""
        return default_threads() if self.threads is None else self.threads

    @property
    def places(self) -> int:
        """Requests that are accepted at once, waiting ones included."""
        return max(32, 16 * self.search_threads) if self.queue is None else self.queue

    @property
    def on_loopback(self) -> bool:
        """Whether only programs of this machine reach the address."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def load_config(
    given: Mapping[str, Any], *, environment: Mapping[str, str] | None = None, path: Path | None = None
) -> ServeConfig:
    """The settings of flags, environment and file together.

    Args:
        given: Settings by name, as flags have them; those that are None were not given.
        environment: Variables by name; None for those of this process.
        path: A TOML file of settings.

    Raises:
        InputError: An unknown setting, or a value that makes no sense.
    """
    known = {one.name for one in fields(ServeConfig)}
    values: dict[str, Any] = {}
    if path is not None:
        values.update(read_toml(path))
        for name in values:
            if name not in known:
                raise InputError(f"{path}: unknown setting {name!r}; expected some of {', '.join(sorted(known))}.")
    for variable, text in (os.environ if environment is None else environment).items():
        name = variable.removeprefix(_PREFIX).lower()
        if variable.startswith(_PREFIX) and name in known:
            values[name] = _from_text(name, text)
    values.update({name: value for name, value in given.items() if value is not None})
    return ServeConfig(**values)


def size_bytes(name: str, value: Any) -> int:
    """Bytes: a whole number, or a text such as 8MB or 512KiB."""
    if isinstance(value, str):
        number, unit = _amount(name, value, "a size such as 8MB")
        if unit.upper() not in _SIZES:
            raise InputError(f"{name}={shown(value)}: expected a size such as 8MB or 512KiB.")
        value = int(number * _SIZES[unit.upper()])
    return whole_number(name, value, most=2**50, of="bytes")


def duration_s(name: str, value: Any) -> float:
    """Seconds: a number above 0, or a text such as 10s or 500ms."""
    expected = "expected a time above 0 and up to a day, such as 10s or 500ms"
    if isinstance(value, str):
        number, unit = _amount(name, value, "a time such as 10s")
        if unit.lower() not in _TIMES:
            raise InputError(f"{name}={shown(value)}: {expected}.")
        value = number * _TIMES[unit.lower()]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 86400:
        raise InputError(f"{name}={shown(value)}: {expected}.")
    return float(value)


def _amount(name: str, text: str, expected: str) -> tuple[float, str]:
    found = _AMOUNT.fullmatch(text)
    if found is None:
        raise InputError(f"{name}={shown(text)}: expected {expected}.")
    return float(found[1]), found[2]


def _texts(name: str, value: Any) -> list[str]:
    found = list(list_of(name, value))
    for one in found:
        if not isinstance(one, str) or not one.strip():
            raise InputError(f"{name}: one of them is {shown(one)}; expected texts that are not empty.")
    return found


def _from_text(name: str, text: str) -> Any:
    """An environment variable's text as the setting has it."""
    if name in _LISTED:
        return [part.strip() for part in text.split(",") if part.strip()]
    if name in ("anonymous", "read_only", "follow"):
        if text.lower() not in ("1", "true", "yes", "0", "false", "no", ""):
            raise InputError(f"{_PREFIX}{name.upper()}={shown(text)}: expected true or false.")
        return text.lower() in ("1", "true", "yes")
    if name == "port" or name in _COUNTED:
        if not text.strip().isdecimal():
            raise InputError(f"{_PREFIX}{name.upper()}={shown(text)}: expected a whole number.")
        return int(text[:20])
    return text
