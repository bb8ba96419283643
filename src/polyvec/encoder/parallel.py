"""The same encoding in several processes: one for each GPU, or several on a large CPU.

Each process loads the model once; texts go out in chunks and come back in order, a few chunks a process at a time, so
memory stays bounded. Worth it when asked for; one process uses all cores of a small machine already.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, Protocol

from polyvec.encoder.encoded import Encoded
from polyvec.errors import ModelError

_CHUNK_TEXTS = 256
_AHEAD = 2  # chunks each process may have waiting
_worker: _Encodes | None = None


class _Encodes(Protocol):
    """The two methods of an encoder that a process calls."""

    def stream_queries(self, texts: Iterable[str], /) -> Iterable[Encoded]: ...
    def stream_documents(self, texts: Iterable[str], /) -> Iterable[Encoded]: ...


def encode_in_processes(
    make: Callable[..., _Encodes], settings: dict[str, Any], texts: Iterable[str], task: str, devices: Sequence[str]
) -> Iterator[Encoded]:
    """Encode checked texts in order, one process a device.

    Args:
        make: Called in every process as make(**settings, device=..., threads=...); a class or function of a module.
        settings: Keyword arguments of make, the same in every process.
        texts: Checked texts; read a few chunks ahead.
        task: "query" or "document".
        devices: One process is started for each.

    Raises:
        ModelError: Where a process ends early.
    """
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    for device in devices:
        queue.put(device)
    threads = max(1, (os.cpu_count() or 1) // len(devices)) if all(device == "cpu" for device in devices) else None
    stream, waiting = iter(texts), deque[Future[list[Encoded]]]()
    with ProcessPoolExecutor(len(devices), context, _start, (make, settings, threads, queue)) as pool:
        try:
            while True:
                while len(waiting) < _AHEAD * len(devices) and (chunk := list(islice(stream, _CHUNK_TEXTS))):
                    waiting.append(pool.submit(_encode, chunk, task))
                if not waiting:
                    return
                yield from waiting.popleft().result()
        except BrokenProcessPool as error:
            raise ModelError(
                "An encoding process ended early, perhaps for lack of memory. Use fewer devices."
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start(make: Callable[..., _Encodes], settings: dict[str, Any], threads: int | None, queue: Any) -> None:
    global _worker  # noqa: PLW0603 - one model a process
    logging.getLogger("polyvec.encoder").setLevel(logging.ERROR)  # the parent counts what was cut
    _worker = make(**settings, device=queue.get(), threads=threads)


def _encode(chunk: list[str], task: str) -> list[Encoded]:
    assert _worker is not None
    return list(_worker.stream_queries(chunk) if task == "query" else _worker.stream_documents(chunk))
