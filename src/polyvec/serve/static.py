"""The files of the page, read once: a path is one of them or it is nothing, so no path leads anywhere else."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from pathlib import Path
from typing import NamedTuple

from fastapi import FastAPI, Request, Response

PAGE_FOLDER = Path(__file__).parent / "page"

_TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".html": "text/html",
    ".svg": "image/svg+xml",
}
_INDEX = "index.html"
_WORTH_PACKING = 1000  # bytes


class _File(NamedTuple):
    media_type: str
    body: bytes
    packed: bytes | None
    tag: str


def serve_files(app: FastAPI, folder: Path = PAGE_FOLDER) -> None:
    """Answer GET for every file of a folder, at its path below it; index.html at /."""
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            name = path.relative_to(folder).as_posix()
            _add(app, "/" if name == _INDEX else f"/{name}", _read(path))


def _read(path: Path) -> _File:
    body = path.read_bytes()
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if kind.startswith("text/"):
        kind += "; charset=utf-8"
    packed = gzip.compress(body, 9, mtime=0) if len(body) > _WORTH_PACKING and "image/p" not in kind else None
    return _File(kind, body, packed, f'"{hashlib.sha256(body).hexdigest()[:20]}"')


def _add(app: FastAPI, path: str, file: _File) -> None:
    async def answer(request: Request) -> Response:
        headers = {"etag": file.tag, "cache-control": "no-cache", "vary": "Accept-Encoding"}
        if request.headers.get("if-none-match") == file.tag:
            return Response(status_code=304, headers=headers)
        if file.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
            return Response(file.packed, media_type=file.media_type, headers={**headers, "content-encoding": "gzip"})
        return Response(file.body, media_type=file.media_type, headers=headers)

    app.add_api_route(path, answer, methods=["GET", "HEAD"], include_in_schema=False)
