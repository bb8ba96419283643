"""A short form of fuzz_files.py."""

from __future__ import annotations

from pathlib import Path

from tests.index.fuzz_files import fuzz


def test_damaged_files_are_refused_or_answer_as_before(tmp_path: Path) -> None:
    counts = fuzz(1200, 7, tmp_path)
    assert sum(counts.values()) == 1200
    assert counts["refused"] > 600
    assert counts["answered as before"] > 20  # damage in padding, which nothing reads
