"""A file of expected results -> a page of tables: by set, by language, what it costs, and other people's figures.

Knows nothing but the file, so the page cannot say anything that `polyvec reproduce` does not check.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from polyvec.evaluation.reproduce import BASELINE, Expected, ExpectedFile

_INTRO = """# Results

*For whoever wants to know how well polyvec finds things, by language, and to run it again.*

Written by `polyvec reproduce recipes/expected.toml --data FOLDER --all --update --page docs/results.md`; `make reproduce`
runs the commands again and fails where a value is off. Measured through the index, in codes, over all judged queries. BM25 is bm25s
(Lucene's variant, k1 1.2, b .75) on words, and pairs of characters in scripts without spaces; keyword is the index's own
BM25; hybrid fuses it with late interaction (scores, .8 late). DATA is the folder of datasets, SET the name of a row.
What each choice of the training does, models trained small: [findings.md](findings.md).
"""
_MISSING = "Empty cells have not been measured with this model yet.\n"
_AVERAGED = 3  # sets of a group, from which their mean is shown
_GROUPED = "/"  # xquad/de belongs to the group xquad


def results_page(file: ExpectedFile) -> str:
    """Markdown."""
    ours = [entry for entry in file.entries if not entry.published and entry.value is not None]
    theirs = [entry for entry in file.entries if entry.published]
    systems = list(dict.fromkeys(entry.system for entry in ours))
    about = "".join(f"- {name}: {value}\n" for name, value in file.about.items())
    missing = any(entry.value is None and not entry.published for entry in file.entries)
    parts = [
        _INTRO,
        _MISSING if missing else "",
        about,
        _commands(ours, systems),
        "## By set\n",
        _sets(ours, systems),
        _differences(ours),
    ]
    spoken = [one for one in _datasets(ours) if any(len(entry.languages) > 1 for entry in ours if entry.dataset == one)]
    if spoken:
        parts.append("## By language of the query\n")
        parts += [_languages([entry for entry in ours if entry.dataset == one], one) for one in spoken]
    if theirs:
        parts += ["## Published by others\n", _published(theirs)]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts if part)


def _commands(entries: Sequence[Expected], systems: Sequence[str]) -> str:
    rows = []
    for system in systems:
        entry = next(one for one in entries if one.system == system)
        sizes = {one.bytes_per_token for one in entries if one.system == system and one.bytes_per_token}
        cost = "" if not sizes else f"{min(sizes):.0f}" if len(sizes) == 1 else f"{min(sizes):.0f} to {max(sizes):.0f}"
        rows.append([system, f"`{entry.command.replace(entry.dataset, 'SET')}`", cost])
    return _table(["system", "command", "bytes a token"], rows)


def _sets(entries: Sequence[Expected], systems: Sequence[str]) -> str:
    rows = []
    for dataset in _datasets(entries):
        rows.append([dataset, *_cells(entries, dataset, systems)])
    groups = {one.split(_GROUPED)[0] for one in _datasets(entries) if _GROUPED in one}
    for group in sorted(groups):
        members = [one for one in _datasets(entries) if one.startswith(group + _GROUPED)]
        if len(members) < _AVERAGED:
            continue
        means = []
        for system in systems:
            values = [one.value or 0.0 for one in entries if one.dataset in members and one.system == system]
            means.append(f"**{sum(values) / len(values):.4f}**" if len(values) == len(members) else "")
        rows.append([f"**{group}, mean of {len(members)}**", *means])
    measures = dict.fromkeys(entry.measure for entry in entries)
    return f"{', '.join(measures)}.\n\n" + _table(["set", *systems], rows)


def _cells(entries: Sequence[Expected], dataset: str, systems: Sequence[str]) -> list[str]:
    values = {entry.system: f"{entry.value:.4f}" for entry in entries if entry.dataset == dataset}
    return [values.get(system, "") for system in systems]


def _differences(entries: Sequence[Expected]) -> str:
    """The first system that was compared with BM25, set by set."""
    compared = [entry for entry in entries if entry.against]
    if not compared:
        return ""
    system = compared[0].system
    rows = [
        [
            entry.dataset,
            f"{entry.against['difference']:+.4f}",
            f"{entry.against['low']:+.4f} to {entry.against['high']:+.4f}",
            f"{entry.against['p']:.4f}",
        ]
        for entry in compared
        if entry.system == system
    ]
    text = (
        f"{system} less {BASELINE}, query by query: 95 % interval by bootstrap, p of a paired randomization test.\n\n"
    )
    return text + _table(["set", "difference", "interval", "p"], rows)


def _languages(entries: Sequence[Expected], dataset: str) -> str:
    shown = [entry for entry in entries if entry.languages]
    languages = sorted({lang for entry in shown for lang in entry.languages})
    rows = [
        [lang, *(f"{entry.languages[lang]:.4f}" if lang in entry.languages else "" for entry in shown)]
        for lang in languages
    ]
    means = [f"**{sum(entry.languages.values()) / len(entry.languages):.4f}**" for entry in shown]
    rows.append(["**macro average**", *means])
    return f"**{dataset}**\n\n" + _table(["query in", *(entry.system for entry in shown)], rows)


def _published(entries: Sequence[Expected]) -> str:
    rows = [
        [entry.name, entry.measure, "" if entry.value is None else f"{entry.value:g}", f"`{entry.command}`", entry.note]
        for entry in entries
    ]
    text = "polyvec has not run these; the command is what a user with network and weights runs.\n\n"
    return text + _table(["model and data", "measure", "value", "command", "note"], rows)


def _datasets(entries: Iterable[Expected]) -> list[str]:
    return list(dict.fromkeys(entry.dataset for entry in entries))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
