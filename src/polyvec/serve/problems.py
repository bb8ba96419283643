"""What goes wrong -> the problem details of RFC 9457 that a client gets, and never a trace, a path or a stored text.

The table below is the list of answers other than success; the documentation at /docs is made from it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

from polyvec.errors import (
    FilterError,
    IndexCorruptError,
    IndexLockedError,
    IndexReadOnlyError,
    InputError,
    MissingExtraError,
    ModelError,
    ModelMismatchError,
    PolyvecError,
    ShardsMissingError,
)

MEDIA_TYPE = "application/problem+json"


class Kind(NamedTuple):
    """One kind of problem: its status, its title, and what it means for whoever asks."""

    status: int
    title: str
    meaning: str


KINDS = {
    "malformed-json": Kind(400, "The body is not JSON", "Repair the body: UTF-8, one JSON value, finite numbers."),
    "bad-request": Kind(400, "The request cannot be read", "Repair the request line, a header or a query parameter."),
    "no-token": Kind(
        401, "A token is needed", "Send the header `Authorization: Bearer TOKEN` with a token of this server."
    ),
    "not-allowed": Kind(403, "This token may not do that", "Use a token with write rights."),
    "read-only": Kind(
        403, "This server is read-only", "Write through another server, or start this one without --read-only."
    ),
    "pulled": Kind(403, "This collection is only read", "Change it where it is published from, or a copy of it."),
    "wrong-host": Kind(
        403, "This host name is not served", "Ask by the address that was printed, or start with --allowed-host."
    ),
    "wrong-origin": Kind(403, "This web page may not ask", "Start the server with --cors-origin for that page."),
    "no-route": Kind(404, "There is no such page", "The calls are listed at /docs."),
    "no-collection": Kind(404, "There is no such collection", "GET /v1/collections lists them."),
    "no-document": Kind(404, "There is no such document", "Look for it by a search, or by other ids."),
    "wrong-method": Kind(405, "This call has another method", "The header Allow names the methods."),
    "slow-body": Kind(408, "The body did not arrive in time", "Send it again, faster or in smaller parts."),
    "locked": Kind(409, "Another process is writing", "Wait until that process is done, or stop it."),
    "too-large": Kind(413, "The body is too large", "Send less at once, or stream documents as NDJSON."),
    "media-type": Kind(415, "The body has another media type", "Send `Content-Type: application/json`."),
    "invalid": Kind(422, "A value cannot be used", "Change the value that the sentence names."),
    "invalid-filter": Kind(422, "The filter cannot be used", "Change what the sentence names."),
    "queue-full": Kind(429, "Too much is waiting", "Ask again after as many seconds as the header Retry-After says."),
    "fault": Kind(500, "A fault of the server", "Report it with the request id."),
    "damaged": Kind(
        500, "The collection is damaged", "Run `polyvec verify` and `polyvec repair` where the index lies."
    ),
    "unusable": Kind(503, "The collection cannot be used now", "Look at the server's log; ask again later."),
    "shards-missing": Kind(503, "A part of the collection does not answer", "Ask again later."),
    "stopping": Kind(503, "The server is stopping", "Ask again when it is back, or ask another one."),
    "not-ready": Kind(503, "The server is not ready yet", "Ask again in a moment."),
    "timed-out": Kind(504, "It took too long", "Ask for less, or start the server with a longer --timeout."),
}


class Problem(Exception):
    """An answer other than success.

    Args:
        name: One of KINDS.
        detail: One sentence or two: what was given, what was expected, what to do.
        headers: More headers of the answer.
    """

    def __init__(self, name: str, detail: str, *, headers: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__(detail)
        self.name, self.kind, self.detail, self.headers = name, KINDS[name], detail, tuple(headers)

    def body(self, request_id: str) -> bytes:
        """The problem details in JSON."""
        described = {
            "type": f"/docs#{self.name}",
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "what_to_do": self.kind.meaning,
            "request_id": request_id,
        }
        return json.dumps(described, ensure_ascii=True).encode("ascii")


def problem_of(error: Exception, hidden: Iterable[tuple[str, str]] = ()) -> Problem:
    """The problem that an error of polyvec is for a client.

    Args:
        error: Any error; one that is not polyvec's own is a fault of the server.
        hidden: Paths, and what stands for each of them in the sentence.
    """
    if isinstance(error, Problem):
        return error
    if not isinstance(error, PolyvecError):
        return Problem("fault", "The server failed to answer, and its log says why. Report it with the request id.")
    detail = str(error)
    for path, name in hidden:
        detail = detail.replace(path, name)
    if isinstance(error, MissingExtraError | ModelError | ModelMismatchError):
        return Problem("unusable", "The model of this collection cannot be loaded. The server's log says why.")
    if isinstance(error, FilterError):
        return Problem("invalid-filter", detail)
    if isinstance(error, InputError):
        return Problem("invalid", detail)
    if isinstance(error, IndexLockedError):
        return Problem("locked", detail)
    if isinstance(error, IndexReadOnlyError):
        return Problem("pulled", "This collection was pulled from where it is published, and is only read.")
    if isinstance(error, IndexCorruptError):
        return Problem("damaged", "A file of this collection is damaged. The server's log names it.")
    if isinstance(error, ShardsMissingError):
        return Problem("shards-missing", detail)
    return Problem("unusable", "This collection cannot be read or written now. The server's log says why.")
