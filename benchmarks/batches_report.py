"""Lines of results/batches.jsonl -> the table of batches in docs/benchmarks.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine_report import Line, table, with_tables


def write(lines: list[Line], page: Path) -> None:
    """Write the table of the page between its marks."""
    page.write_text(with_tables(lines, page.read_text(encoding="utf-8"), TABLES), encoding="utf-8")


def _sizes(lines: list[Line]) -> str:
    """A collection, a kind of query and a number of threads a row; a size of batch a column."""
    cells: dict[tuple[int, str, int], dict[int, Line]] = {}
    for line in lines:
        cells.setdefault((line["documents"], line["queries"], line["threads"]), {})[line["batch"]] = line
    rows = sorted(cells, key=lambda row: (row[0], row[1] != "sentences", row[2]))
    sizes = sorted({x["batch"] for x in lines})

    def rate(size: int) -> Any:
        def shown(row: tuple[int, str, int]) -> str:
            line = cells[row][size]
            return f"{line['queries_per_cpu_second']:.0f}" + (f", {line['times_single_cpu']:.2f}x" if size > 1 else "")

        return shown

    def waited(row: tuple[int, str, int]) -> str:
        one, most = cells[row][sizes[0]], cells[row][sizes[-1]]
        return f"{one['queries_per_second']:.0f}, {most['queries_per_second']:.0f}: {most['times_single']:.2f}x"

    return table(
        rows,
        ("documents", lambda row: f"{row[0]:,}"),
        ("queries", lambda row: row[1]),
        ("threads", lambda row: str(row[2])),
        *((f"{size:,} at once" if size > 1 else "one by one", rate(size)) for size in sizes),
        (f"by the clock, one by one and {sizes[-1]:,}", waited),
    )


TABLES: dict[str, Any] = {"batches": _sizes}
