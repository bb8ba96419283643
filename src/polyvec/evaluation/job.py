"""One evaluation as it is asked for, and a workshop that does many, sharing datasets, encodings and indexes.

A list of results or a sweep reads the same texts many times: each is encoded once, and an index is built once for all
ways to search it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from polyvec.arguments import instance, number, shown, thread_count, whole_number
from polyvec.collection.index import DEFAULT_NBITS, Index
from polyvec.collection.settings import checked_nbits
from polyvec.encoder import Encoder
from polyvec.errors import InputError
from polyvec.evaluation.baselines import judge_baseline
from polyvec.evaluation.dataset import Dataset, load_dataset
from polyvec.evaluation.encodings import Encodings
from polyvec.evaluation.evaluation import (
    DEFAULT_MEASURES,
    DEFAULT_OPTIONS,
    EvaluationResult,
    build,
    evaluate,
    evaluate_index,
)
from polyvec.evaluation.robustness import OF_DOCUMENTS, perturbations, perturbed_dataset
from polyvec.index.engine.options import SearchOptions
from polyvec.scoring import default_threads
from polyvec.shards.opening import open_collection

Progress = Callable[[str, int], None]


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to judge on which dataset: a model, an index, or a baseline.

    Raises:
        InputError: More than one of them.
    """

    dataset: str
    split: str | None = None
    model: str | None = None
    index: Path | None = None
    baseline: str | None = None  # bm25, dense:MODEL
    dim: int | None = None
    nbits: int | None = None
    pool_factor: float = 1.0
    options: SearchOptions = DEFAULT_OPTIONS
    measures: tuple[str, ...] = DEFAULT_MEASURES
    threads: int | None = None
    perturb: str | None = None  # what is done to queries or documents, such as upper or documents:upper

    def __post_init__(self) -> None:
        if self.perturb is not None and len(perturbations(self.perturb)) != 1:
            raise InputError(f"perturb={shown(self.perturb)}: expected one kind, such as upper.")
        if not isinstance(self.dataset, str):
            raise InputError(f"dataset={shown(self.dataset)}: expected a folder or irds:ID, as a string.")
        for name in ("split", "model", "baseline"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise InputError(f"{name}={shown(value)}: expected a name, as a string, or None.")
        if self.dim is not None:
            whole_number("dim", self.dim, of="dimensions")
        if self.nbits is not None:
            checked_nbits(self.nbits)
        number("pool_factor", self.pool_factor, "a number, at least 1", lambda value: value >= 1)
        instance("options", self.options, SearchOptions)
        thread_count(self.threads, default_threads)
        if sum(value is not None for value in (self.model, self.index, self.baseline)) > 1:
            raise InputError("Give one of --model, --index and --baseline.")
        if self.index is not None and (self.dim, self.nbits, self.pool_factor) != (None, None, 1.0):
            raise InputError(
                "--dim, --nbits and --pool-factor are for an index that is made; --index is judged as it is."
            )

    @property
    def bits(self) -> int:
        """Bits a dimension of the index that is made."""
        return DEFAULT_NBITS if self.nbits is None else self.nbits


def comparison_run(job: Job, system: str) -> Job:
    """The same dataset for another system: bm25, dense:MODEL, keyword (of the same index), or late:MODEL.

    Raises:
        InputError: Another name.
    """
    kind, _, model = system.partition(":")
    if system == "keyword":
        return replace(job, baseline=None, options=SearchOptions(k=job.options.k, mode="keyword"))
    if kind == "late" and model:
        return replace(job, index=None, baseline=None, model=model, dim=None)
    if system == "bm25" or (kind == "dense" and model):
        return replace(job, index=None, model=None, dim=None, nbits=None, pool_factor=1.0, baseline=system)
    raise InputError(f"system {system!r}: expected bm25, keyword, dense:MODEL or late:MODEL.")


def do(job: Job, data: Dataset, progress: Progress | None = None) -> EvaluationResult:
    """Do one job; memory does not grow with the collection."""
    if job.perturb is not None:
        data = perturbed_dataset(data, job.perturb)
    if job.baseline is not None:
        return judge_baseline(data, job.baseline, measures=job.measures, k=job.options.k)
    if job.index is not None:
        with open_collection(job.index) as index:
            return evaluate(
                data, index=index, measures=job.measures, options=job.options, threads=job.threads, progress=progress
            )
    return evaluate(
        data,
        encoder=Encoder(job.model, dim=job.dim, pool_factor=job.pool_factor),
        nbits=job.bits,
        measures=job.measures,
        options=job.options,
        threads=job.threads,
        progress=progress,
    )


class Workshop:
    """Does jobs in the order given; usable as a context manager.

    Neighboring jobs that differ only in how they search share one index. Memory grows with the texts.
    """

    def __init__(self, *, progress: Progress | None = None) -> None:
        self._progress = progress
        self._datasets: dict[tuple[str, str | None], Dataset] = {}
        self._encodings: dict[str | None, Encodings] = {}
        self._made: tuple[tuple[object, ...], Index, dict[str, float]] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="polyvec-evaluate-")

    def __enter__(self) -> Workshop:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._put_away()
        self._folder.cleanup()

    def do(self, job: Job) -> EvaluationResult:
        """The result of one job."""
        key = (job.dataset, job.split)
        if key not in self._datasets:
            self._datasets[key] = load_dataset(job.dataset, split=job.split)
        data = self._datasets[key]
        if job.index is not None or job.baseline is not None:
            return do(job, data, self._progress)
        if job.perturb is not None:
            data = perturbed_dataset(data, job.perturb)
        index, seconds = self._index(job, data)
        return evaluate_index(
            data,
            index,
            measures=job.measures,
            options=job.options,
            threads=job.threads,
            progress=self._progress,
            settings=index.encoder.settings(),
            seconds=seconds,
        )

    def _index(self, job: Job, data: Dataset) -> tuple[Index, dict[str, float]]:
        written = job.perturb if job.perturb is not None and job.perturb.startswith(OF_DOCUMENTS) else None
        key = (job.dataset, written, job.model, job.dim, job.bits, job.pool_factor)
        if self._made is not None and job.options.mode == "keyword" and self._made[0][:2] == key[:2]:
            return self._made[1], self._made[2]  # any index of these documents has their words
        if self._made is None or self._made[0] != key:
            self._put_away()
            if job.model not in self._encodings:
                self._encodings[job.model] = Encodings(job.model)
            encoder = self._encodings[job.model].encoder(job.dim, job.pool_factor)
            path = Path(tempfile.mkdtemp(dir=self._folder.name)) / "index.polyvec"
            self._made = (key, *build(data, encoder, path, nbits=job.bits, progress=self._progress))
        return self._made[1], self._made[2]

    def _put_away(self) -> None:
        if self._made is not None:
            self._made[1].close()
            self._made = None
