"""Lines of results/engine.jsonl -> results/engine.md, which has them all, and the short tables of docs/benchmarks.md."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

Line = dict[str, Any]


def write(lines: list[Line], folder: Path, page: Path) -> None:
    """Write engine.md into the folder of results, and each short table of the page between its marks."""
    (folder / "engine.md").write_text(whole(lines), encoding="utf-8")
    page.write_text(with_tables(lines, page.read_text(encoding="utf-8")), encoding="utf-8")


def whole(lines: list[Line]) -> str:
    """Every line of the results, as tables."""
    title = (
        "# The engine: every measurement\n\nWritten by `python benchmarks/engine.py --part report` from engine.jsonl."
    )
    about = "What they mean, and how they were taken: [docs/benchmarks.md](../../docs/benchmarks.md)."
    return "\n\n".join([f"{title} {about}", *_sections(lines)]) + "\n"


def with_tables(lines: list[Line], text: str, tables: dict[str, Callable[[list[Line]], str]] | None = None) -> str:
    """The page with these short tables written anew; None for those of this file."""
    for name, written in (TABLES if tables is None else tables).items():
        parts = re.split(rf"(<!-- table: {name} -->\n).*?(<!-- end -->)", text, flags=re.S)
        if len(parts) != 4:
            raise ValueError(
                f"write <!-- table: {name} --> and <!-- end --> once into the page; found {len(parts) // 3} times"
            )
        text = f"{parts[0]}{parts[1]}\n{written(lines)}\n\n{parts[2]}{parts[3]}"
    return text


def _search(lines: list[Line]) -> str:
    one, two = (
        {
            x["documents"]: x
            for x in lines
            if is_line(x, part="search", engine="polyvec", nbits=4, k=10, setting="defaults", threads=threads)
        }
        for threads in (1, 2)
    )
    batch = {
        x["documents"]: x for x in lines if is_line(x, part="batch", engine="polyvec", nbits=4, setting="defaults")
    }
    return table(
        [one[documents] for documents in sorted(one)],
        ("documents", lambda x: f"{x['documents']:,}"),
        ("tokens", lambda x: f"{x['tokens'] / 1e6:.1f} M"),
        ("one thread, p50 / p95 ms", lambda x: f"{x['p50_ms']:.2f} / {x['p95_ms']:.2f}"),
        ("two threads, p50 ms", lambda x: f"{two[x['documents']]['p50_ms']:.2f}"),
        (
            "in a batch, queries a second",
            lambda x: batch[x["documents"]]["queries_per_second"] if x["documents"] in batch else "",
        ),
        ("overlap@10", lambda x: f"{x['overlap']:.3f}"),
        ("resident MB", lambda x: x["resident_mb"]),
    )


def _recall(lines: list[Line]) -> str:
    wanted = [
        x
        for x in lines
        if is_line(x, part="search", engine="polyvec", threads=1, k=10) and x["setting"].startswith("recall")
    ]
    judged = {
        (x["documents"], x["setting"]): x
        for x in lines
        if is_line(x, part="quality", engine="polyvec", queries="questions")
    }
    return table(
        sorted(wanted, key=lambda x: (x["documents"], x["setting"])),
        ("documents", lambda x: f"{x['documents']:,}"),
        ("asked for", lambda x: x["setting"].removeprefix("recall ")),
        ("p50 ms, one thread", lambda x: f"{x['p50_ms']:.2f}"),
        ("overlap@10, sentences", lambda x: f"{x['overlap']:.3f}"),
        (
            "questions",
            lambda x: f"{found['overlap10']:.3f}" if (found := judged.get((x["documents"], x["setting"]))) else "",
        ),
    )


def _quality(lines: list[Line]) -> str:
    exact = {x["documents"]: x["ndcg10"] for x in lines if is_line(x, part="quality", engine="exact fp32")}
    wanted = [x for x in lines if is_line(x, part="quality", engine="polyvec", setting="defaults", queries="questions")]
    other = {
        (x["documents"], x["nbits"]): x
        for x in lines
        if is_line(x, part="quality", engine="polyvec", setting="defaults", queries="sentences")
    }
    return table(
        sorted(wanted, key=lambda x: (x["documents"], -x["nbits"])),
        ("documents", lambda x: f"{x['documents']:,}"),
        ("bits", lambda x: x["nbits"]),
        ("overlap@10, questions", lambda x: f"{x['overlap10']:.3f}"),
        ("sentences", lambda x: f"{other[x['documents'], x['nbits']]['overlap10']:.3f}"),
        ("nDCG@10", lambda x: f"{x['ndcg10']:.4f}"),
        ("nDCG@10, exact", lambda x: f"{exact[x['documents']]:.4f}"),
    )


def _peers(lines: list[Line]) -> str:
    wanted = [
        x
        for x in lines
        if is_line(x, part="search", threads=1, k=10, nbits=4, setting="defaults")
        and x["documents"] in (3_000, 10_000, 100_000)
    ]
    built = {(x["documents"], x["engine"]): x for x in lines if is_line(x, part="build", nbits=4)}
    return table(
        sorted(wanted, key=lambda x: (-x["documents"], x["p50_ms"])),
        ("documents", lambda x: f"{x['documents']:,}"),
        ("engine", lambda x: "polyvec" if x["engine"] == "polyvec" else f"{x['engine']} {x['version']}"),
        ("p50 ms, one thread", lambda x: f"{x['p50_ms']:.2f}"),
        ("polyvec is faster by", lambda x: _times(x["polyvec_is_faster_by"])),
        ("overlap@10", lambda x: f"{x['overlap']:.2f}"),
        ("resident MB", lambda x: x["resident_mb"]),
        ("bytes a token", lambda x: built[x["documents"], x["engine"]]["bytes_per_token"]),
    )


def _builds(lines: list[Line]) -> str:
    return table(
        sorted((x for x in lines if is_line(x, part="build", nbits=4)), key=lambda x: (x["documents"], x["seconds"])),
        ("documents", lambda x: f"{x['documents']:,}"),
        ("tokens", lambda x: f"{x['tokens']:,}"),
        ("engine", lambda x: "polyvec" if x["engine"] == "polyvec" else f"{x['engine']} {x['version']}"),
        ("seconds", lambda x: f"{x['seconds']:,}"),
        ("peak MB", lambda x: f"{x['peak_mb']:,}"),
    )


def _sections(lines: list[Line]) -> Iterable[str]:
    parts = {part: [line for line in lines if line["part"] == part] for part in {line["part"] for line in lines}}
    order = sorted(
        parts.get("search", []), key=lambda x: (-x["documents"], x["k"], x["threads"], x["setting"], x["p50_ms"])
    )
    yield "## Single queries of 32 tokens, 128 dimensions"
    yield table(
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
        yield "## Queries given together, all threads, top 10"
        yield table(
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
        yield "## What is lost"
        yield table(
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
        yield "## Building and size"
        yield table(
            builds,
            ("documents", lambda x: f"{x['documents']:,}"),
            ("tokens", lambda x: f"{x['tokens']:,}"),
            ("engine", _engine),
            ("seconds", lambda x: x["seconds"]),
            ("bytes a token, all files", lambda x: x["bytes_per_token"]),
            ("peak MB", lambda x: x["peak_mb"]),
        )
    if growth := growth_of(parts.get("search", [])):
        yield "## Growth"
        yield growth
    if kernels := parts.get("kernel"):
        yield "## Scoring in full, against the machine's int8 peak, one thread"
        yield table(
            kernels,
            ("bits", lambda x: x["nbits"]),
            ("ns a document token, 32 query tokens", lambda x: x["nanoseconds_per_token"]),
            ("share of the peak", lambda x: f"{x['share_of_peak']:.0%}"),
            ("peak, G multiply-adds/s", lambda x: x["peak_gmac_per_second"]),
            ("kernel", lambda x: x["kernel"]),
        )
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


def _engine(line: Line) -> str:
    version = f" {line['version']}" if line.get("version") and line["engine"] != "polyvec" else ""
    bits = f", {line['nbits']} bits" if "nbits" in line and line["engine"] != "lancedb" else ""
    return f"{line['engine']}{version}{bits}"


def is_line(line: Line, **values: Any) -> bool:
    """Whether a line has these values."""
    return all(line.get(name) == value for name, value in values.items())


def _times(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}x"


def table(lines: Iterable[Any], *columns: tuple[str, Callable[[Any], Any]]) -> str:
    """A Markdown table: one row a line, each column a heading and what it shows of a line."""
    rows = [[name for name, _ in columns], ["---"] * len(columns)]
    rows += [[str(value(line)) for _, value in columns] for line in lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


TABLES: dict[str, Callable[[list[Line]], str]] = {
    "search": _search,
    "recall": _recall,
    "quality": _quality,
    "peers": _peers,
    "builds": _builds,
}
