"""One way to check what a caller passes: each function takes an argument's name and value, and returns the value to use.

Every refusal is an InputError of one line: what was given, and what was expected. Knows kinds of values (numbers, lists, paths,
arrays), and nothing about what they are for.
"""

from __future__ import annotations

import errno
import math
import operator
import os
import reprlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from polyvec.errors import InputError

T = TypeVar("T")

LARGEST = 2**31 - 1  # of any count: more than an index can hold, and products with small numbers still fit in 64 bits
_MOST_THREADS = 4096  # more make no call faster; larger numbers are taken as this one

_ENCODER_MEMBERS = (
    "name", "fingerprint", "dim", "document_length", "settings", "stream_queries", "stream_documents",
)  # fmt: skip

_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 60


def shown(value: Any) -> str:
    """A value as it stands in a message: short, on one line, printable on any terminal.

    Args:
        value: Anything.

    Returns:
        Its repr, shortened and escaped; the name of its type where it has no repr.
    """
    try:
        text = _short.repr(value)
    except Exception:  # a foreign object's own repr may raise anything, and a message is being written
        text = f"<{type(value).__name__}>"
    if text.isprintable():
        return text
    return " ".join(text.split()).encode("ascii", "backslashreplace").decode("ascii")


def one_of(name: str, value: Any, choices: Sequence[str]) -> str:
    """One of some names, spelled exactly so.

    Args:
        name: What the argument is called, for the message.
        value: What a caller gives.
        choices: The names.

    Returns:
        The name, as a plain string.

    Raises:
        InputError: It is none of them.
    """
    if not isinstance(value, str) or value not in choices:
        raise InputError(f"{name}={shown(value)}: expected one of {', '.join(choices)}.")
    return str.__str__(value)


def whole_number(name: str, value: Any, *, least: int = 1, most: int = LARGEST, of: str = "") -> int:
    """A whole number, NumPy's too, but neither True nor a float.

    Args:
        name: What the argument is called, for the message.
        value: What a caller gives.
        least: The smallest that is taken.
        most: The largest that is taken.
        of: What it counts, for the message.

    Returns:
        The number.

    Raises:
        InputError: It is no whole number, or out of bounds.
    """
    number = _index(value)
    if number is None or not least <= number <= most:
        what = f" of {of}" if of else ""
        bound = f", at most {most}" if number is not None and number > most else ""
        raise InputError(f"{name}={shown(value)}: expected a whole number{what}, at least {least}{bound}.")
    return number


def thread_count(value: Any, every: Callable[[], int]) -> int:
    """A number of threads, at least 1.

    Args:
        value: What a caller gives; None for as many as there are processors.
        every: Gives that number.

    Returns:
        The number, at most 4096.

    Raises:
        InputError: It is no whole number, or below 1.
    """
    if value is None:
        return every()
    number = _index(value)
    if number is None or number < 1:
        raise InputError(
            f"threads={shown(value)}: expected at least 1, or None for every processor this process may use."
        )
    return min(number, _MOST_THREADS)


def number(name: str, value: Any, expected: str, fits: Callable[[float], bool]) -> float:
    """A finite number, NumPy's too.

    Args:
        name: What the argument is called, for the message.
        value: What a caller gives.
        expected: Which numbers are taken, for the message.
        fits: Whether a finite number is one of them.

    Returns:
        The number.

    Raises:
        InputError: It is no finite number, or does not fit.
    """
    if not isinstance(value, (int, float, np.integer, np.floating)) or isinstance(value, bool):
        raise InputError(f"{name}={shown(value)}: expected {expected}.")
    try:
        found = float(value)
    except OverflowError:  # a whole number beyond every float
        found = math.inf
    if not math.isfinite(found) or not fits(found):
        raise InputError(f"{name}={shown(value)}: expected {expected}.")
    return found


def flag(name: str, value: Any) -> bool:
    """True or False, NumPy's too, and nothing that merely counts as one of them.

    Args:
        name: What the argument is called, for the message.
        value: What a caller gives.

    Returns:
        True or False.

    Raises:
        InputError: It is neither.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise InputError(f"{name}={shown(value)}: expected True or False.")
    return bool(value)


def list_of(what: str, value: Any, *, ordered: bool = False) -> Iterable[Any]:
    """Any iterable that is no single thing: neither a string nor a dict.

    Args:
        what: What it holds, such as "ids", for the message.
        value: What a caller gives.
        ordered: Whether a set is refused too, as its order means nothing.

    Returns:
        The value, as it is.

    Raises:
        InputError: It is a single thing, or cannot be iterated over.
    """
    if isinstance(value, (str, bytes, bytearray, memoryview, Mapping)) or (
        ordered and isinstance(value, (set, frozenset))
    ):
        one = "a set, which has no order" if isinstance(value, (set, frozenset)) else f"one {type(value).__name__}"
        raise InputError(f"{what}: got {one}, expected a list of {what}. Wrap a single one in a list.")
    try:
        iter(value)
    except TypeError as error:  # numbers, None, arrays and tensors of no dimension
        raise InputError(f"{what}: got {shown(value)}, expected a list of {what}.") from error
    return value  # type: ignore[no-any-return]


def function(name: str, value: Any) -> None:
    """Something that can be called, or None.

    Args:
        name: What the argument is called, for the message.
        value: What a caller gives.

    Raises:
        InputError: It is neither.
    """
    if value is not None and not callable(value):
        raise InputError(f"{name}={shown(value)}: expected a function, or None.")


def instance(name: str, value: Any, kind: type[T]) -> T:
    """An object of one class.

    Args:
        name: What the argument is called, for the message.
        value: What a caller gives.
        kind: The class.

    Returns:
        The value, as it is.

    Raises:
        InputError: It is an object of another class.
    """
    if not isinstance(value, kind):
        raise InputError(f"{name}={shown(value)}: expected {kind.__name__}(...).")
    return value


def token_encoder(name: str, value: Any) -> None:
    """Something that turns texts into token vectors: an Encoder, or what has the members of polyvec.encoder.TokenEncoder.

    Args:
        name: What the argument is called, for the message.
        value: What a caller gives.

    Raises:
        InputError: It lacks a member.
    """
    missing = [part for part in _ENCODER_MEMBERS if not hasattr(value, part)]
    if isinstance(value, type) or missing:
        lacks = f" (it lacks {', '.join(missing)})" if 0 < len(missing) < len(_ENCODER_MEMBERS) else ""
        raise InputError(f"{name}={shown(value)}: expected an Encoder. Make one with Encoder(model){lacks}.")


def local_path(name: str, value: Any) -> Path:
    """A path of this machine. An empty string does not stand for the current folder.

    Args:
        name: What the argument is called, for the message.
        value: What a caller gives: a string or os.PathLike.

    Returns:
        The path, whether something is there or not.

    Raises:
        InputError: It is no path, or none that this system can hold.
    """
    expected = "expected a path, as a string or a pathlib.Path"
    if not isinstance(value, (str, os.PathLike)):
        raise InputError(f"{name}={shown(value)}: {expected}.")
    text = os.fspath(value)
    if not isinstance(text, str):
        raise InputError(f"{name}={shown(value)}: {expected}, not bytes. Decode it with os.fsdecode.")
    if not text.strip():
        raise InputError(f"{name}={shown(text)}: {expected}. The current folder is '.'.")
    try:
        os.stat(text)
    except ValueError as error:  # a NUL, or a surrogate that stands for no byte
        raise InputError(f"{name}={shown(text)}: {expected} that this system can hold ({error}).") from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InputError(f"{name}={shown(text)}: {len(text)} characters are too long for a path here.") from error
    return Path(text)


def real_array(name: str, value: Any) -> npt.NDArray[Any]:
    """Numbers as a NumPy array: lists, arrays of any real dtype and order, torch tensors on any device.

    Args:
        name: What the argument is called, for the message.
        value: What a caller gives.

    Returns:
        An array of a float or integer dtype; the same one where it is one already.

    Raises:
        InputError: NumPy cannot read it, or it holds no numbers.
    """
    try:
        array = np.asarray(_host(value))
        if "numpy.ma" in sys.modules and np.ma.is_masked(
            value
        ):  # loading it takes time, and nobody had masked arrays so far
            raise ValueError("some of its values are masked")
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:  # ragged lists; tensors without data
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{name}: {type(value).__name__} that NumPy cannot read ({reason}). Give an array of numbers."
        ) from error
    if array.dtype.kind not in "fiu":
        raise InputError(f"{name}: dtype {array.dtype}, expected numbers.")
    return array


def _host(value: Any) -> Any:
    """A torch tensor as one that NumPy can read: without gradients, in main memory, bfloat16 as float32."""
    if not hasattr(value, "detach"):
        return value
    tensor = value.detach().cpu()
    return tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor


def _index(value: Any) -> int | None:
    if isinstance(value, (bool, np.bool_, np.ndarray)):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None
