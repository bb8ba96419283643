"""What a server answers -> the result, or the error that an index would have raised, with the same sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from polyvec.client.calls import Call
from polyvec.errors import (
    FilterError,
    IndexCorruptError,
    IndexLockedError,
    IndexMissingError,
    IndexReadOnlyError,
    InputError,
    PolyvecError,
    ServerError,
    ShardsMissingError,
)

T = TypeVar("T")

# Kinds of problems by the last part of their `type`; every other one is a ServerError.
_KINDS: dict[str, type[PolyvecError]] = {
    "invalid": InputError,
    "invalid-filter": FilterError,
    "malformed-json": InputError,
    "bad-request": InputError,
    "too-large": InputError,
    "no-collection": IndexMissingError,
    "locked": IndexLockedError,
    "pulled": IndexReadOnlyError,
    "damaged": IndexCorruptError,
    "shards-missing": ShardsMissingError,
}
_REFUSED = ("queue-full", "stopping", "not-ready")  # nothing was begun, so anything may be sent again


class Problem:
    """The problem details of an answer; empty where it holds none, as a proxy's page does."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.details: Mapping[str, Any] = {}
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            return
        if isinstance(found, Mapping) and isinstance(found.get("detail"), str) and isinstance(found.get("type"), str):
            self.details = found

    @property
    def kind(self) -> str:
        """The last part of the problem's type, such as "queue-full"; "" where the answer does not say."""
        return str(self.details.get("type", "")).rpartition("#")[2]

    @property
    def refused(self) -> bool:
        """Whether the server says that it has begun nothing."""
        return self.kind in _REFUSED

    def error(self, url: str) -> PolyvecError:
        """The error to raise."""
        if not self.details:
            return ServerError(
                f"{url} answered {self.status} without saying why. Is a polyvec server there, and no other program?",
                status=self.status,
            )
        detail = str(self.details["detail"])
        kind = _KINDS.get(self.kind, ServerError)
        if issubclass(kind, ServerError):
            request_id = self.details.get("request_id")
            return kind(detail, status=self.status, request_id=request_id if isinstance(request_id, str) else None)
        return kind(detail)


def result(call: Call[T], body: bytes, url: str) -> T:
    """What a successful answer holds. Raises ServerError for one that no polyvec server gives."""
    try:
        return call.read(json.loads(body))
    except PolyvecError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise ServerError(
            f"{url}{call.path} answered with something else than this version of polyvec expects. Is a polyvec server of the "
            "same version there?"
        ) from error
