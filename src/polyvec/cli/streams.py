"""The streams of the process, made safe once for every command.

Closed ones get a stand-in that says so, characters that the terminal's encoding lacks are spelled out, and what cannot be
written any more is let go of. Knows nothing about commands or results.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from polyvec.errors import InputError

_ERRORS = "polyvec-spelled-out"
_IN_ASCII = {"✓": "ok", "✗": "x", "…": "...", "█": "#", "•": "*"}


def _spelled_out(error: UnicodeError) -> tuple[str, int]:
    """For the `errors` of a stream: our own marks in ASCII, any other character as an escape such as \\u6c34."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    wrong = error.object[error.start : error.end]
    return "".join(_IN_ASCII.get(c) or c.encode("ascii", "backslashreplace").decode() for c in wrong), error.end


codecs.register_error(_ERRORS, _spelled_out)


class _Closed(io.RawIOBase):
    """Stands where the caller closed a stream: reading or writing says so."""

    def __init__(self, name: str) -> None:
        self._name = name

    def readable(self) -> bool:
        return self._name == "stdin"

    def writable(self) -> bool:
        return self._name != "stdin"

    def readinto(self, buffer: Any) -> int:
        raise InputError("stdin is closed, so nothing can be read from it. Send it something, or name a file.")

    def write(self, data: Any) -> int:
        raise OSError(errno.EBADF, "closed, so the results cannot be written", self._name)


def prepare_streams() -> None:
    """Make stdin, stdout and stderr usable, whatever the caller left of them; safe to call again."""
    for number in (0, 1, 2):  # otherwise the next file that is opened, one of an index even, becomes stdout
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(_Closed("stdin")), encoding="utf-8")
    if sys.stdout is None:
        sys.stdout = io.TextIOWrapper(_Closed("stdout"), encoding="utf-8", write_through=True)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # stays open for the whole process
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)
    for name in ("COLUMNS", "LINES"):
        value = os.environ.get(name, "1")
        if not (value.isascii() and value.isdigit() and int(value[:9]) > 0):
            del os.environ[name]


def stdout_is_closed() -> bool:
    """Whether the caller closed stdout, so that nobody reads what is said there."""
    return isinstance(getattr(sys.stdout, "buffer", None), _Closed)


@contextmanager
def writing_to(name: str) -> Iterator[None]:
    """Name the stream in errors of writing to it. A broken pipe stays what it is.

    Args:
        name: Of the stream.

    Raises:
        OSError: As it was raised inside, with the stream's name as its file.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), name) from error


@contextmanager
def utf8_stdout() -> Iterator[None]:
    """Write UTF-8 to stdout for a while, whatever the locale: a file format is not a message."""
    stream = sys.stdout
    if not isinstance(stream, io.TextIOWrapper):
        yield
        return
    before = stream.encoding
    stream.reconfigure(encoding="utf-8", errors="strict")
    try:
        with writing_to("stdout"):
            yield
            stream.flush()
    finally:
        with writing_to("stdout"):
            stream.reconfigure(encoding=before, errors=_ERRORS)


def flush_output() -> None:
    """Write what stdout still holds, so that a full disk or a closed pipe is an error of this command."""
    with writing_to("stdout"):
        sys.stdout.flush()


def settle_messages() -> None:
    """Write what stderr still holds; where that cannot be, drop it, so that the exit code stays that of the command."""
    try:
        sys.stderr.flush()
    except OSError:
        drop_output(sys.stderr)


def drop_output(stream: TextIO | None = None) -> None:
    """Send what could not be written nowhere, so that the interpreter does not try again when it ends.

    Args:
        stream: stdout where it is None.
    """
    try:
        number = (stream or sys.stdout).fileno()
    except (OSError, ValueError):  # a stream in memory
        return
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, number)
    os.close(null)


def stdin_lines() -> Iterator[str]:
    """The lines of stdin that hold something, split at line feeds only: U+2028 and its like belong to the line.

    Returns:
        The lines without their ends.

    Raises:
        InputError: A line is not UTF-8; the message names it.
    """
    from polyvec.data.files import lines, stdin_bytes

    for number, line in enumerate(lines(stdin_bytes(), "stdin"), start=1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError as error:
            raise InputError(
                f"stdin:{number}: broken UTF-8 at byte {error.start} of the line (0x{line[error.start]:02x}). "
                "Convert it to UTF-8."
            ) from error
        if text.strip():
            yield text
