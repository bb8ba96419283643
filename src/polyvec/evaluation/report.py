"""An evaluation -> one self-contained HTML page, with the charts as PNG files beside it.

Charts: the measures by language of the query, and which language the top hits have for queries of each language. Then the
worst queries with their hits, and what the run cost.
"""

from __future__ import annotations

import base64
import html
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from polyvec.atomic import aside, write_text
from polyvec.data import Document
from polyvec.errors import MissingExtraError
from polyvec.evaluation.dataset import Dataset
from polyvec.evaluation.evaluation import EvaluationResult
from polyvec.evaluation.robustness import Perturbed
from polyvec.evaluation.significance import Comparison

_WORST = 15  # queries shown
_OPEN = 3  # of them that show their hits at once
_TOP = 10  # hits counted by language
_SNIPPET = 220
_COLORS = ("#2f6fb0", "#d08a4a", "#7aa874", "#9a7bb5", "#b0a04a")


Rival = tuple[str, dict[str, dict[str, float]], dict[str, Comparison]]


def write_report(
    folder: Path,
    dataset: Dataset,
    result: EvaluationResult,
    comparisons: Sequence[Rival] = (),
    typed: Sequence[Perturbed] = (),
) -> Path:
    """Write index.html and its charts to a folder and return the page's path.

    rivals: other systems' names, values by query and measure, and how ours compare. typed: results of texts as people type them.

    Raises:
        MissingExtraError: Without matplotlib.
    """
    folder.mkdir(parents=True, exist_ok=True)
    documents = {document.id: document for document in dataset.documents()}
    measure = next(iter(result.measures))
    pictures = []
    if result.by_lang:
        pictures.append(
            ("By language of the query", draw_languages(folder / "by-language.png", dataset, result, comparisons))
        )
        confusion = _confusion(dataset, result, documents)
        if any(len(row) for row in confusion.values()):
            pictures.append((f"Language of the first {_TOP} hits", draw_confusion(folder / "confusion.png", confusion)))
    parts = [
        f"<h1>{_text(dataset.name)}</h1><p class=sub>{_text(result.model)}, {result.queries:,} judged queries, "
        f"{result.documents:,} documents</p>",
        _measures(result),
        _compared(comparisons),
        _as_typed(result, typed),
        *(f"<h2>{_text(title)}</h2><img alt='{_text(title)}' src='{_inline(path)}'>" for title, path in pictures),
        f"<h2>The worst queries by {_text(measure)}</h2>",
        _worst(dataset, result, documents, measure),
        "<h2>Cost</h2>",
        _cost(result),
    ]
    page = folder / "index.html"
    write_text(page, _PAGE.format(title=_text(dataset.name), body="\n".join(parts)))
    return page


def draw_languages(path: Path, dataset: Dataset, result: EvaluationResult, comparisons: Sequence[Rival] = ()) -> Path:
    """A horizontal bar for each language and system, by the first measure."""
    measure = next(iter(result.measures))
    languages = sorted(result.by_lang, key=lambda lang: result.by_lang[lang][measure])
    systems = [(result.model, {lang: result.by_lang[lang][measure] for lang in languages})]
    systems += [(name, _by_language(dataset, values, measure)) for name, values, _ in comparisons]
    thick = 0.8 / len(systems)
    row = 0.2 + 0.16 * len(systems)
    figure, axes = pyplot().subplots(figsize=(7.5, 1.2 + row * max(len(languages), 2)), dpi=150)
    for i, (name, values) in enumerate(systems):
        places = [y + thick * ((len(systems) - 1) / 2 - i) for y in range(len(languages))]
        bars = axes.barh(
            places,
            [values[lang] for lang in languages],
            color=_COLORS[i % len(_COLORS)],
            height=0.92 * thick,
            label=plain(name),
        )
        axes.bar_label(
            bars, [f"{values[lang]:.3f}" for lang in languages], padding=3, fontsize=7 if len(systems) < 4 else 6
        )
    axes.set_yticks(range(len(languages)), map(plain, languages))
    if len(languages) > 1:
        macro = result.macro[measure]
        axes.axvline(macro, color="#999999", linewidth=1, linestyle=":", zorder=0, label=f"macro average {macro:.3f}")
    axes.set_ylim(-0.6, len(languages) - 0.4)
    axes.set_xlim(0, min(1.08, 1.15 * max(0.05, *(value for _, values in systems for value in values.values()))))
    axes.set_xlabel(plain(measure))
    axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2)
    return save(figure, axes, path)


def _by_language(dataset: Dataset, values: dict[str, dict[str, float]], measure: str) -> dict[str, float]:
    groups: dict[str, list[float]] = {}
    for query in dataset.judged_queries():
        if query.lang:
            groups.setdefault(query.lang, []).append(values[query.id][measure])
    return {lang: sum(group) / len(group) for lang, group in groups.items()}


def draw_confusion(path: Path, confusion: dict[str, Counter[str]]) -> Path:
    """A square for each pair: the share of a query language's top hits that are in a document language."""
    plots = pyplot()
    queries = sorted(confusion)
    targets = sorted({lang for row in confusion.values() for lang in row})
    shares = [[confusion[q][t] / max(1, sum(confusion[q].values())) for t in targets] for q in queries]
    figure, axes = plots.subplots(figsize=(2 + 0.5 * max(len(targets), 6), 1.6 + 0.36 * max(len(queries), 4)), dpi=150)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for y, row in enumerate(shares):
        for x, share in enumerate(row):
            if share >= 0.005:
                color = "white" if share > 0.55 else "#222222"
                axes.text(x, y, f"{100 * share:.0f}", ha="center", va="center", fontsize=7, color=color)
    axes.set_xticks(range(len(targets)), map(plain, targets))
    axes.set_yticks(range(len(queries)), map(plain, queries))
    axes.set_xlabel("language of the hit (%)")
    axes.set_ylabel("language of the query")
    return save(figure, axes, path)


def pyplot() -> Any:
    """Matplotlib without a display.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise MissingExtraError("Charts need matplotlib. Run: pip install 'polyvec[eval]'") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot as plots

    return plots


def plain(text: str) -> str:
    """A name as a figure shows it, character by character: no formula between dollars, no control characters."""
    return "".join(c if c.isprintable() else " " for c in text).replace("$", "\\$")


def save(figure: Any, axes: Any, path: Path) -> Path:
    """Write a figure without the frame's upper and right side, and let it go."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    with aside(path) as staging, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a box stands for what the font lacks
        figure.tight_layout()
        figure.savefig(staging)
    pyplot().close(figure)
    return path


def _confusion(dataset: Dataset, result: EvaluationResult, documents: dict[str, Document]) -> dict[str, Counter[str]]:
    counts: dict[str, Counter[str]] = {}
    for query in dataset.judged_queries():
        if query.lang:
            hits = list(result.run.get(query.id, {}))[:_TOP]
            languages = (documents[hit].metadata.get("lang") for hit in hits if hit in documents)
            counts.setdefault(query.lang, Counter()).update(str(lang) for lang in languages if lang)
    return counts


def _measures(result: EvaluationResult) -> str:
    names = list(result.measures)
    rows = [("all queries", result.measures), *((("macro average", result.macro),) if result.macro else ())]
    rows += list(result.by_lang.items())
    return _table(["queries in", *names], [[label, *(f"{row[name]:.4f}" for name in names)] for label, row in rows])


def _compared(comparisons: Sequence[Rival]) -> str:
    if not comparisons:
        return ""
    rows = [
        [
            name,
            measure,
            f"{one.ours:.4f}",
            f"{one.theirs:.4f}",
            f"{one.difference:+.4f}",
            f"{one.low:+.4f} to {one.high:+.4f}",
            f"{one.p:.4f}",
        ]
        for name, _, found in comparisons
        for measure, one in found.items()
    ]
    head = ["against", "measure", "this run", "the other", "difference", "95 % interval", "p"]
    note = "<p class=sub>Paired over queries: interval by bootstrap, p of a randomization test.</p>"
    return "<h2>Against other systems</h2>" + _table(head, rows) + note


def _as_typed(result: EvaluationResult, typed: Sequence[Perturbed]) -> str:
    if not typed:
        return ""
    measure = next(iter(result.measures))
    rows = [
        [lang, f"{row[measure]:.4f}", *(f"{one.result.by_lang[lang][measure]:.4f}" for one in typed)]
        for lang, row in result.by_lang.items()
    ]
    rows.append(
        ["all queries", f"{result.measures[measure]:.4f}", *(f"{one.result.measures[measure]:.4f}" for one in typed)]
    )
    rows.append(["texts changed", "", *(f"{one.changed:,}" for one in typed)])
    head = ["queries in", "as written", *(one.kind for one in typed)]
    return f"<h2>As people type: {_text(measure)}</h2>" + _table(head, rows)


def _worst(dataset: Dataset, result: EvaluationResult, documents: dict[str, Document], measure: str) -> str:
    queries = sorted(dataset.judged_queries(), key=lambda query: result.per_query[query.id][measure])[:_WORST]
    parts: list[str] = []
    for query in queries:
        relevant = {d for d, grade in dataset.qrels[query.id].items() if grade > 0}
        hits = list(result.run.get(query.id, {}).items())[:3]
        shown = [_hit(documents.get(d), f"{score:.2f}", d in relevant) for d, score in hits] or ["<li>no hits</li>"]
        wanted = next((documents[d] for d in sorted(relevant) if d in documents), None)
        value, lang = result.per_query[query.id][measure], _text(query.lang or "")
        shown_first = " open" if len(parts) < _OPEN else ""
        parts.append(
            f"<details{shown_first}><summary><b>{value:.3f}</b> <i>{lang}</i> <span dir=auto>{_text(query.text)}</span>"
            f"</summary><ol>{''.join(shown)}</ol><p class=sub>wanted:</p><ul>{_hit(wanted, '', True)}</ul></details>"
        )
    return "\n".join(parts)


def _hit(document: Document | None, score: str, right: bool) -> str:
    if document is None:
        return "<li class=sub>not in the collection</li>"
    text = document.text[:_SNIPPET] + ("…" if len(document.text) > _SNIPPET else "")
    mark = "<span class=right>relevant</span> " if right else ""
    lang, title = str(document.metadata.get("lang", "")), str(document.metadata.get("title") or document.id)
    head = f"<i>{_text(lang)}</i> <b>{_text(title)}</b>"
    return f"<li>{mark}{score} {head}<br><span dir=auto>{_text(text)}</span></li>"


def _cost(result: EvaluationResult) -> str:
    seconds, queries = result.seconds, result.queries
    settings = ", ".join(f"{name} {value}" for name, value in result.settings.items() if value is not None)
    rows = [
        ["encode", f"{seconds['encode']:.1f} s"],
        ["build the index", f"{seconds['index']:.1f} s"],
        ["search", f"{seconds['search']:.2f} s, {1000 * seconds['search'] / queries:.2f} ms a query"],
        ["token vectors", f"{result.tokens:,}, {result.tokens / max(result.documents, 1):,.0f} a document"],
        ["token vectors on disk", f"{result.bytes_per_token:.1f} bytes a token"],
        ["index on disk, with texts and keywords", f"{result.index_bytes:,} bytes"],
        ["settings", settings],
    ]
    return _table(["what", "how much"], rows, "text")


def _table(head: list[str], rows: list[list[str]], kind: str = "numbers") -> str:
    cells = "".join(f"<th>{_text(name)}" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{_text(value)}" for value in row) for row in rows)
    return f"<div class=wide><table class={kind}><tr>{cells}{body}</table></div>"


def _inline(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _text(value: str) -> str:
    return html.escape(value, quote=True)


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>
:root {{ color-scheme: light dark; --line: #8884; --soft: #777; }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ margin-bottom: 0; }} h2 {{ margin-top: 2.2rem; font-size: 1.15rem; }} .sub {{ color: var(--soft); margin: .2rem 0; }}
table {{ border-collapse: collapse; margin: 1rem 0; }}
td, th {{ padding: .25rem .9rem .25rem 0; text-align: right; border-bottom: 1px solid var(--line); }}
td:first-child, th:first-child, .text td, .text th {{ text-align: left; vertical-align: top; }}
td {{ font-variant-numeric: tabular-nums; }} .wide {{ overflow-x: auto; }}
img {{ max-width: 100%; background: white; border-radius: 6px; }}
details {{ border-bottom: 1px solid var(--line); padding: .35rem 0; }} summary {{ cursor: pointer; }} li {{ margin: .4rem 0; }}
.right {{ background: #2a8a4a; color: white; border-radius: 4px; padding: 0 .4rem; font-size: .8rem; }}
</style>
{body}
</html>
"""
