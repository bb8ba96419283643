"""Training files -> rows: parallel texts, questions with their passages, scored candidates. One language code for one language.

Reads .jsonl, .jsonl.gz, .jsonl.zst and .parquet as streams. Knows nothing about tokens or models.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from polyvec.data.documents import json_lines, open_bytes
from polyvec.errors import InputError


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of one file, in order. Raises InputError for a file that is missing, empty of rows, or not as its name says."""
    if not path.is_file():
        raise InputError(f"{path} is missing. Correct the path in the recipe.")
    if path.suffix == ".parquet":
        yield from _parquet(path)
        return
    with open_bytes(path) as stream:
        for row, _ in json_lines(stream, str(path), lambda _: None):
            yield row


@lru_cache(maxsize=4096)
def language(code: str) -> str:
    """The short code of a language, whatever its source calls it: deu -> de, zh_CN -> zh, arb -> ar; und where nobody said.

    Raises InputError for something that is no language code.
    """
    import langcodes
    from langcodes.tag_parser import LanguageTagError

    text = code.split("@", maxsplit=1)[0].replace("_", "-")
    if text.lower() == "und":
        return "und"
    try:
        found = langcodes.get(langcodes.standardize_tag(text, macro=True)).language
    except LanguageTagError:
        found = langcodes.get(text.split("-")[0]).language if text.split("-")[0].isalpha() else None
    if not found or not found.isalpha():
        raise InputError(f"lang={code!r} is not a language code. Use BCP 47 codes such as de, pt-BR or zh-Hant.")
    return found


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    try:
        import pyarrow.parquet
    except ImportError as error:
        from polyvec.errors import MissingExtraError

        raise MissingExtraError(
            f"{path}: reading parquet needs a package that is not installed: pip install 'polyvec[parquet]'."
        ) from error
    for batch in pyarrow.parquet.ParquetFile(path).iter_batches():
        yield from batch.to_pylist()
