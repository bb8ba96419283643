"""A dataset and a list of settings -> quality beside what it costs: bytes a token, milliseconds a query."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

from polyvec.arguments import function, instance, list_of, local_path, shown
from polyvec.atomic import check_destination_folder, write_text
from polyvec.errors import InputError
from polyvec.evaluation.job import Job, Progress, Workshop
from polyvec.evaluation.measures import compute_measures
from polyvec.evaluation.report import plain, pyplot, save
from polyvec.index.engine.options import SearchOptions

_COLORS = ("#2f6fb0", "#c2571a", "#2a8a4a", "#8a4fb0", "#b0862f", "#3f8f8f", "#a03050")
_MARKERS = "os^Dv"
_FILLS = ("full", "none", "left", "top")  # of the marker, by pooling


@dataclass(frozen=True, kw_only=True)
class AblationRow:
    """What a setting gave.

    Attributes:
        probing: How it was searched.
        value: The measure over all judged queries.
        bytes_per_token: Of the vectors that are stored.
        bytes_per_document: The same for a document, which pooling lowers too.
        search_ms: A query, all threads at work.
    """

    dim: int
    nbits: int
    pool_factor: float
    probing: str
    value: float
    tokens: int
    documents: int
    bytes_per_token: float
    bytes_per_document: float
    search_ms: float

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @property
    def label(self) -> str:
        """The setting in a few words."""
        pooled = "" if self.pool_factor == 1 else f", pooled {self.pool_factor:g}"
        return f"{self.dim} x {self.nbits}{pooled}"


def parse_probing(text: str, k: int) -> SearchOptions:
    """ "exact", "32" (nprobe), "32:512" (nprobe:candidates) or "0.99" (recall) -> options. Raises InputError for other words."""
    if not isinstance(text, str):
        raise InputError(f"probing={shown(text)}: expected exact, 32, 32:512 or 0.99, as a string.")
    try:
        if text == "exact":
            return SearchOptions(k=k, exact=True)
        if "." in text:
            return SearchOptions(k=k, recall=float(text))
        nprobe, _, candidates = text.partition(":")
        return SearchOptions(k=k, nprobe=int(nprobe), candidates=int(candidates) if candidates else None)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(
            f"probing {shown(text)}: expected exact, a number of centroids such as 32, centroids:documents such as 32:512, "
            "or a recall such as 0.99."
        ) from error


def sweep(
    dataset: str,
    *,
    split: str | None = None,
    model: str | None = None,
    dims: Sequence[int | None] = (None,),
    nbits: Sequence[int | None] = (None,),
    pool_factors: Sequence[float] = (1.0,),
    probings: Sequence[str] = ("exact",),
    measure: str = "nDCG@10",
    k: int = 100,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Iterator[AblationRow]:
    """Judge every combination. Texts are encoded once, and an index is built once for all ways to probe it.

    Args:
        dims, nbits: None for the default.

    Raises:
        InputError: A setting that makes no sense, before any work.
    """
    function("progress", progress)
    settings = {"dims": dims, "pool_factors": pool_factors, "nbits": nbits, "probings": probings}
    lists = [list(list_of(name, value, ordered=True)) for name, value in settings.items()]
    jobs = [
        (
            probing,
            Job(
                dataset=dataset, split=split, model=model, dim=dim, nbits=bits, pool_factor=factor,
                options=parse_probing(probing, k), measures=(measure,), threads=threads,
            ),
        )
        for dim, factor, bits, probing in product(*lists)
    ]  # fmt: skip
    compute_measures({}, {}, [measure])
    return _swept(jobs, measure, progress)


def _swept(jobs: list[tuple[str, Job]], measure: str, progress: Progress | None) -> Iterator[AblationRow]:
    with Workshop(progress=progress) as workshop:
        for probing, job in jobs:
            result = workshop.do(job)
            yield AblationRow(
                dim=result.settings["dim"],
                nbits=result.settings["nbits"],
                pool_factor=job.pool_factor,
                probing=probing,
                value=result.measures[measure],
                tokens=result.tokens,
                documents=result.documents,
                bytes_per_token=result.bytes_per_token,
                bytes_per_document=round(result.bytes_per_token * result.tokens / result.documents, 1),
                search_ms=round(1000 * result.seconds["search"] / result.queries, 4),
            )


def write_ablation(folder: Path, name: str, rows: Sequence[AblationRow], measure: str) -> None:
    """Write ablation.jsonl, ablation.md and three plots to a folder: quality against bytes a token, bytes a document, and time.

    Raises:
        InputError: There are no rows.
        StorageError: The folder cannot be written.
    """
    folder = local_path("folder", folder)
    rows = [instance(f"rows[{i}]", row, AblationRow) for i, row in enumerate(list_of("rows", rows, ordered=True))]
    if not rows:
        raise InputError("rows: none, so there is nothing to draw. Give the rows of a sweep.")
    instance("name", name, str)
    instance("measure", measure, str)
    check_destination_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"dataset": name, "measure": measure, **row.to_dict()}) for row in rows]
    write_text(folder / "ablation.jsonl", "\n".join(lines) + "\n")
    write_text(folder / "ablation.md", _markdown(rows, measure))
    best = {row.label: row for row in sorted(rows, key=lambda row: row.value)}  # by size, the probing that found most
    _draw(folder / "quality-token.png", name, list(best.values()), "index bytes a token", "bytes_per_token", measure)
    _draw(
        folder / "quality-bytes.png", name, list(best.values()), "index bytes a document", "bytes_per_document", measure
    )
    _draw(folder / "quality-time.png", name, rows, "search, ms a query", "search_ms", measure)


def _markdown(rows: Sequence[AblationRow], measure: str) -> str:
    head = ["dim", "nbits", "pooling", "probing", measure, "tokens", "bytes a token", "bytes a document", "ms a query"]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        lines.append(
            [
                str(row.dim), str(row.nbits), f"{row.pool_factor:g}", row.probing, f"{row.value:.4f}", f"{row.tokens:,}",
                f"{row.bytes_per_token:.1f}", f"{row.bytes_per_document:,.0f}", f"{row.search_ms:.2f}",
            ]
        )  # fmt: skip
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _draw(path: Path, name: str, rows: Sequence[AblationRow], label: str, cost: str, measure: str) -> None:
    """A point a row: color for dims, marker for nbits, its filling for pooling; a line joins what differs in probing alone."""
    figure, axes = pyplot().subplots(figsize=(7.5, 4.6), dpi=150)
    dims = sorted({row.dim for row in rows})
    kinds = sorted({(row.nbits, row.pool_factor) for row in rows})
    bits, factors = sorted({row.nbits for row in rows}), sorted({row.pool_factor for row in rows})

    def style(kind: tuple[int, float]) -> dict[str, Any]:
        marker, fill = bits.index(kind[0]) % len(_MARKERS), factors.index(kind[1]) % len(_FILLS)
        return {"marker": _MARKERS[marker], "fillstyle": _FILLS[fill], "markersize": 6}

    for dim in dims:
        for kind in kinds:
            points = sorted(
                (getattr(row, cost), row.value) for row in rows if (row.dim, row.nbits, row.pool_factor) == (dim, *kind)
            )
            if points:
                axes.plot(
                    *zip(*points, strict=True),
                    color=_COLORS[dims.index(dim) % len(_COLORS)],
                    **style(kind),
                    linewidth=0.8,
                    alpha=0.85,
                )
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel(label)
    axes.set_ylabel(plain(measure))
    axes.set_title(plain(name), loc="left", fontsize=10)
    axes.grid(alpha=0.25, which="both", linewidth=0.5)
    handles = [
        axes.plot([], [], color=_COLORS[i % len(_COLORS)], linewidth=3, label=f"{dim} dims")[0]
        for i, dim in enumerate(dims)
    ]
    for number, factor in kinds:
        label = f"{number} bit{'' if number == 1 else 's'}" + ("" if factor == 1 else f", pooled {factor:g}")
        handles += axes.plot([], [], color="#555555", linestyle="", label=label, **style((number, factor)))
    axes.legend(handles=handles, frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    save(figure, axes, path)
