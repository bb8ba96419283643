"""A dataset and a list of settings -> quality beside what it costs: bytes a document, milliseconds a query."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from polyvec.evaluation.dataset import Dataset
from polyvec.evaluation.evaluation import evaluate
from polyvec.evaluation.report import _pyplot, _saved


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One setting to try. dim: a Matryoshka head, None for the model's own · pool_factor: tokens pooled into one."""

    dim: int | None = None
    pool_factor: float = 1.0


@dataclass(frozen=True, kw_only=True)
class AblationRow:
    """What a trial gave. value: the measure over all judged queries."""

    dim: int
    pool_factor: float
    value: float
    tokens: int
    documents: int
    bytes_per_document: float
    search_ms: float

    def to_dict(self) -> dict[str, float]:
        """Plain JSON values."""
        return asdict(self)


def sweep(
    dataset: Dataset,
    trials: Sequence[Trial],
    *,
    model: str | None = None,
    measure: str = "nDCG@10",
    progress: Callable[[str, int], None] | None = None,
) -> list[AblationRow]:
    """Evaluate each trial through an index of its own."""
    from polyvec.encoder import Encoder

    rows = []
    for trial in trials:
        encoder = Encoder(model, dim=trial.dim, pool_factor=trial.pool_factor)
        result = evaluate(dataset, encoder=encoder, measures=[measure], progress=progress)
        rows.append(
            AblationRow(
                dim=encoder.dim,
                pool_factor=trial.pool_factor,
                value=result.measures[measure],
                tokens=result.tokens,
                documents=result.documents,
                bytes_per_document=round(result.index_bytes / result.documents, 1),
                search_ms=round(1000 * result.seconds["search"] / result.queries, 4),
            )
        )
    return rows


def write_ablation(folder: Path, name: str, rows: Sequence[AblationRow], measure: str) -> None:
    """Write ablation.jsonl and two plots, quality against bytes and against time, to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"dataset": name, "measure": measure, **row.to_dict()}) for row in rows]
    (folder / "ablation.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for file, label, cost in (
        ("quality-bytes.png", "index bytes a document", [row.bytes_per_document for row in rows]),
        ("quality-time.png", "search, ms a query", [row.search_ms for row in rows]),
    ):
        figure, axes = _pyplot().subplots(figsize=(6.5, 4), dpi=150)
        for row, x in zip(rows, cost, strict=True):
            axes.scatter([x], [row.value], color="#2f6fb0")
            axes.annotate(
                f"{row.dim}, pool {row.pool_factor:g}",
                (x, row.value),
                xytext=(5, 4),
                textcoords="offset points",
                fontsize=8,
            )
        axes.set_xlabel(label)
        axes.set_ylabel(measure)
        axes.set_title(name, loc="left", fontsize=10)
        axes.margins(x=0.18, y=0.15)
        _saved(figure, axes, folder / file)
