"""What travels between the machine that a client asks and those that hold shards: calls, replies, questions, answers.

Plain data of numpy arrays, texts and numbers. How to search travels as `SearchOptions.to_dict` has it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from polyvec.index.catalog.documents_table import StoredDocument
from polyvec.index.catalog.word_counts import KeywordTotals

Int64 = npt.NDArray[np.int64]
Floats = npt.NDArray[Any]
Scored = tuple[Int64, Floats]  # rows, and their scores


@dataclass(frozen=True)
class Call:
    """What a machine is to do with one shard.

    Attributes:
        method: A name in `polyvec.cluster.serving.answering.METHODS`.
        version: The label of the version of the shard that is meant.
        arguments: Of the method.
        within_s: Seconds after which nobody waits for the reply any more.
    """

    method: str
    version: str
    arguments: tuple[Any, ...] = ()
    within_s: float = 10.0


@dataclass(frozen=True)
class Reply:
    """What came of a call.

    Attributes:
        kind: done; refused: what was asked makes no sense, on any machine; not-held: the machine has not this version; failed: on
            this machine.
        value: The result; of a refusal, the class of the error and its message; of "failed", the message; of "not-held", the labels
            that the machine has.
        replica: Which replica replied; empty where none did.
    """

    kind: Literal["done", "refused", "not-held", "failed"]
    value: Any
    replica: str = ""


@dataclass
class Route:
    """Which replica a call goes to: whoever sends it says which to avoid, whoever routes it notes where it went.

    Attributes:
        tried: Replicas that this call went to already, in order.
        slow: Replicas that have failed others lately.
    """

    tried: list[str] = field(default_factory=list)
    slow: tuple[str, ...] = ()


@dataclass(frozen=True)
class Keywords:
    """The words of a question, with the statistics of the whole collection.

    Attributes:
        totals: Of all shards.
        weights: The idf of each word, in the order of `query_terms`.
    """

    totals: KeywordTotals
    weights: tuple[float, ...]


@dataclass(frozen=True)
class Question:
    """One query to one shard.

    Attributes:
        options: As `SearchOptions.to_dict` has them, with filter and subset.
        text: For keywords.
        vectors: For MaxSim: (q, d) float32, unit rows.
        keywords: For keywords.
        documents: How many of the best of each list come with their texts.
    """

    options: dict[str, Any]
    text: str | None = None
    vectors: npt.NDArray[np.float32] | None = None
    keywords: Keywords | None = None
    documents: int = 0


@dataclass(frozen=True)
class Answer:
    """What one shard found.

    Attributes:
        late: The best rows by MaxSim, best first, ties by row; None where it was not asked for.
        keyword: The best rows by BM25, then those of `late` that have a word of the query; None where it was not asked for.
        others: MaxSim of the rows of `keyword` that are not in `late`; empty unless both were asked for.
        documents: Of the best rows.
    """

    late: Scored | None
    keyword: Scored | None
    others: Scored
    documents: tuple[StoredDocument, ...]
