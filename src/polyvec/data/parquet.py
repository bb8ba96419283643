"""Parquet -> rows as plain JSON values, each with its number.

Dates and times become ISO 8601 text, so that they compare as they should; decimals become numbers. Bytes and durations have no
such form and are refused with their column.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from polyvec.data.files import check_regular, named
from polyvec.data.tables import check_columns, check_needed
from polyvec.errors import InputError, MissingExtraError


def parquet_rows(path: Path, needed: Sequence[Sequence[str]] = ()) -> Iterator[tuple[dict[str, Any], str]]:
    """Stream the rows of a file.

    Args:
        path: The file.
        needed: Columns that must be there; of each group, one.

    Raises:
        InputError: The file is damaged, lacks a column, has one twice, or holds a value that JSON cannot.
        MissingExtraError: pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError(
            f"{named(path)}: reading parquet needs pyarrow. Run: pip install 'polyvec[parquet]'"
        ) from error
    check_regular(path)
    name = named(path)
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            columns = [str(column) for column in file.schema_arrow.names]
            check_columns(columns, name)
            check_needed(columns, name, needed)
            for batch in file.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    number += 1
                    where = f"{name}:row {number}"
                    yield {key: _plain(value, where, key) for key, value in row.items()}, where
    except InputError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError, TypeError, OverflowError) as error:
        after = f" after row {number}" if number else ""
        raise InputError(f"{name}: not a readable parquet file{after} ({_first_line(error)}).") from error


def _plain(value: Any, where: str, column: str) -> Any:
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, (date, time)):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, Decimal) and value.is_finite():
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {key: _plain(inner, where, f"{column}.{key}") for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner, where, column) for inner in value]
    if isinstance(value, tuple):  # an entry of a map: key and value
        return [_plain(inner, where, column) for inner in value]
    raise InputError(
        f"{where}: column {column!r} holds a {type(value).__name__}. Expected text, numbers, booleans, dates, lists or structs."
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
