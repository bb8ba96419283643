"""The body of a request -> bytes, JSON, or a file of lines: never more than the limits say, never later than they say."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from collections.abc import AsyncIterator
from typing import IO, Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from polyvec.arguments import shown
from polyvec.serve.exchange import Exchange
from polyvec.serve.problems import Problem
from polyvec.serve.room import Room

Model = TypeVar("Model", bound=BaseModel)

_DISCARDED, _DISCARDED_S = 32 << 20, 2.0  # bytes and seconds for which too large a body is read on
_IN_MEMORY = 4 << 20  # bytes of a stream of documents that are kept in memory before it goes to a temporary file


class ClientGoneError(Exception):
    """The client closed the connection before it had its answer."""


async def read_request(request: Request, model: type[Model], *, most: int, within_s: float) -> Model:
    """The JSON body as one of the requests in schemas.py. Raises Problem for what is none."""
    check_media_type(request, ("application/json",))
    given = parse_json(await read_body(request, most=most, within_s=within_s))
    if not isinstance(given, dict):
        raise Problem("invalid", f"The body is {shown(given)}, expected an object.")
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise Problem("invalid", _sentence(error, model)) from None


async def read_body(request: Request, *, most: int, within_s: float) -> bytes:
    """The whole body. Raises Problem where it is too large or too slow, ClientGoneError where it ends early."""
    await _check_length(request, most)
    exchange: Exchange = request.scope["polyvec.exchange"]
    room: Room = request.app.state.serving.room
    parts: list[bytes] = []
    taken = 0
    async for part in _parts(request, within_s, for_all=True):
        taken += len(part)
        if taken > most:
            await _discard(request)
            raise _too_large(most)
        room.hold(exchange, len(part))
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def spool_body(request: Request, *, most: int, within_s: float) -> IO[bytes]:
    """The whole body in a temporary file, which is in memory while it is small. within_s: between two parts of it."""
    await _check_length(request, most)
    file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115  # its reader closes it
    taken = 0
    try:
        async for part in _parts(request, within_s, for_all=False):
            taken += len(part)
            if taken > most:
                await _discard(request)
                raise _too_large(most)
            file.write(part)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def parse_json(body: bytes, what: str = "The body") -> Any:
    """One JSON value of finite numbers, in UTF-8. what: what it is called in a message. Raises Problem."""
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise Problem("malformed-json", f"{what} is not UTF-8 at byte {error.start}. Encode it as UTF-8.") from None
    except json.JSONDecodeError as error:
        raise Problem("malformed-json", f"{what} is not JSON: {error.msg} at character {error.pos}.") from None
    except RecursionError:
        raise Problem("malformed-json", f"{what} is nested too deeply to be read.") from None
    except ValueError as error:  # a number of thousands of digits, or no finite one
        raise Problem(
            "malformed-json", f"{what} holds a number that is not taken: {str(error).split(';')[0]}."
        ) from None


def check_media_type(request: Request, allowed: tuple[str, ...]) -> str:
    """The media type of the body, without parameters. Raises Problem for one that is not allowed."""
    given = request.headers.get("content-type", "")
    kind = given.partition(";")[0].strip().lower()
    if kind not in allowed:
        raise Problem(
            "media-type", f"Content-Type is {shown(given) if given else 'missing'}, expected {' or '.join(allowed)}."
        )
    return kind


async def _parts(request: Request, within_s: float, *, for_all: bool) -> AsyncIterator[bytes]:
    """The parts of a body. within_s: for all of it, or between two parts."""
    clock = _Clock(within_s)
    try:
        while True:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            if part := message.get("body", b""):
                yield part
            if not message.get("more_body", False):
                return
            if not for_all:
                clock.stop()
                clock = _Clock(within_s)
    except asyncio.CancelledError:
        if not clock.rang:
            raise
        clock.forget()
        raise Problem(
            "slow-body", f"The body did not arrive within {within_s:g} s.", headers=[("connection", "close")]
        ) from None
    finally:
        clock.stop()


class _Clock:
    """Cancels the task that made it when its time is up; `asyncio.wait_for` makes one more task for each wait."""

    def __init__(self, seconds: float) -> None:
        self.rang = False
        self._task = asyncio.current_task()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._ring)

    def _ring(self) -> None:
        self.rang = True
        if self._task is not None:
            self._task.cancel()

    def stop(self) -> None:
        """No longer ring."""
        self._timer.cancel()

    def forget(self) -> None:
        """Take the cancellation back, which has been handled."""
        if self._task is not None and hasattr(self._task, "uncancel"):  # from Python 3.11
            self._task.uncancel()


async def _check_length(request: Request, most: int) -> None:
    given = request.headers.get("content-length", "0")
    length = int(given[:20]) if given.isdecimal() else 0
    if length > most:
        if length <= most + _DISCARDED and "expect" not in request.headers:
            await _discard(request)
        raise _too_large(most)


async def _discard(request: Request) -> None:
    """Read on for a while: a client that still writes when the connection is closed never sees the answer."""
    left = _DISCARDED
    with contextlib.suppress(Problem):
        async for part in _parts(request, _DISCARDED_S, for_all=True):
            left -= len(part)
            if left < 0:
                return


def _too_large(most: int) -> Problem:
    return Problem(
        "too-large", f"The body has more than {most:,} bytes, which are the most that are taken. Send less at once.",
        headers=[("connection", "close")],
    )  # fmt: skip


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a finite number")


def _sentence(error: ValidationError, model: type[BaseModel]) -> str:
    """The first thing that is wrong, in one sentence."""
    first = error.errors(include_url=False)[0]
    name = ".".join(map(str, first["loc"]))
    known = ", ".join(model.model_fields)
    if first["type"] == "missing":
        return f"{name} is missing; the fields are {known}."
    if first["type"] == "extra_forbidden":
        return f"unknown field {shown(name)}; expected some of {known}."
    return f"{name}: {first['msg']}."
