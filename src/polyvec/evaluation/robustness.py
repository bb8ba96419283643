"""A dataset -> the same asked, or written, as people type: what a system loses when nobody writes properly.

Only queries change, or only documents; judgments stay. Repeatable: a text is changed in the same way at every run and on every
machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from polyvec.data import Document, Query
from polyvec.data.perturbations import PERTURBATIONS, Perturbation, common_words, perturbed
from polyvec.errors import InputError
from polyvec.evaluation.dataset import Dataset
from polyvec.evaluation.evaluation import EvaluationResult

OF_DOCUMENTS = "documents:"
_SEED = 0


@dataclass(frozen=True, slots=True)
class Perturbed:
    """What a system makes of a changed dataset.

    Attributes:
        kind: What was done, such as "upper" or "documents:upper".
        changed: Queries or documents that are not as they were.
        result: Of the changed dataset.
    """

    kind: str
    changed: int
    result: EvaluationResult

    def to_dict(self) -> dict[str, Any]:
        """The measures, overall and by language of the query, and how many texts were changed."""
        found = self.result
        return {"changed": self.changed, "measures": found.measures, "macro": found.macro, "by_lang": found.by_lang}


def perturbations(names: str) -> tuple[str, ...]:
    """The kinds that a list names: "upper,noaccents,documents:upper"; "all" for every one of queries.

    Raises:
        InputError: A name that is none.
    """
    found: dict[str, None] = {}
    for name in (part.strip() for part in names.split(",")):
        if name == "all":
            found |= dict.fromkeys(PERTURBATIONS)
        elif name.removeprefix(OF_DOCUMENTS) in PERTURBATIONS:
            found[name] = None
        else:
            known = ", ".join(PERTURBATIONS)
            raise InputError(f"perturb={name!r}: expected {known}, each also as documents:KIND, or all.")
    return tuple(found)


def perturbed_dataset(dataset: Dataset, kind: str, *, seed: int = _SEED) -> Dataset:
    """The dataset with its queries, or its documents, as people type them.

    Args:
        dataset: Written properly.
        kind: One that `perturbations` gives. keywords leave out words of more than one text in fifty of the language.
        seed: Of what is drawn.

    Returns:
        A dataset with the same ids and judgments.
    """
    change = _kind(kind)
    if not kind.startswith(OF_DOCUMENTS):
        common = _common([(query.lang, query.text) for query in dataset.queries]) if change == "keywords" else {}
        return replace(dataset, queries=[_query(query, change, common, seed) for query in dataset.queries])

    def documents() -> Iterator[Document]:
        common = _common([(_lang(one), one.text) for one in dataset.documents()]) if change == "keywords" else {}
        for one in dataset.documents():
            text = _changed(one.id, one.text, _lang(one), change, common, seed)
            yield replace(one, text=text)

    return replace(dataset, documents=documents)


def count_changed(before: Dataset, after: Dataset) -> int:
    """Judged queries and documents whose text differs."""
    queries = sum(a.text != b.text for a, b in zip(before.judged_queries(), after.judged_queries(), strict=True))
    if before.documents is after.documents:
        return queries
    return queries + sum(a.text != b.text for a, b in zip(before.documents(), after.documents(), strict=True))


def _kind(kind: str) -> Perturbation:
    (name,) = perturbations(kind)
    found: dict[str, Perturbation] = {one: one for one in PERTURBATIONS}
    return found[name.removeprefix(OF_DOCUMENTS)]


def _query(query: Query, kind: Perturbation, common: dict[str, frozenset[str]], seed: int) -> Query:
    return replace(query, text=_changed(query.id, query.text, query.lang, kind, common, seed))


def _changed(
    name: str, text: str, lang: str | None, kind: Perturbation, common: dict[str, frozenset[str]], seed: int
) -> str:
    chance = Random(f"{seed}/{kind}/{name}")
    return perturbed(text, kind, lang=lang or "und", chance=chance, common=common.get(lang or "und", ())).text


def _common(texts: Sequence[tuple[str | None, str]]) -> dict[str, frozenset[str]]:
    by_lang: dict[str, list[str]] = {}
    for lang, text in texts:
        by_lang.setdefault(lang or "und", []).append(text)
    return {lang: common_words(found) for lang, found in by_lang.items()}


def _lang(document: Document) -> str | None:
    found = document.metadata.get("lang")
    return None if found is None else str(found)
