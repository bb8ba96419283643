"""Result files in benchmarks/results -> the pictures of docs/images. Run after a new measurement: python benchmarks/plots.py

Every picture is an SVG with text as text, on a light ground of its own, so that it reads on light and dark pages. Its
description holds the numbers it was drawn from, as JSON: a test compares these with the result files.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
IMAGES = HERE.parent / "docs" / "images"
GROUND, INK, FAINT, GRID = "#fbfbf9", "#22262b", "#5d646d", "#dfe1e3"
BLUE, RED, GREEN, VIOLET, BROWN, GRAY = "#1f6fd1", "#d9541e", "#0f8a5f", "#7a55c4", "#a86f00", "#9aa3ad"
COLORS = {"polyvec": BLUE, "colbert": RED, "fast-plaid": GREEN, "xtr-warp-rs": VIOLET, "lancedb": BROWN}
ANCHORS = {"polyvec": ("polyvec", BLUE), "tachiom": ("TACHIOM", RED), "kannolo": ("one vector first", GREEN)}
KINDS = {"questions": "questions", "sentences": "sentences in other languages"}
BITS = (4, 2, 1)
Line = dict[str, Any]
Series = list[dict[str, Any]]


def quality_of_bytes(lines: list[Line]) -> Series:
    """Overlap and nDCG@10 of 10,000 documents at 4, 2 and 1 bits, with the bytes a token of all files."""
    found: Series = []
    size = {x["nbits"]: x["bytes_per_token"] for x in lines if _is(x, "build", documents=10_000, engine="polyvec")}
    for bits in BITS:
        row: dict[str, Any] = {"bits": bits, "bytes_per_token": size[bits]}
        for line in lines:
            if _is(line, "quality", documents=10_000, engine="polyvec", nbits=bits, setting="defaults"):
                row[f"overlap10 {line['queries']}"] = line["overlap10"]
                row |= {"ndcg10": line["ndcg10"]} if line["ndcg10"] else {}
        found.append(row)
    (exact,) = (x["ndcg10"] for x in lines if _is(x, "quality", documents=10_000, engine="exact fp32"))
    return [*found, {"bits": "exact fp32", "ndcg10": exact}]


def quality_of_time(lines: list[Line]) -> Series:
    """Median of single queries on one thread and the overlap found, for the collections that other engines answered."""
    wanted = [x for x in lines if _is(x, "search", threads=1, k=10, nbits=4) and x["documents"] in (3_000, 100_000)]
    rows = [{name: x[name] for name in ("documents", "engine", "setting", "p50_ms", "overlap")} for x in wanted]
    return sorted(rows, key=lambda row: (-row["documents"], row["engine"], row["p50_ms"]))


def anchors(lines: list[Line]) -> Series:
    """Median processor time of single queries and the overlap found, of every setting of polyvec, TACHIOM and kANNolo."""
    found: Series = []
    for line in lines:
        if _is(line, "point"):
            row = {name: line[name] for name in ("documents", "engine", "point")}
            for kind in KINDS:
                row[kind] = [line[f"cpu_p50_ms_{kind}"], line[f"overlap10_{kind}"]]
            found.append(row)
    return found


def frontier(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of (time, quality): those that no other is both faster and better than, fastest first."""
    kept: list[tuple[float, float]] = []
    for time, quality in sorted(points, key=lambda point: (point[0], -point[1])):
        if not kept or quality > kept[-1][1]:
            kept.append((time, quality))
    return kept


def growth(lines: list[Line]) -> Series:
    """Median of single queries by number of documents, at the defaults."""
    wanted = [x for x in lines if _is(x, "search", engine="polyvec", setting="defaults", k=10, nbits=4)]
    rows = [{name: x[name] for name in ("threads", "documents", "p50_ms", "overlap")} for x in wanted]
    return sorted(rows, key=lambda row: (row["threads"], row["documents"]))


def batches(lines: list[Line]) -> Series:
    """Queries a second, by the clock and of a processor's time, by how many are asked at once."""
    names = ("documents", "queries", "threads", "batch", "queries_per_second", "queries_per_cpu_second")
    rows = [{name: line[name] for name in names} for line in lines]
    return sorted(rows, key=lambda row: (row["queries"], row["documents"], row["threads"], row["batch"]))


def encoding(lines: list[Line]) -> Series:
    """Tokens a second of processor time, documents, one thread: each contestant's newest line with AVX-512."""
    wanted = [x for x in lines if _is(x, "documents", threads=1) and "kernel avx512" in x["machine"]]
    newest = {line["contestant"]: line["tokens_per_cpu_second"] for line in wanted}
    return [{"contestant": name, "tokens_per_cpu_second": value} for name, value in newest.items()]


def draw_quality_of_bytes(data: Series, figure: Any) -> None:
    left, right = figure.subplots(1, 2)
    *coded, exact = data
    sizes = [row["bytes_per_token"] for row in coded]
    questions = [row["overlap10 questions"] for row in coded]
    sentences = [row["overlap10 sentences"] for row in coded]
    left.plot(sizes, questions, "o-", color=BLUE)
    left.plot(sizes, sentences, "o-", color=RED)
    _note(left, "questions", (sizes[0], questions[0]), (0, 9), BLUE, align="right")
    _note(left, "sentences in other languages", (79, 0.83), (0, 0), RED, align="right")
    left.set_ylim(0.7, 1.0)
    left.set_title("share of the exact top ten that is found")
    right.plot(sizes, [row["ndcg10"] for row in coded], "o-", color=BLUE)
    right.axhline(exact["ndcg10"], color=FAINT, linestyle="--", linewidth=1)
    _note(right, "exact, 512 bytes a token", (sizes[0], exact["ndcg10"]), (0, -17), FAINT, align="right")
    right.set_ylim(0.65, 0.72)
    right.set_title("nDCG@10 of the questions")
    for axes in (left, right):
        axes.set_xlim(0, 80)
        axes.set_xlabel("bytes a token, all files")
        for row, size in zip(coded, sizes, strict=True):
            word = "bit" if row["bits"] == 1 else "bits"
            _note(axes, f"{row['bits']} {word}", (size, axes.get_ylim()[0]), (0, 5), FAINT, align="center")


def draw_quality_of_time(data: Series, figure: Any) -> None:
    for axes, documents in zip(figure.subplots(1, 2, sharey=True), (100_000, 3_000), strict=True):
        for engine, color in COLORS.items():
            rows = [row for row in data if row["documents"] == documents and row["engine"] == engine]
            times, found = [row["p50_ms"] for row in rows], [row["overlap"] for row in rows]
            axes.plot(times, found, "o-" if engine == "polyvec" else "o", color=color)
            for row in rows:
                if row["setting"] == "defaults":
                    below = engine == "colbert"
                    place = (row["p50_ms"], row["overlap"])
                    _note(axes, engine, place, (0, -17 if below else 9), color, align="center")
        axes.set_xscale("log")
        axes.set_xlim(0.4, 800)
        axes.set_xticks([1, 10, 100], labels=["1", "10", "100"])
        axes.set_ylim(0, 1.08)
        axes.set_xlabel("median milliseconds a query, one thread")
        axes.set_title(f"{documents:,} documents: share of the exact top ten")


def draw_anchors(data: Series, figure: Any) -> None:
    sizes = sorted({row["documents"] for row in data})
    for across, kind in zip(
        figure.subplots(2, len(sizes), sharex=True, sharey=True, squeeze=False), KINDS, strict=True
    ):
        for axes, documents in zip(across, sizes, strict=True):
            for engine, (name, color) in ANCHORS.items():
                rows = [row for row in data if row["documents"] == documents and row["engine"] == engine]
                points = [tuple(row[kind]) for row in rows]
                if not points:  # an engine that has no index of this size
                    continue
                best = frontier(points)
                axes.plot(*zip(*best, strict=True), "-", color=color, linewidth=1.2)
                axes.plot(*zip(*points, strict=True), "o", color=color, markersize=3.5)
                if axes is across[0] and kind == "questions":
                    above = engine == "polyvec"
                    _note(
                        axes,
                        name,
                        best[-1 if above else 0],
                        (4 if above else 26, 6 if above else -14),
                        color,
                        align="center",
                    )
            axes.set_xscale("log")
            axes.set_xlim(0.1, 1500)
            axes.set_xticks([0.1, 1, 10, 100], labels=[".1", "1", "10", "100"])
            axes.set_ylim(0, 1.08)
            axes.set_yticks([0, 0.25, 0.5, 0.75, 1], labels=["0", ".25", ".5", ".75", "1"])
            axes.tick_params(left=axes is across[0], bottom=kind == "sentences")
            if kind == "questions":
                axes.set_title(f"{documents:,} documents")
        across[0].set_ylabel(kind)
    across[0].set_xlabel("ms of processor time a query")


def draw_growth(data: Series, figure: Any) -> None:
    axes = figure.subplots()
    for threads, color in ((1, BLUE), (2, GREEN)):
        rows = [row for row in data if row["threads"] == threads]
        points = [(row["documents"], row["p50_ms"]) for row in rows]
        axes.plot(*zip(*points, strict=True), "o-", color=color)
        _note(axes, "1 thread" if threads == 1 else f"{threads} threads", points[-1], (8, -3), color)
        for row, point in zip(rows, points, strict=True):
            if threads == 1:
                _note(axes, f"{row['overlap']:.2f}", point, (0, 8), FAINT, align="center")
    sizes = sorted({row["documents"] for row in data})
    axes.set_xscale("log")
    axes.set_xlim(2_000, 3_000_000)
    axes.set_xticks(sizes, labels=[f"{size:,}" for size in sizes])
    axes.set_ylim(0, 9)
    axes.set_xlabel("documents")
    axes.set_title("median milliseconds a query, and above the line the share of the exact top ten that it finds")


def draw_batches(data: Series, figure: Any) -> None:
    sizes = sorted({row["batch"] for row in data})
    collections = sorted({row["documents"] for row in data})
    for axes, kind in zip(figure.subplots(1, 2, sharey=True), ("sentences", "questions"), strict=True):
        for documents, color in zip(collections, (GREEN, BLUE, RED), strict=False):
            for threads, line in ((1, "o--"), (2, "o-")):
                rows = [
                    row for row in data
                    if (row["queries"], row["documents"], row["threads"]) == (kind, documents, threads)
                ]  # fmt: skip
                points = [(row["batch"], row["queries_per_cpu_second"]) for row in rows]
                axes.plot(*zip(*points, strict=True), line, color=color, linewidth=1.4, markersize=4)
                if threads == 2 and kind == "sentences":
                    _note(axes, f"{documents:,} documents", points[-1], (0, 7), color, align="right")
        axes.set_xscale("log")
        axes.set_xlim(0.8, 1_300)
        axes.set_xticks(sizes, labels=[f"{size:,}" for size in sizes])
        axes.set_ylim(0, 1.2 * max(row["queries_per_cpu_second"] for row in data))
        axes.set_xlabel("queries asked at once")
        axes.set_title(f"{KINDS[kind]}")
    figure.suptitle("queries for each second of a processor", x=0.01, ha="left", fontsize=10.5, color=INK)
    _note(axes, "two threads, and dashed one", (1, axes.get_ylim()[0]), (0, 6), FAINT)


def draw_encoding(data: Series, figure: Any) -> None:
    axes = figure.subplots()
    rows = sorted(data, key=lambda row: row["tokens_per_cpu_second"])
    names = [row["contestant"].replace("native", "polyvec").replace("onnxruntime", "ONNX Runtime") for row in rows]
    colors = [BLUE if name.startswith("polyvec") else GRAY for name in names]
    values = [row["tokens_per_cpu_second"] for row in rows]
    axes.barh(names, values, color=colors, height=0.62)
    for at, value in enumerate(values):
        _note(axes, f"{value:,}", (value, at), (5, -4), INK)
    axes.set_xlim(0, max(values) * 1.12)
    axes.set_xticks([])
    axes.grid(visible=False)
    axes.set_title("tokens a second of processor time, documents, one thread")


PICTURES: dict[str, tuple[str, Callable[[list[Line]], Series], Callable[[Series, Any], None], tuple[float, float]]] = {
    "quality-bytes": ("engine", quality_of_bytes, draw_quality_of_bytes, (9, 3.4)),
    "quality-time": ("engine", quality_of_time, draw_quality_of_time, (9, 3.6)),
    "anchors": ("anchors", anchors, draw_anchors, (9, 5.6)),
    "growth": ("engine", growth, draw_growth, (9, 3.4)),
    "batches": ("batches", batches, draw_batches, (9, 3.6)),
    "encoding": ("encoder", encoding, draw_encoding, (9, 2.4)),
}


def read_lines(name: str) -> list[Line]:
    return [json.loads(line) for line in (HERE / "results" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def draw(name: str, folder: Path) -> Path:
    """Draw one picture; the same result file gives the same picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    source, data_of, draw_into, size = PICTURES[name]
    data = data_of(read_lines(source))
    style = {
        "svg.fonttype": "none", "svg.hashsalt": name, "font.family": "sans-serif", "font.size": 10, "axes.titlesize": 10.5,
        "axes.titlelocation": "left", "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
        "axes.axisbelow": True, "grid.color": GRID, "text.color": INK, "axes.edgecolor": GRID,
        "axes.labelcolor": FAINT, "axes.titlecolor": INK,
        "xtick.color": FAINT, "ytick.color": FAINT, "xtick.minor.size": 0, "figure.facecolor": GROUND, "axes.facecolor": GROUND,
    }  # fmt: skip
    with mpl.rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        draw_into(data, figure)
        path = folder / f"{name}.svg"
        figure.savefig(
            path,
            metadata={"Date": None, "Creator": None, "Description": json.dumps(data, separators=(",", ":"))},
            facecolor=GROUND,
        )
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=IMAGES)
    folder = parser.parse_args().folder
    for name in PICTURES:
        print(draw(name, folder))


def _note(
    axes: Any, text: str, point: tuple[float, float], offset: tuple[float, float], color: str, align: str = "left"
) -> None:
    """Write beside a point, `offset` printer's points away from it."""
    axes.annotate(text, point, xytext=offset, textcoords="offset points", ha=align, color=color)


def _is(line: Line, part: str, **values: Any) -> bool:
    return line["part"] == part and all(line.get(name) == value for name, value in values.items())


if __name__ == "__main__":
    main()
