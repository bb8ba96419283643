"""Dates as Haystack's filters compare them: moments, however they are written.

A date with an offset is compared with one of the same kind as a moment. Where one of the two has no offset, what their clocks
show is compared. So each date has one number or two, and a filter compares numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dateutil.parser import isoparse

_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[Tt ].*)?", re.DOTALL)
_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Moment:
    """A date in microseconds since 1970-01-01T00:00.

    Attributes:
        clock: As a clock there shows it.
        utc: In UTC; None for a date without an offset.
    """

    clock: int
    utc: int | None


def moment_of(value: Any) -> Moment | None:
    """A datetime, or a string that is an ISO 8601 date with year, month and day; None for anything else."""
    date = value if isinstance(value, datetime) else _parsed(value)
    if date is None:
        return None
    clock = (date.replace(tzinfo=None) - _EPOCH) // _MICROSECOND
    offset = date.utcoffset()
    return Moment(clock, None if offset is None else clock - offset // _MICROSECOND)


def moments_in(metadata: Mapping[str, Any]) -> Iterator[tuple[str, Moment]]:
    """The dates of metadata, with the names that filters have for them: "a.b" is b in the object a. Lists hold none."""
    for key, value in metadata.items():
        if isinstance(value, Mapping):
            for name, inner in moments_in(value):
                yield f"{key}.{name}", inner
        elif isinstance(value, (str, datetime)):
            moment = moment_of(value)
            if moment is not None:
                yield key, moment


def _parsed(value: Any) -> datetime | None:
    if not isinstance(value, str) or not _ISO.fullmatch(value):
        return None
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        try:  # spellings that Python reads not, or not in every version: "Z", an end of day at 24:00
            parsed: datetime = isoparse(value)
        except (ValueError, OverflowError):
            return None
        return parsed
