"""A recipe file -> checked settings of one training stage. Every key is known, or the recipe is refused.

Paths may hold environment variables (${DATA}) and are relative to the current folder. Knows nothing about models.
"""

from __future__ import annotations

import os
import re
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from polyvec.data.files import as_path, named
from polyvec.data.toml_tables import checked_table, read_toml
from polyvec.errors import InputError

if typing.TYPE_CHECKING:
    from collections.abc import Mapping

Stage = Literal["start", "mlm", "shrink", "transfer", "pairs", "distill", "robust"]
Kind = Literal["text", "parallel", "joined", "passages", "versions", "pairs", "mined", "scored"]
Turn = Literal["to_english", "from_english", "within", "between", "keywords"]
TURNS: dict[str, tuple[Turn, ...]] = {  # by kind; the ones it knows, each as often as it comes by default
    "passages": ("to_english", "from_english", "to_english", "from_english", "within"),
    "versions": ("between", "keywords"),
}
_TAKES = {
    "start": {"text", "parallel", "pairs"},
    "mlm": {"text", "parallel", "joined", "pairs"},
    "shrink": {"text", "parallel", "joined", "pairs"},
    "transfer": {"parallel", "joined"},
    "pairs": {"parallel", "joined", "passages", "versions", "pairs", "mined"},
    "distill": {"scored"},
    "robust": {"text", "parallel", "joined", "pairs", "versions"},
}


@dataclass(frozen=True, kw_only=True)
class Data:
    """One dataset of the mix: a file of rows.

    The kinds of rows, and their fields:

    - text: text.
    - parallel: en and text, the same sentence in English and another language.
    - joined: as parallel; consecutive rows of a document become one.
    - passages: as parallel; a sentence of a passage asks for it.
    - versions: as parallel; a document in all its languages at once.
    - pairs: query and document.
    - mined: query and documents, the true one first.
    - scored: query, documents and scores.
    """

    path: str  # .jsonl, .jsonl.gz, .jsonl.zst or .parquet
    kind: Kind  # text, parallel, joined, passages, versions, pairs, mined or scored
    weight: float = 1.0  # share of batches
    name: str = ""  # the file's own, by default
    text_field: str = "text"  # of kind text
    group_field: str = (
        ""  # rows of the same group are no negatives of each other; of joined, passages and versions: the document
    )
    languages: tuple[str, ...] = ()  # only these; empty: all
    passage_tokens: int = 128  # of joined, passages and versions: the longest, estimated
    turns: tuple[Turn, ...] = ()  # of passages and versions: what asks for a passage; empty: all that the kind has
    together: int = 3  # of versions: languages of one batch
    every: bool = False  # of versions: a stretch is asked for, and stands, in all of the batch's languages; robust
    neighbors: int = 1  # of versions: stretches next to each other that come together, so that wrong ones look right


@dataclass(frozen=True, kw_only=True)
class Model:
    """What is trained: where it starts, and its shape."""

    start: str = ""  # folder of a model, or of a BERT or XLM-R checkpoint (stage start)
    teacher: str = (
        ""  # start, transfer: an English encoder, or MiniLM · shrink: the encoder to be like · robust: or model.start
    )
    layers: tuple[int, ...] = ()  # stage start: of model.start, those kept · shrink: of model.teacher; empty: all
    prefixes: tuple[str, ...] = ()  # shrink: what the teacher reads before queries and before documents
    heads: tuple[int, ...] = (32, 64, 96, 128)  # stage start: sizes of the vectors that the model can give
    head_weights: tuple[float, ...] = ()  # one a head, all 1 by default
    tied: bool = False  # slices of the largest head in place of heads of their own
    positions: Literal["rotary", "absolute"] = "rotary"  # stage start; absolute: the table of model.start is kept
    max_length: int = 8192  # stage start: tokens that the model takes
    query_length: int = 0  # mask tokens pad queries to this length; 0: not at all
    attend_to_mask: bool = True  # whether those mask tokens are attended to
    document_length: int = 512  # stage start: tokens of a document when it is used
    query_instruction: str = ""  # put before every query
    bigrams: float = 0.0  # pairs and distill: weight of hashed bigrams in the vectors; 0: as model.start has it
    dropout: float = 0.0  # of the layers, not of attention
    fold_capitals: bool = False  # robust: the model reads stretches in capitals as small letters, in training and after


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Stage start: the tokenizer to learn, or to take over."""

    learned: bool = True  # false: the pieces of model.start that are used most
    size: int = 60_000  # pieces, special tokens and bytes included
    characters: int = 40_000_000  # of the sample it is learned from
    language_power: float = 0.6  # 1: as in the data · 0: every language the same


@dataclass(frozen=True, kw_only=True)
class Batches:
    """What one step sees."""

    rows: int = 64  # at most
    tokens: int = 4096  # estimated, a side; batches of long texts have fewer rows
    language_power: float = 0.5  # 1: as in the data · 0: every language the same
    one_language: bool = False  # a batch is of one language
    query_tokens: int = 48  # longer queries are cut
    document_tokens: int = 160  # longer documents are cut
    micro_rows: int = 0  # gradient caching: rows encoded at once; 0: all
    workers: int = 0  # processes that read and tokenize ahead, e.g. 8 beside a GPU; batches are the same


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """How weights move."""

    steps: int = 1000  # of the optimizer
    rate: float = 2e-4  # peak of the learning rate, which falls to 0 at the end
    embedding_rate: float = 0.0  # of the vocabulary's table; 0: as rate
    head_rate: float = 0.0  # of the heads; 0: as rate
    warmup: float = 0.05  # share of the steps
    decay: float = 0.01  # of matrices, the vocabulary's table left out
    frozen_table: bool = (
        False  # the vocabulary's table stays as it is, and words that the data lack stay among the others
    )
    accumulate: int = 1  # batches a step
    clip: float = 1.0  # largest norm of the gradients
    precision: Literal["fp32", "bf16"] = "fp32"  # bf16: mixed; scores and losses stay in single precision
    deterministic: bool = True  # on a GPU: a seed gives the same curve to the last digit, for some of its speed


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What is minimized."""

    temperature: float = 0.02  # scores are divided by it
    normalize: bool = True  # scores are means over query tokens in place of sums
    nearness: float = 1.0  # transfer: weight of the distance between a text's vectors and the teacher's
    inner: float = 0.5  # shrink: weight of the layers before the last
    vectors: float = 1.0  # shrink, of a late-interaction teacher: weight of the vectors of each head
    replaced: float = 0.0  # shrink: share of the pieces replaced by any others, so that words the data lack are met
    masked: float = 0.3  # mlm: share of words
    lengths: tuple[int, ...] = (128,)  # mlm: tokens a sequence, one after the other over equal shares of the steps
    candidates: int = 8  # distill, and pairs of kind mined: documents a query
    teacher_temperature: float = 1.0  # distill: the teacher's scores are divided by it
    in_batch: float = 0.0  # distill: weight of the contrastive loss beside


@dataclass(frozen=True, kw_only=True)
class Perturbations:
    """Stage robust: what is done to texts, and how often."""

    upper: float = 1.0  # weight of all capitals
    lower: float = 0.5  # weight of no capitals
    noaccents: float = 2.0  # weight of no marks on letters
    nopunctuation: float = 2.0  # weight of no punctuation around words, so that questions are known without their mark
    typos: float = 2.0  # weight of slips of the finger
    keywords: float = 0.5  # weight of words left out
    latin: float = 0.5  # weight of Cyrillic and Greek in Latin letters
    proper: float = 0.25  # share of texts left as they are, which hold the model where it was
    twice: float = 0.25  # share of the others to which two things are done
    documents: float = 0.4  # share of batches that are read as documents, the others as queries
    ranked: float = 0.0  # share of batches of pairs and versions whose questions, as typed, shall find their passages
    fresh: float = 1.0  # share of these passages that the student reads; the others have the teacher's vectors


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """What is kept on the way."""

    every: int = 500  # steps
    keep: int = 2  # the newest checkpoints
    evaluate: str = ""  # folder of a judged dataset, small; measured at each checkpoint
    log_every: int = 20  # steps


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One stage."""

    stage: Stage  # start, mlm, shrink, transfer, pairs, distill or robust
    output: str  # folder of the trained model
    seed: int = 0  # of batches, dropout and everything else that is drawn
    data: tuple[Data, ...] = ()
    model: Model = field(default_factory=Model)
    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    batches: Batches = field(default_factory=Batches)
    optimizer: Optimizer = field(default_factory=Optimizer)
    objective: Objective = field(default_factory=Objective)
    perturbations: Perturbations = field(default_factory=Perturbations)
    checkpoints: Checkpoints = field(default_factory=Checkpoints)


def read_recipe(path: Path) -> Recipe:
    """The recipe in a TOML file.

    Raises:
        InputError: A file that is missing or no TOML, unknown or missing keys, values of the wrong kind, unset
            environment variables.
    """
    path = as_path(path, "a recipe, a TOML file")
    return as_recipe(read_toml(path), named(path))


def as_recipe(values: Mapping[str, Any], where: str = "recipe") -> Recipe:
    """Check plain values as `read_recipe` does."""
    recipe: Recipe = checked_table(Recipe, values, where, text=_expanded)
    sizes, weights = recipe.model.heads, recipe.model.head_weights
    if weights and len(weights) != len(sizes):
        raise InputError(
            f"{where}: model.head_weights has {len(weights)} numbers, expected one for each of {len(sizes)} heads."
        )
    for kind, allowed in _TAKES.items():
        wrong = [one.path for one in recipe.data if recipe.stage == kind and one.kind not in allowed]
        if wrong:
            raise InputError(
                f"{where}: stage {kind!r} takes data of kind {' or '.join(sorted(allowed))}, not {wrong[0]}."
            )
    for one in recipe.data:
        odd = [turn for turn in one.turns if turn not in TURNS.get(one.kind, ())]
        if odd:
            known = ", ".join(dict.fromkeys(TURNS.get(one.kind, ()))) or "none"
            raise InputError(f"{where}: {one.path}: kind {one.kind!r} has no turn {odd[0]!r}. It has: {known}.")
        if one.every and recipe.stage != "robust":
            raise InputError(f"{where}: {one.path}: every = true is for stage 'robust', not {recipe.stage!r}.")
    if not recipe.data:
        raise InputError(f"{where} names no data: expected at least one [[data]] with a path and a kind.")
    _sensible(recipe, where)
    return recipe


def _sensible(recipe: Recipe, where: str) -> None:
    """Numbers that nothing can be done with are refused before any data is read."""
    least: dict[str, tuple[float, float]] = {
        "batches.rows": (recipe.batches.rows, 1 if recipe.stage == "mlm" else 2),
        "batches.tokens": (recipe.batches.tokens, 1),
        "batches.query_tokens": (recipe.batches.query_tokens, 4),
        "batches.document_tokens": (recipe.batches.document_tokens, 4),
        "optimizer.steps": (recipe.optimizer.steps, 1),
        "optimizer.accumulate": (recipe.optimizer.accumulate, 1),
        "objective.candidates": (recipe.objective.candidates, 2),
        "objective.lengths": (min(recipe.objective.lengths, default=0), 4),
        "model.heads": (min(recipe.model.heads, default=0), 1),
        "data[].together": (min((one.together for one in recipe.data), default=1), 1),
        "data[].neighbors": (min((one.neighbors for one in recipe.data), default=1), 1),
        "checkpoints.every": (recipe.checkpoints.every, 1),
        "checkpoints.log_every": (recipe.checkpoints.log_every, 1),
    }
    for name, (value, lowest) in least.items():
        if value < lowest:
            raise InputError(f"{where}: {name} = {value}: expected {lowest} or more.")
    above_zero = {
        "objective.temperature": recipe.objective.temperature,
        "objective.teacher_temperature": recipe.objective.teacher_temperature,
        "the sum of the weights of data": sum(one.weight for one in recipe.data),
    }
    for name, number in above_zero.items():
        if number <= 0:
            raise InputError(f"{where}: {name} is {number}: expected more than 0.")
    shares = {
        "optimizer.warmup": recipe.optimizer.warmup,
        "objective.masked": recipe.objective.masked,
        "objective.replaced": recipe.objective.replaced,
        "perturbations.proper": recipe.perturbations.proper,
        "perturbations.twice": recipe.perturbations.twice,
        "perturbations.documents": recipe.perturbations.documents,
        "perturbations.ranked": recipe.perturbations.ranked,
        "perturbations.fresh": recipe.perturbations.fresh,
    }
    for name, share in shares.items():
        if share > 1:
            raise InputError(f"{where}: {name} = {share}: expected a share from 0 to 1.")
    for name, path in {"output": recipe.output, **{f"path of {one.kind}": one.path for one in recipe.data}}.items():
        if not path.strip():
            raise InputError(f"{where}: {name} is empty. Name a {'folder' if name == 'output' else 'file'}.")


def _expanded(text: str, where: str) -> str:
    expanded = os.path.expandvars(text)
    unset = re.search(r"\$\{?(\w+)", expanded)
    if unset:
        raise InputError(
            f"{where} = {text!r}: the environment variable {unset[1]} is not set. Set it to the data's folder."
        )
    return expanded
