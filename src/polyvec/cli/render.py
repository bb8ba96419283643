"""How results look in a terminal: hits with marked words, progress bars, sizes."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from polyvec.explain import Explanation, Highlight
from polyvec.search import Hit

_SNIPPET = 420  # characters of a text shown in a list of hits
_STRONG, _MEDIUM, _WEAK = 0.85, 0.72, 0.6  # strength from which a word is marked so

console = Console(highlight=False)
messages = Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """One JSON value on one line of stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


def progress_bar(unit: str) -> Progress:
    """A progress bar on stderr with a share, a rate in units a second, and the time left; silent where nobody watches."""
    return Progress(
        SpinnerColumn(),
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn(f"[cyan]{{task.fields[done]}} {unit}[/] [dim]{{task.fields[rate]}}[/]"),
        TimeRemainingColumn(),
        console=messages,
        disable=not messages.is_terminal,
        transient=True,
    )


def human_bytes(size: float) -> str:
    """12345678 -> '12.3 MB'."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError("unreachable")


def print_hits(query: str, hits: Sequence[Hit], explanations: Sequence[Explanation | None], seconds: float) -> None:
    """A list of hits: rank, score, language, title, id, then the text with the matching words marked by strength."""
    console.print(Text.assemble(("? ", "bold cyan"), (query, "bold")))
    if not hits:
        console.print(Text("  no hits", style="dim"))
    for hit, explanation in zip(hits, explanations, strict=True):
        head = Text.assemble(
            (f"{hit.rank:>3}  ", "bold green"),
            (f"{hit.score:8.3f}  ", "green"),
            (f"{hit.lang or '--'}  ", "magenta"),
            (hit.title or hit.id, "bold"),
            (f"   {hit.id}" if hit.title else "", "dim"),
            (_ranks(hit), "dim"),
        )
        console.print(head)
        if explanation is not None:
            titled = len(explanation.text) - len(hit.text or "")  # the title stands in the line above already
            body = marked_text(explanation, skip=titled)
        else:
            body = Text(_cut(hit.text or "", _SNIPPET))
        if body.plain:
            console.print(Padding(body, (0, 4, 0, 5)))
    plural = "" if len(hits) == 1 else "s"
    console.print(Text(f"  {len(hits)} hit{plural} in {1000 * seconds:.0f} ms\n", style="dim"))


def _ranks(hit: Hit) -> str:
    """Where a hybrid hit stood in each list."""
    return f"   {', '.join(f'{name} #{rank}' for name, rank in hit.ranks.items())}" if hit.ranks else ""


def marked_text(explanation: Explanation, *, skip: int = 0, limit: int = _SNIPPET) -> Text:
    """The stretch of the text that holds the strongest matches, words marked by strength; skip: characters to leave out."""
    whole = explanation.text
    highlights = [mark for mark in explanation.highlights() if mark.start >= skip and mark.strength >= _WEAK]
    start = _best_window(highlights, skip, len(whole), limit)
    if start > skip and not any(mark.start == start for mark in highlights) and " " in whole[start : start + 20]:
        start = whole.index(" ", start) + 1
    end = min(len(whole), start + limit)
    if end < len(whole) and " " in whole[end - 20 : end]:
        end = whole.rindex(" ", end - 20, end)
    text = Text.assemble(("… " if start > skip else "", "dim"))
    position = start
    for mark in highlights:
        if mark.start < position or mark.end > end:
            continue
        text.append(_flat(whole[position : mark.start]))
        text.append(_flat(whole[mark.start : mark.end]), style=_mark_style(mark.strength))
        position = mark.end
    text.append(_flat(whole[position:end]))
    if end < len(whole):
        text.append(" …", style="dim")
    return text


def print_explanation(explanation: Explanation) -> None:
    """A table of the matches: each query token, the document token it met, and how well."""
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    table.add_column("query token", style="cyan")
    table.add_column("document token")
    table.add_column("similarity", justify="right")
    table.add_column("", justify="left")
    for match in explanation.matches:
        table.add_row(
            _flat(match.query_token) or Text("(special)", style="dim"),
            _flat(match.document_token) or Text("(special)", style="dim"),
            f"{match.similarity:.3f}",
            Text("█" * max(0, round(16 * match.similarity)), style=_mark_colour(match.similarity)),
        )
    console.print(Padding(table, (0, 0, 1, 5)))


def _mark_style(strength: float) -> str:
    if strength >= _STRONG:
        return "bold black on bright_yellow"
    return "bold yellow underline" if strength >= _MEDIUM else "yellow"


def _mark_colour(similarity: float) -> str:
    return "bright_yellow" if similarity >= _STRONG else "yellow" if similarity >= _MEDIUM else "dim yellow"


def _best_window(highlights: Sequence[Highlight], skip: int, length: int, limit: int) -> int:
    """Where to begin a snippet of `limit` characters so that it covers the most match strength, at a mark or the start."""
    if length - skip <= limit or not highlights:
        return skip

    def covered(start: int) -> float:
        return sum(m.strength for m in highlights if m.start >= start and m.end <= start + limit)

    starts = [skip, *(min(mark.start, length - limit) for mark in highlights if mark.start >= skip)]
    return max(starts, key=lambda start: (covered(start), -start))


def _cut(text: str, limit: int) -> str:
    return _flat(text[:limit]) + (" …" if len(text) > limit else "")


def _flat(text: str) -> str:
    """One line, without control characters that would move a terminal's cursor."""
    return "".join(char if char.isprintable() else " " for char in text)
