"""What commands print while they work and when they are done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from polyvec.cli.render import line, messages, progress_bar

if TYPE_CHECKING:
    from polyvec.index.writing.report import AddReport


@contextmanager
def counting_documents(what: str, docs: Path) -> Iterator[tuple[Callable[[int], None], Callable[[int], None]]]:
    """A bar whose share is bytes read and whose rate is documents encoded a second.

    Args:
        what: What is done, such as "encoding".
        docs: The file that is read, whose size is the whole.

    Yields:
        Two functions: one takes how many more documents are done, one how many more bytes are read.
    """
    total = docs.stat().st_size if docs.is_file() else None
    with progress_bar("documents") as bar:
        task = bar.add_task(what, total=total, done=0, rate="")
        count, started = 0, time.monotonic()

        def on_documents(n: int) -> None:
            nonlocal count
            count += n
            rate = count / max(time.monotonic() - started, 1e-9)
            bar.update(task, done=f"{count:,}", rate=f"{rate:,.0f}/s")

        def on_bytes(n: int) -> None:
            bar.update(task, advance=n)

        yield on_documents, on_bytes


def report_counts(report: AddReport) -> dict[str, int]:
    """What an addition did, as it stands in JSON.

    Args:
        report: What it did.

    Returns:
        The counts by name.
    """
    return {
        "added": report.added,
        "replaced": report.replaced,
        "skipped": report.skipped,
        "deleted": report.deleted,
        "added_tokens": report.tokens,
        "truncated": report.truncated,
    }


def print_report(report: AddReport, limit: int) -> None:
    """Notes on an addition: what was skipped, deleted or cut.

    Args:
        report: What it did.
        limit: Tokens of a document that the model encodes.
    """
    if report.skipped:
        messages.print(line(("i ", "cyan"), f"{report.skipped:,} documents were stored by an earlier run"))
    if report.deleted:
        gone = f"{report.deleted:,} documents of an earlier run did not come again and were deleted"
        messages.print(line(("i ", "cyan"), gone))
    if report.truncated:
        messages.print(
            line(
                ("! ", "yellow"),
                f"{report.truncated:,} documents are longer than {limit} tokens: the rest of their text was not encoded and "
                "cannot be found",
            )
        )


@contextmanager
def counting(what: str, unit: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A progress bar that counts.

    Args:
        what: What is done, such as "Mining".
        unit: What is counted, in the plural.
        total: How many there will be; None where nobody knows.

    Yields:
        A function that takes how many more are done.
    """
    with progress_bar(unit) as bar:
        task = bar.add_task(what, total=total, done="0", rate="")
        count, started = 0, time.monotonic()

        def more(n: int) -> None:
            nonlocal count
            count += n
            rate = count / max(time.monotonic() - started, 1e-9)
            bar.update(task, advance=n, done=f"{count:,}", rate=f"{rate:,.1f}/s")

        yield more
