"""Lines of results/engine.jsonl -> the engine's tables in docs/benchmarks.md, and a plot of speed against quality."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

BEGIN, END = "<!-- engine: written by benchmarks/engine.py --part report -->", "<!-- engine: end -->"
Line = dict[str, Any]


def write(lines: list[Line], docs: Path) -> None:
    """Put the tables between their marks, at the end where there are none yet; draw the plot."""
    page = docs / "benchmarks.md"
    text = page.read_text(encoding="utf-8")
    section = "\n\n".join([BEGIN, *_sections(lines), END])
    if BEGIN in text:
        before, rest = text.split(BEGIN)
        text = before + section + rest.split(END)[1]
    else:
        text = text.rstrip("\n") + "\n\n" + section + "\n"
    page.write_text(text, encoding="utf-8")
    plot(lines, docs / "images" / "engine.png")


def _sections(lines: list[Line]) -> Iterable[str]:
    parts = {part: [line for line in lines if line["part"] == part] for part in {line["part"] for line in lines}}
    order = sorted(
        parts.get("search", []), key=lambda x: (-x["documents"], x["k"], x["threads"], x["setting"], x["p50_ms"])
    )
    yield "### Single queries of 32 tokens, 128 dimensions"
    yield _table(
        order,
        ("documents", lambda x: f"{x['documents']:,}"),
        ("threads", lambda x: x["threads"]),
        ("engine", _engine),
        ("setting", lambda x: x["setting"]),
        ("k", lambda x: x["k"]),
        ("p50 / p95 ms", lambda x: f"{x['p50_ms']:.2f} / {x['p95_ms']:.2f}"),
        ("polyvec is faster by", lambda x: _times(x["polyvec_is_faster_by"])),
        ("overlap with exact", lambda x: f"{x['overlap']:.3f}"),
        ("resident MB", lambda x: x["resident_mb"]),
    )
    if batches := sorted(
        parts.get("batch", []), key=lambda x: (-x["documents"], x["setting"], -x["queries_per_second"])
    ):
        yield "### Queries given together, all threads, top 10"
        yield _table(
            batches,
            ("documents", lambda x: f"{x['documents']:,}"),
            ("engine", _engine),
            ("setting", lambda x: x["setting"]),
            ("queries a second", lambda x: x["queries_per_second"]),
            ("polyvec is faster by", lambda x: _times(x["polyvec_is_faster_by"])),
        )
    if judged := sorted(
        parts.get("quality", []), key=lambda x: (-x["documents"], x.get("queries") or "", -x.get("nbits", 99))
    ):
        yield "### What is lost"
        yield _table(
            judged,
            ("documents", lambda x: f"{x['documents']:,}"),
            ("engine", _engine),
            ("setting", lambda x: x.get("setting", "")),
            ("queries", lambda x: x.get("queries", "questions")),
            ("overlap@10", lambda x: x.get("overlap10", 1)),
            ("overlap@100", lambda x: x.get("overlap100", 1)),
            ("nDCG@10", lambda x: x["ndcg10"] or ""),
        )
    if builds := sorted(parts.get("build", []), key=lambda x: (-x["documents"], x["engine"], -x["nbits"])):
        yield "### Building and size"
        yield _table(
            builds,
            ("documents", lambda x: f"{x['documents']:,}"),
            ("tokens", lambda x: f"{x['tokens']:,}"),
            ("engine", _engine),
            ("seconds", lambda x: x["seconds"]),
            ("bytes a token, all files", lambda x: x["bytes_per_token"]),
            ("peak MB", lambda x: x["peak_mb"]),
        )
    if growth := growth_of(parts.get("search", [])):
        yield "### Growth"
        yield growth
    if kernels := parts.get("kernel"):
        yield "### Scoring in full, against the machine's int8 peak, one thread"
        yield _table(
            kernels,
            ("bits", lambda x: x["nbits"]),
            ("ns a document token, 32 query tokens", lambda x: x["nanoseconds_per_token"]),
            ("share of the peak", lambda x: f"{x['share_of_peak']:.0%}"),
            ("peak, G multiply-adds/s", lambda x: x["peak_gmac_per_second"]),
            ("kernel", lambda x: x["kernel"]),
        )
    yield "![Speed against overlap with exact search](images/engine.png)"
    newest = max(lines, key=lambda x: x["at"])
    commands = sorted({line["command"] for line in lines})
    yield f"{newest['machine']}, {newest['cores']} cores, {newest['at'][:10]}. Commands:\n\n" + "\n".join(
        f"    {command}" for command in commands
    )


def growth_of(searches: list[Line]) -> str:
    """The exponent of query time in documents and in tokens, least squares over logarithms, polyvec at its defaults."""
    found = []
    for threads in sorted({line["threads"] for line in searches}):
        wanted = ("polyvec", 4, "defaults", 10, threads)
        ours = [x for x in searches if (x["engine"], x["nbits"], x["setting"], x["k"], x["threads"]) == wanted]
        chosen = sorted(ours, key=lambda x: x["documents"])
        if len(chosen) < 2:
            continue
        times = np.log([x["p50_ms"] for x in chosen])
        exponents = [
            float(np.polyfit(np.log([x[unit] for x in chosen]), times, 1)[0]) for unit in ("documents", "tokens")
        ]
        steps = ", ".join(
            f"{x['documents']:,} ({x['tokens'] / 1e6:.1f} M tokens): {x['p50_ms']:.2f} ms" for x in chosen
        )
        ten = 10 ** exponents[0]
        found.append(
            f"{threads} thread{'s' * (threads > 1)}: {steps}. Exponent {exponents[0]:.2f} in documents, {exponents[1]:.2f} in "
            f"tokens: ten times the documents cost {ten:.1f} times the time."
        )
    return "\n\n".join(found)


def plot(lines: list[Line], path: Path) -> None:
    """p50 of single queries on one thread against overlap@10, for the largest collection that more than one engine answered."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    searches = [x for x in lines if x["part"] == "search" and x["threads"] == 1 and x["k"] == 10]
    sizes = {x["documents"] for x in searches}
    shared = [n for n in sizes if len({x["engine"] for x in searches if x["documents"] == n}) > 1] or sorted(sizes)
    documents = max(shared)
    figure, axes = plt.subplots(figsize=(7, 4.2), dpi=110)
    for name in sorted({_engine(x) for x in searches}):
        chosen = sorted(
            (x for x in searches if _engine(x) == name and x["documents"] == documents), key=lambda x: x["p50_ms"]
        )
        if not chosen:
            continue
        axes.plot([x["p50_ms"] for x in chosen], [x["overlap"] for x in chosen], "o-", label=name)
        for x in chosen:
            same = [y for y in chosen if y["overlap"] == x["overlap"]]  # one label for what found the same
            if x is same[0]:
                names, place = ", ".join(y["setting"] for y in same), (x["p50_ms"], x["overlap"])
                axes.annotate(names, place, textcoords="offset points", xytext=(6, -12), fontsize=7)
    axes.set_xscale("log")
    axes.set_xticks([1, 2, 5, 10, 20, 50], labels=["1", "2", "5", "10", "20", "50"])
    axes.minorticks_off()
    axes.set_xlabel("median milliseconds a query, one thread (log)")
    axes.set_ylabel("overlap@10 with exact fp32 MaxSim")
    axes.set_title(f"{documents:,} real documents, queries of 32 tokens, 128 dimensions", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower left")
    figure.tight_layout()
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path)


def _engine(line: Line) -> str:
    version = f" {line['version']}" if line.get("version") and line["engine"] != "polyvec" else ""
    bits = f", {line['nbits']} bits" if "nbits" in line and line["engine"] != "lancedb" else ""
    return f"{line['engine']}{version}{bits}"


def _times(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}x"


def _table(lines: Iterable[Line], *columns: tuple[str, Callable[[Line], Any]]) -> str:
    rows = [[name for name, _ in columns], ["---"] * len(columns)]
    rows += [[str(value(line)) for _, value in columns] for line in lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
