"""The same encoding in several processes: one for each GPU, or several on a large CPU.

Each process loads the model once; texts go out in the windows that one process would encode, and come back in order, a few
windows a process at a time, so memory stays bounded. Batches hold the same texts, so vectors are equal to the bit where a device's
arithmetic is.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, NamedTuple, Protocol

from polyvec.encoder.batches import windows
from polyvec.encoder.encoded import Encoded
from polyvec.errors import ModelError, ModelMismatchError
from polyvec.scoring import default_threads

_AHEAD = 2  # windows each process may have waiting


class _Encodes(Protocol):
    """What a process uses of an encoder."""

    @property
    def fingerprint(self) -> str: ...
    def stream_queries(self, texts: Iterable[str], /) -> Iterable[Encoded]: ...
    def stream_documents(self, texts: Iterable[str], /) -> Iterable[Encoded]: ...


class _Model(NamedTuple):
    """How a process makes its model, and which it has to be."""

    make: Callable[..., _Encodes]
    settings: dict[str, Any]
    fingerprint: str
    threads: int | None


class Processes:
    """Processes that encode, started as they are needed; a context manager that ends them.

    Args:
        make: Called in every process as make(**settings, device=..., threads=...); a class or function of a module.
        settings: Keyword arguments of make, the same in every process.
        fingerprint: Of the model that has to come out of it.
        devices: One process for each; None for what make chooses.
        batch_tokens: Tokens of a forward pass, by which texts are put together.
    """

    def __init__(
        self,
        make: Callable[..., _Encodes],
        settings: dict[str, Any],
        *,
        fingerprint: str,
        devices: Sequence[str | None],
        batch_tokens: int,
    ) -> None:
        on_cpu = all(device in (None, "cpu") for device in devices)
        threads = max(1, default_threads() // len(devices)) if on_cpu else None
        self._model = _Model(make, settings, fingerprint, threads)
        self._count, self._batch_tokens = len(devices), batch_tokens
        self._lock = threading.Lock()
        self._devices = list(devices)  # that have no process yet
        self._started: list[_Process] = []
        self._idle: list[_Process] = []
        self._threads = ThreadPoolExecutor(self._count, "polyvec-encode")  # each waits for the answer of one process

    def encode(self, texts: Iterable[str], task: str) -> Iterator[Encoded]:
        """Encode checked texts in order.

        Args:
            texts: Checked texts; read a few windows ahead.
            task: "query" or "document".

        Raises:
            ModelError: A process ended early.
            ModelMismatchError: The model is another one by now.
        """
        stream, waiting = windows(iter(texts), self._batch_tokens), deque[Future[list[Encoded]]]()
        try:
            while True:
                while len(waiting) < _AHEAD * self._count and (window := next(stream, None)):
                    waiting.append(self._threads.submit(self._encode, window, task))
                if not waiting:
                    return
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        with self._lock:
            self._devices = []
            for process in self._started:
                process.end()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _encode(self, window: list[str], task: str) -> list[Encoded]:
        """Have one of the processes encode; there are as many threads as processes may be."""
        with self._lock:
            if self._idle:
                process = self._idle.pop()
            elif self._devices:
                process = _Process(self._model, self._devices.pop(0))
                self._started.append(process)
            else:
                raise ended_early()
        encoded = process.encode(window, task)
        with self._lock:
            self._idle.append(process)
        return encoded


class _Process:
    """A process with a model, and the pipe to it, which nobody else has: whatever becomes of it, the pipe ends then."""

    def __init__(self, model: _Model, device: str | None) -> None:
        context = multiprocessing.get_context("spawn")  # threads run here, and a fork would copy their locks
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, model, device), daemon=True)
        with _interrupts_held():
            self._process.start()
        theirs.close()

    def encode(self, window: list[str], task: str) -> list[Encoded]:
        try:
            self._connection.send((window, task))
            answer = self._connection.recv()
        except (EOFError, OSError) as error:
            raise ended_early() from error
        if isinstance(answer, BaseException):
            raise answer
        encoded: list[Encoded] = answer
        return encoded

    def end(self) -> None:
        self._process.terminate()
        self._process.join()


def ended_early() -> ModelError:
    """The error for a process that is gone."""
    return ModelError(
        "An encoding process ended early: it was killed, perhaps for lack of memory, or could not start. Use fewer processes; in "
        "a script, make such calls below `if __name__ == '__main__':`."
    )


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """What is started inside never sees an interrupt from the keyboard, which is for this process: it ends the others."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(connection: Connection, model: _Model, device: str | None) -> None:
    """What a process does: encode windows until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    logging.getLogger("polyvec.encoder").setLevel(logging.ERROR)  # the parent counts what was cut
    encoder: _Encodes | None = None
    with suppress(EOFError, OSError):
        while True:
            window, task = connection.recv()
            answer: list[Encoded] | Exception
            try:
                encoder = encoder or _made(model, device)
                stream = encoder.stream_queries if task == "query" else encoder.stream_documents
                answer = list(stream(window))
            except Exception as error:  # of any kind: it is raised where the texts are asked for
                answer = error
            try:
                connection.send(answer)
            except (pickle.PicklingError, TypeError, AttributeError):
                connection.send(ModelError(f"An encoding process failed: {type(answer).__name__}: {answer}"[:500]))


def _end_with_parent() -> None:
    """The pipe of a parent that was killed is noticed after the window; this, at once."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _made(model: _Model, device: str | None) -> _Encodes:
    encoder = model.make(**model.settings, device=device, threads=model.threads)
    if encoder.fingerprint != model.fingerprint:
        raise ModelMismatchError(
            f"An encoding process loaded the model {encoder.fingerprint}, and this one has {model.fingerprint}: its files were "
            "changed meanwhile. Load the model again."
        )
    return encoder
