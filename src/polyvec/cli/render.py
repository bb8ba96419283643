"""How results look in a terminal: hits with marked words, progress bars, sizes.

What users and documents wrote is printed as it stands: no markup, no emoji codes, no control characters.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleDimensions
from rich.padding import Padding
from rich.text import Text

from polyvec.cli.lines import flowing, is_shown, printable
from polyvec.cli.streams import stdout_is_closed, writing_to

if TYPE_CHECKING:
    from rich.progress import Progress

    from polyvec.search.explain import Explanation
    from polyvec.search.highlight import Highlight
    from polyvec.search.hits import Hit

_SNIPPET = 420  # characters of a text shown in a list of hits
_NAME, _TAG = 200, 20  # characters shown of a title or an id, and of a language
_NARROWEST, _WIDEST = 20, 500  # columns that lines are laid out for, whatever the terminal says
_STRONG, _MEDIUM = 0.7, 0.45  # strength from which a word is marked so; weaker ones are colored alone


class _Terminal(Console):
    """A console that takes every string literally and fails as the stream below fails."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)

    @property
    def size(self) -> ConsoleDimensions:
        width, height = super().size
        return ConsoleDimensions(min(max(width, _NARROWEST), _WIDEST), height)

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size

    def on_broken_pipe(self) -> None:
        raise  # noqa: PLE0704  # called where the error is being handled; main() ends the command


class _Results(_Terminal):
    def print(self, *objects: Any, **settings: Any) -> None:
        with writing_to("stdout"):
            super().print(*objects, **settings)


class _Messages(_Terminal):
    """Notes beside the results: where they cannot be shown, the work goes on."""

    def __init__(self) -> None:
        super().__init__(stderr=True)

    def print(self, *objects: Any, **settings: Any) -> None:
        try:
            super().print(*objects, **settings)
        except OSError:
            self.quiet = True


console = _Results()
messages = _Messages()


def line(*parts: Any) -> Text:
    """One line of values, made printable.

    Args:
        *parts: Each a value, or (value, style).

    Returns:
        The line.
    """
    text = Text()
    for part in parts:
        value, style = part if isinstance(part, tuple) else (part, None)
        text.append(printable(value), style=style)
    return text


def print_done(*parts: Any) -> None:
    """Say that the work is done. A caller who closed stdout does not want to know.

    Args:
        *parts: As `line` has them.
    """
    if not stdout_is_closed():
        console.print(line(("✓ ", "bold green"), *parts), soft_wrap=True)


def print_json(value: Any) -> None:
    """One JSON value on one line of stdout. Characters that act on a terminal, or that its encoding lacks, are escaped.

    Args:
        value: Plain JSON values.
    """
    text = json.dumps(value, ensure_ascii=False)
    if not text.isprintable():
        text = "".join(char if is_shown(char) else json.dumps(char)[1:-1] for char in text)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value)
    with writing_to("stdout"):
        sys.stdout.write(text + "\n")


def progress_bar(unit: str) -> Progress:
    """A progress bar on stderr with a share, a rate and the time left; silent where nobody watches.

    Args:
        unit: What is counted, in the plural.

    Returns:
        The bar, whose tasks need the fields done and rate.
    """
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

    return Progress(
        SpinnerColumn("line" if messages.options.ascii_only else "dots"),
        TextColumn("{task.description}", style="bold", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn(f"{{task.fields[done]}} {unit}", style="cyan", markup=False),
        TextColumn("{task.fields[rate]}", style="dim", markup=False),
        TimeRemainingColumn(),
        console=messages,
        disable=not messages.is_terminal,
        transient=True,
    )


def human_bytes(size: float) -> str:
    """A size for people: 12345678 is 12.3 MB.

    Args:
        size: In bytes.

    Returns:
        The size in B, kB, MB or GB, of 1000 each.
    """
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError("unreachable")


def print_hits(query: str, hits: Sequence[Hit], explanations: Sequence[Explanation | None], seconds: float) -> None:
    """A list of hits: rank, score, language, title, id, then the text with the matching words marked by strength.

    Args:
        query: The question.
        hits: Best first.
        explanations: One a hit; None where its words are not marked.
        seconds: What the search took.
    """
    from polyvec.search.highlight import highlights, word_matches

    console.print(line(("? ", "bold cyan"), (printable(query, _SNIPPET), "bold")))
    if not hits:
        console.print(Text("  no hits", style="dim"))
    marks = iter(word_matches([explanation for explanation in explanations if explanation is not None]))
    for hit, explanation in zip(hits, explanations, strict=True):
        title = "" if hit.title in (None, "") else printable(hit.title, _NAME)
        name = printable(hit.id, _NAME)
        head = line(
            (f"{hit.rank:>3}  ", "bold green"),
            (f"{hit.score:8.3f}  ", "green"),
            (printable(hit.lang or "--", _TAG), "magenta"),
            "  ",
            (title or name, "bold"),
            (f"   {name}" if title else "", "dim"),
            (_ranks(hit), "dim"),
        )
        console.print(head)
        if explanation is not None:
            titled = len(explanation.text) - len(hit.text or "")  # the title stands in the line above already
            body = marked_text(explanation.text, highlights(next(marks)), skip=titled)
        else:
            body = Text(_cut(hit.text or "", _SNIPPET))
        if body.plain:
            console.print(Padding(body, (0, 4, 0, 5)))
    plural = "" if len(hits) == 1 else "s"
    console.print(Text(f"  {len(hits)} hit{plural} in {1000 * seconds:.0f} ms\n", style="dim"))


def _ranks(hit: Hit) -> str:
    """Where a hybrid hit stood in each list."""
    return f"   {', '.join(f'{name} #{rank}' for name, rank in hit.ranks.items())}" if hit.ranks else ""


def marked_text(whole: str, found: Sequence[Highlight], *, skip: int = 0, limit: int = _SNIPPET) -> Text:
    """The stretch of a text that holds the strongest matches, with its words marked by strength.

    Args:
        whole: The text.
        found: What to mark, in reading order.
        skip: Characters at its beginning to leave out.
        limit: Characters to show, about.

    Returns:
        The stretch, with an ellipsis where something is left out.
    """
    marks = [mark for mark in found if mark.start >= skip]
    start = _best_window(marks, skip, len(whole), limit)
    if start > skip and not any(mark.start == start for mark in marks) and " " in whole[start : start + 20]:
        start = whole.index(" ", start) + 1
    end = min(len(whole), start + limit)
    if end < len(whole) and " " in whole[end - 20 : end]:
        end = whole.rindex(" ", end - 20, end)
    text = Text.assemble(("… " if start > skip else "", "dim"))
    position = start
    for mark in marks:
        if mark.start < position or mark.end > end:
            continue
        text.append(flowing(whole[position : mark.start]))
        text.append(flowing(whole[mark.start : mark.end]), style=_mark_style(mark.strength))
        position = mark.end
    text.append(flowing(whole[position:end]))
    if end < len(whole):
        text.append(" …", style="dim")
    return text


def print_explanation(explanation: Explanation) -> None:
    """A table of the matches: each query token, the document token it met, and how well.

    Args:
        explanation: Of one hit.
    """
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2))
    table.add_column("query token", style="cyan")
    table.add_column("document token")
    table.add_column("similarity", justify="right")
    table.add_column("", justify="left")
    for match in explanation.matches:
        table.add_row(
            printable(match.query_token) or Text("(special)", style="dim"),
            printable(match.document_token) or Text("(special)", style="dim"),
            f"{match.similarity:.3f}",
            Text("█" * max(0, round(16 * match.similarity)), style=_mark_color(match.similarity)),
        )
    console.print(Padding(table, (0, 0, 1, 5)))


def _mark_style(strength: float) -> str:
    if strength >= _STRONG:
        return "bold black on bright_yellow"
    return "bold yellow underline" if strength >= _MEDIUM else "yellow"


def _mark_color(similarity: float) -> str:
    return "bright_yellow" if similarity >= 0.85 else "yellow" if similarity >= 0.72 else "dim yellow"


def _best_window(marks: Sequence[Highlight], skip: int, length: int, limit: int) -> int:
    """Where to begin a snippet of `limit` characters so that it covers the most match strength, at a mark or the start."""
    if length - skip <= limit or not marks:
        return skip

    def covered(start: int) -> float:
        return sum(m.strength for m in marks if m.start >= start and m.end <= start + limit)

    starts = [skip, *(min(mark.start, length - limit) for mark in marks if mark.start >= skip)]
    return max(starts, key=lambda start: (covered(start), -start))


def _cut(text: str, limit: int) -> str:
    return flowing(text[:limit]) + (" …" if len(text) > limit else "")
