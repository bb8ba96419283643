"""Questions with passages of somebody's own -> a model tuned to them, and what that brought on questions that it never saw.

Hard negatives are mined with the model's own index, the model is trained against them, and what is kept lies between the model
before and after, as a part of the questions kept aside chooses. Another part says what it brought.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from polyvec.arguments import function, local_path, number, whole_number
from polyvec.atomic import check_new_folder, write_text
from polyvec.encoder import Encoder
from polyvec.encoder.locate import locate
from polyvec.evaluation.evaluation import EvaluationResult, build, evaluate_index
from polyvec.evaluation.significance import Comparison, compare_measures
from polyvec.training.averaging import average
from polyvec.training.mining import mine
from polyvec.training.recipe import Batches, Checkpoints, Data, Model, Objective, Optimizer, Recipe
from polyvec.training.stages import need_packages, run
from polyvec.training.student import Student
from polyvec.training.tuning_data import TuningData, read_tuning_data

MEASURE = "nDCG@10"
_ROWS = 16  # questions a batch
_TIMES = 2  # every question is met
_MOST_STEPS = 1000
_SHARES = (0.5, 1.0)  # of what was learned, of which one is kept; of equals the first, which forgets less
_HELD_OUT_BITS = 2  # a dimension, of the indexes that judge

Progress = Callable[[str, int, int], None]  # what is being done, how much of it is done, of how much (0: not known)


@dataclass(frozen=True, kw_only=True)
class TuningOptions:
    """How a model is tuned.

    Raises:
        InputError: Numbers that nothing can be done with.
    """

    held_out: float = 0.2  # share of the passages that judge, with their questions
    negatives: int = 2  # hard ones a question, at most
    steps: int | None = None  # None: so many that every question is met twice, 1,000 at most
    rate: float = 5e-5
    document_tokens: int = 192  # of a passage in training; longer ones are cut there, not when the model is used
    seed: int = 0

    def __post_init__(self) -> None:
        number(
            "held_out", self.held_out, "a share above 0 and at most 0.5, such as 0.2", lambda share: 0 < share <= 0.5
        )
        number("rate", self.rate, "a learning rate such as 5e-5", lambda rate: 0 < rate < 1)
        for name in ("negatives", "document_tokens"):
            whole_number(name, getattr(self, name))
        whole_number("seed", self.seed, least=0)
        if self.steps is not None:
            whole_number("steps", self.steps)


@dataclass(frozen=True)
class TuningReport:
    """What tuning did.

    Attributes:
        questions: That were learned from.
        made_questions: Whether they were taken from the passages.
        kept: Share of what was learned that the model has.
        before: Of the model as it was, on the questions that judge.
        after: Of the model that was written, on the same.
        difference: After less before, query by query.
    """

    model: str
    questions: int
    negatives: int
    judged: int
    made_questions: bool
    steps: int
    kept: float
    before: EvaluationResult
    after: EvaluationResult
    difference: Comparison
    seconds: float

    @property
    def better(self) -> bool:
        """Whether the model is better than it was, on questions that it never saw."""
        return self.difference.difference > 0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        sides = {
            name: {"measures": found.measures, "by_lang": found.by_lang}
            for name, found in (("before", self.before), ("after", self.after))
        }
        facts = {name: value for name, value in vars(self).items() if name not in ("before", "after", "difference")}
        return {**facts, **sides, "better": self.better, "difference": self.difference.to_dict()}


def tune(
    source: Path,
    output: Path,
    *,
    model: str | None = None,
    options: TuningOptions | None = None,
    progress: Progress | None = None,
) -> TuningReport:
    """Tune a model to questions and passages, and write its folder.

    Args:
        source: Rows of query and document, or of text alone, from which questions are taken; lang and answer help.
        output: A folder that is free.
        model: Where to begin, as `Encoder` takes it; None for the default model.
        options: How.
        progress: Called with what is being done.

    Returns:
        What it did, before and after by language of the question.

    Raises:
        InputError: Wrong rows or too few, or a model without heads to train.
        StorageError: The output exists or cannot be written.
        MissingExtraError: Packages that training needs are not installed.
    """
    options = options or TuningOptions()
    function("progress", progress)
    output = local_path("output", output)
    check_new_folder(output)
    need_packages()
    data = read_tuning_data(source, held_out=options.held_out, seed=options.seed)
    with tempfile.TemporaryDirectory(prefix="polyvec-tune-") as folder:
        return _Tuning(data, Path(folder), model, options, progress or _silent).into(output)


class _Tuning:
    """One run in a folder of its own."""

    def __init__(
        self, data: TuningData, folder: Path, model: str | None, options: TuningOptions, progress: Progress
    ) -> None:
        self._data, self._folder, self._options, self._progress = data, folder, options, progress
        self._model = "polyvec-mini" if model is None else model
        self._began = time.monotonic()

    def into(self, output: Path) -> TuningReport:
        """The model and the report of it."""
        start = self._folder / "start"
        sizes = self._unpacked(start)
        before = self._judged(start, "Judging the model as it is")
        mined, negatives = self._mined(start)
        steps = self._trained(start, mined, sizes)
        kept, after = self._chosen(start, self._folder / "trained", output)
        difference = compare_measures(after[1].per_query, before[1].per_query, [MEASURE])[MEASURE]
        report = TuningReport(
            self._model,
            len(self._data.rows),
            negatives,
            after[1].queries,
            self._data.made,
            steps,
            kept,
            before[1],
            after[1],
            difference,
            round(time.monotonic() - self._began, 1),
        )
        write_text(output / "README.md", _card(output.name, report, self._options) + _earlier(self._model))
        return report

    def _unpacked(self, start: Path) -> tuple[int, ...]:
        """Write the model as training reads it; returns the sizes of its heads."""
        encoder = Encoder(locate(self._model).folder, device="cpu", backend="torch")
        encoder.save(start)
        return tuple(Student(start).heads.sizes)

    def _judged(self, model: Path, what: str) -> tuple[EvaluationResult, EvaluationResult]:
        """What a model makes of the questions that choose, and of those that judge."""
        total = sum(1 for _ in self._data.judging.documents())
        self._progress(what, 0, total)
        path = self._folder / f"{model.name}-{time.monotonic_ns()}.polyvec"
        encoder = Encoder(model)
        made, seconds = build(
            self._data.judging,
            encoder,
            path,
            nbits=_HELD_OUT_BITS,
            progress=lambda _, n: self._progress(what, n, total),
        )
        with made:
            first, second = (
                evaluate_index(one, made, measures=[MEASURE], settings={}, seconds=seconds)
                for one in (self._data.choosing, self._data.judging)
            )
        return first, second

    def _mined(self, start: Path) -> tuple[Path, int]:
        """The questions to learn from with passages that look like answers; how many of these there are."""
        questions, mined = self._folder / "questions.jsonl", self._folder / "mined.jsonl"
        rows = [
            {"query": row.query, "document": row.document, "lang": row.lang, "answer": list(row.answers)}
            for row in self._data.rows
        ]
        questions.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        what = "Looking for passages that only look like answers"
        self._progress(what, 0, 0)
        report = mine(
            questions,
            mined,
            encoder=Encoder(start),
            negatives=self._options.negatives,
            last_rank=30,
            progress=lambda n: self._progress(what, n, 0),
        )
        return mined, report.negatives

    def _trained(self, start: Path, mined: Path, sizes: tuple[int, ...]) -> int:
        options = self._options
        steps = options.steps or min(_MOST_STEPS, max(10, math.ceil(_TIMES * len(self._data.rows) / _ROWS)))
        recipe = Recipe(
            stage="pairs",
            output=str(self._folder / "trained"),
            seed=options.seed,
            data=(Data(path=str(mined), kind="mined"),),
            model=Model(start=str(start), heads=sizes),
            batches=Batches(rows=_ROWS, tokens=4096, query_tokens=48, document_tokens=options.document_tokens),
            optimizer=Optimizer(steps=steps, rate=options.rate, frozen_table=True, warmup=0.1),
            objective=Objective(candidates=1 + options.negatives),
            checkpoints=Checkpoints(every=10 * steps, log_every=max(1, steps // 50)),
        )
        done = 0

        def progress(step: int, of: int, values: dict[str, float]) -> None:
            nonlocal done
            self._progress("Training", step - done, of)
            done = step

        self._progress("Training", 0, steps)
        return int(run(recipe, progress=progress)["steps"])

    def _chosen(
        self, start: Path, trained: Path, output: Path
    ) -> tuple[float, tuple[EvaluationResult, EvaluationResult]]:
        """Write the best of the models between the one before and the one after; its share, and what it makes of the questions."""
        found: dict[float, tuple[EvaluationResult, EvaluationResult]] = {}
        for share in _SHARES:
            between = trained
            if share < 1:
                between = self._folder / f"share-{share}"
                average(start, trained, between, share=share)
            found[share] = self._judged(between, f"Judging a model with {share:.0%} of what was learned")
        best = max(_SHARES, key=lambda share: found[share][0].measures[MEASURE])
        average(start, trained, output, share=best)
        return best, found[best]


def _silent(what: str, done: int, total: int) -> None:
    pass


def _card(name: str, report: TuningReport, options: TuningOptions) -> str:
    """The model's card, what it brought and what it did not."""
    before, after = report.before.measures[MEASURE], report.after.measures[MEASURE]
    warning = "" if report.better else "**Not better than the model that it began with, on questions kept aside.**\n\n"
    taken = " The questions were taken from the passages themselves." if report.made_questions else ""
    rows = [
        f"| {lang} | {values[MEASURE]:.4f} | {report.after.by_lang[lang][MEASURE]:.4f} |\n"
        for lang, values in report.before.by_lang.items()
    ]
    settings = ", ".join(f"{key} {value}" for key, value in asdict(options).items() if value is not None)
    one = report.difference
    return (
        f"# {name}\n\n{warning}{report.model}, tuned by `polyvec tune` with {report.questions:,} questions and "
        f"{report.negatives:,} mined negatives, {report.steps:,} steps, {report.kept:.0%} of what was learned kept "
        f"({settings}).{taken}\n\n"
        f"{MEASURE} of {report.judged:,} questions about passages kept aside, difference {one.difference:+.4f} "
        f"(95 % interval {one.low:+.4f} to {one.high:+.4f}):\n\n| questions in | before | after |\n| --- | --- | --- |\n"
        f"{''.join(rows)}| all | {before:.4f} | {after:.4f} |\n"
    )


def _earlier(model: str) -> str:
    """The card of the model that it began with."""
    path = locate(model).folder / "README.md"
    return f"\n## Before\n\n{path.read_text(encoding='utf-8').strip()}\n" if path.is_file() else ""
