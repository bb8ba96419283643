"""Lines of results/anchors.jsonl -> results/anchors.md, which has them all, and the short tables of docs/benchmarks.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine_report import Line, is_line, table, with_tables

SAME_NDCG = 0.001  # as in anchors.py, which measures
NAMES = {"polyvec": "polyvec", "tachiom": "TACHIOM", "kannolo": "kANNolo, then MaxSim"}
SHOWN = {
    "polyvec": ("default", "recall 0.8", "exact"),
    "tachiom": ("default", "paper, MRR 39.0", "paper, MRR 39.6", "wide"),
    "kannolo": ("best 20", "best 100", "best 500", "best 2000"),
}


def write(lines: list[Line], folder: Path, page: Path) -> None:
    """Write anchors.md into the folder of results, and each short table of the page between its marks."""
    (folder / "anchors.md").write_text(whole(lines), encoding="utf-8")
    page.write_text(with_tables(lines, page.read_text(encoding="utf-8"), TABLES), encoding="utf-8")


def whole(lines: list[Line]) -> str:
    """Every setting and every size, as tables."""
    newest = max(lines, key=lambda x: x["at"])
    runs = sorted({(line["documents"], line["command"], line["at"][:10], line["commit"]) for line in lines})
    return "\n\n".join(
        [
            "# TACHIOM and one vector a document first: every measurement",
            "Written by `python benchmarks/engine.py --part report` from anchors.jsonl. What they mean, and how they were taken: "
            "[docs/benchmarks.md](../../docs/benchmarks.md).",
            "Milliseconds of processor time, one thread, queries of 32 tokens (sentences) and of their own length (questions).",
            _settings(lines, [x for x in lines if is_line(x, part="point")]),
            "## Building and size",
            _sizes(lines),
            f"{newest['machine']}. Runs:",
            "\n".join(f"    {command}  # {day}, {commit}" for _, command, day, commit in runs),
        ]
    ) + "\n"  # fmt: skip


def _short(lines: list[Line]) -> str:
    return _settings(lines, [x for x in lines if is_line(x, part="point") and x["point"] in SHOWN[x["engine"]]])


def _settings(lines: list[Line], points: list[Line]) -> str:
    """These settings, and beside each of a rival the fastest one of polyvec that is no worse."""
    every = [x for x in lines if is_line(x, part="point")]
    equal = {(x["documents"], x["engine"], x["point"]): x for x in lines if is_line(x, part="equal")}
    ours = {(x["documents"], x["point"]): x for x in every if x["engine"] == "polyvec"}

    def in_all(x: Line) -> str:
        found = equal.get((x["documents"], x["engine"], x["point"]))
        if found is None:
            return ""
        if found["polyvec"] is None:
            return "none"
        own = ours[x["documents"], found["polyvec"]]
        return f"{found['polyvec']}: {own['cpu_p50_ms_sentences']:.2f} ms, {found['polyvec_is_faster_by']:.2f}x"

    def in_ndcg(x: Line) -> str:
        if x["engine"] == "polyvec" or x["ndcg10"] is None:
            return ""
        fit = [
            own for (documents, _), own in ours.items()
            if documents == x["documents"] and own["ndcg10"] is not None and own["ndcg10"] >= x["ndcg10"] - SAME_NDCG
        ]  # fmt: skip
        if not fit:
            return "none"
        own = min(fit, key=lambda one: one["cpu_p50_ms_questions"])
        faster = x["cpu_p50_ms_questions"] / own["cpu_p50_ms_questions"]
        return f"{own['point']}: {own['cpu_p50_ms_questions']:.2f} ms, {faster:.1f}x"

    return table(
        sorted(points, key=lambda x: (x["documents"], list(NAMES).index(x["engine"]), x["cpu_p50_ms_sentences"])),
        ("documents", lambda x: f"{x['documents']:,}"),
        ("engine", lambda x: NAMES[x["engine"]]),
        ("setting", lambda x: x["point"]),
        ("sentences, p50 / p95 ms", lambda x: f"{x['cpu_p50_ms_sentences']:.2f} / {x['cpu_p95_ms_sentences']:.2f}"),
        ("overlap@10 / @100", lambda x: _two(x, "sentences")),
        ("questions, p50 ms", lambda x: f"{x['cpu_p50_ms_questions']:.2f}"),
        ("overlap@10 / @100", lambda x: _two(x, "questions")),
        ("nDCG@10", lambda x: "" if x["ndcg10"] is None else f"{x['ndcg10']:.4f}"),
        ("polyvec, no worse in all", in_all),
        ("polyvec, no worse nDCG@10", in_ndcg),
    )


def _sizes(lines: list[Line]) -> str:
    """What building took and what is stored, an engine and size a row."""
    exact = {x["documents"]: x["ndcg10"] for x in lines if is_line(x, part="exact")}
    return table(
        sorted(
            (x for x in lines if is_line(x, part="engine")),
            key=lambda x: (x["documents"], list(NAMES).index(x["engine"])),
        ),
        ("documents", lambda x: f"{x['documents']:,}"),
        ("tokens", lambda x: f"{x['tokens']:,}"),
        ("nDCG@10, exact fp32", lambda x: f"{exact[x['documents']]:.4f}"),
        ("engine", lambda x: NAMES[x["engine"]] + (f" {x['version']}" if x["engine"] != "polyvec" else "")),
        ("build, processor seconds", lambda x: f"{x['build_cpu_seconds']:,.0f}"),
        ("peak MB", lambda x: f"{x['build_peak_mb']:,}"),
        ("bytes a token, all files", lambda x: f"{x['bytes_per_token']:.1f}"),
        ("resident MB", lambda x: f"{x['resident_mb']:,}"),
        ("clustering", lambda x: f"{x['clustering']}, {x['centroids']:,} centroids" if "clustering" in x else ""),
    )


def _two(line: Line, kind: str) -> str:
    hundred = line[f"overlap100_{kind}"]
    return f"{line[f'overlap10_{kind}']:.3f}" + ("" if hundred is None else f" / {hundred:.3f}")


TABLES: dict[str, Any] = {"anchors": _short, "anchor sizes": _sizes}
