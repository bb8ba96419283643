"""What an index under test should hold: documents by id, each a version and a mark that text, metadata and vectors follow from."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from polyvec import Index
from polyvec.data import Document
from polyvec.index.catalog.keywords import tokenize
from tests.conftest import WordEncoder

State = dict[
    str, int
]  # document id -> version + MARK * mark: the text follows from the version, the mark is metadata alone
MARK = 1 << 32


class _Remembering(WordEncoder):
    """Words that this process, or the one that it is a fork of, has met are not made again."""

    def __init__(self) -> None:
        super().__init__(dim=16)
        self._words: dict[str, np.ndarray] = {}

    def _vector(self, word: str) -> np.ndarray:
        if word not in self._words:
            self._words[word] = super()._vector(word)
        return self._words[word]


ENCODER: Any = _Remembering()
NBITS = 8
_SAME = 0.95  # least similarity of a stored token vector, in codes, to what was stored


@dataclass(frozen=True)
class Step:
    """One call. documents: id -> what it is after add, update and mark; ids for delete and discard; nothing for the rest."""

    call: str
    documents: State

    def after(self, state: State) -> State:
        """The state once the call is done."""
        if self.call in ("delete", "discard"):
            return {name: version for name, version in state.items() if name not in self.documents}
        return {**state, **self.documents}

    def run(self, index: Index) -> None:
        """Do it."""
        if self.call in ("compact", "retrain"):
            index.compact(retrain=self.call == "retrain")
        elif self.call == "delete":
            index.delete(list(self.documents))
        elif self.call == "discard":
            index.delete(filter={"$or": [{"name": name} for name in self.documents]})
        elif self.call == "mark":
            index.update_metadata({name: {"mark": value // MARK} for name, value in self.documents.items()})
        else:
            existing: Any = "error" if self.call == "add" else "replace"
            index.add([fields(name, version) for name, version in self.documents.items()], existing=existing)


def fields(name: str, value: int) -> dict[str, Any]:
    """The document with this version and mark."""
    return {"id": name, "text": f"{name} {token(name, value)} some common words here", **metadata(name, value)}


def metadata(name: str, value: int) -> dict[str, Any]:
    """The metadata of that document."""
    return {"name": name, "version": value % MARK, "mark": value // MARK}


def token(name: str, value: int) -> str:
    """A word that no other document or version has."""
    return f"{name}x{value % MARK}"


def remember(state: State) -> None:
    """Do once, before the forks that need it, what costs time: encode documents, compile the tokenizer."""
    tokenize("")
    list(ENCODER.stream_documents(fields(name, version)["text"] for name, version in state.items()))


def draw_step(chooser: random.Random, state: State, fresh: int) -> Step:
    """A call that is right in this state. fresh: a number that no document was named by, and a version never used."""
    calls = ["add", "update", "delete", "discard", "mark", "compact", "retrain"]
    call = chooser.choices(calls, [8, 5, 3, 2, 3, 2, 1])[0]
    if len(state) < 10:
        call = "add"
    count = min(chooser.choice([1, 1, 2, 5, 20, 60]), len(state) if call != "add" else 60)
    if call == "add":
        return Step(call, {f"d{fresh + i}": fresh for i in range(count)})
    if call in ("update", "delete", "discard"):
        return Step(call, dict.fromkeys(chooser.sample(sorted(state), count), fresh))
    if call == "mark":
        return Step(call, {name: state[name] % MARK + MARK * fresh for name in chooser.sample(sorted(state), count)})
    return Step(call, {})


def difference(index: Index, state: State, *, every: int = 1) -> str:
    """Where an index holds anything else than a state; empty where it holds exactly that. every: token vectors looked at."""
    stored = {document.id: document for document in index.documents()}
    if len(stored) != len(index) or stored.keys() != state.keys():
        return f"ids: {len(stored)} stored, {len(state)} expected, {sorted(stored.keys() ^ state.keys())[:5]} differ"
    for name, version in state.items():
        expected = fields(name, version)
        if stored[name] != Document(name, expected["text"], metadata(name, version)):
            return f"{name}: stored {stored[name]}, expected {expected}"
    return _vector_difference(index, dict(list(state.items())[::every])) or _keyword_difference(index, state)


def _vector_difference(index: Index, state: State) -> str:
    with index._current() as view:
        rows = view.catalog.rows_of(state)
        for name, version in state.items():
            (expected,) = ENCODER.stream_documents([fields(name, version)["text"]])
            vectors = view.snapshot.vectors(rows[name])
            if vectors.shape != expected.vectors.shape or (vectors * expected.vectors).sum(axis=1).min() < _SAME:
                return f"{name}: other token vectors than those of version {version}"
    return ""


def _keyword_difference(index: Index, state: State) -> str:
    for name, version in list(state.items())[:: max(1, len(state) // 5)]:
        found = [hit.id for hit in index.search(token(name, version), mode="keyword")]
        if found != [name]:
            return f"keyword {token(name, version)} finds {found}"
        hits = index.search(f"{name} {token(name, version)}", k=1, threads=1)
        if [hit.id for hit in hits] != [name]:
            return f"search for {name} finds {[hit.id for hit in hits]}"
    return ""


def all_problems(path: Path, states: list[State]) -> tuple[int, str]:
    """Look at an index as a reader, then as the next writer does. states: those that it may be in.

    Returns which of them it is in, and what is wrong; -1 and the difference where it is in none.
    """
    with Index.open(path, encoder=ENCODER) as index:
        if problems := index.verify():
            return -1, f"verify, before a writer came: {problems}"
        found = [difference(index, state) for state in states]
        if "" not in found:
            return -1, " | ".join(found)
        place = found.index("")
        index.add([fields("probe", 1)])
        if problem := difference(index, {**states[place], "probe": 1}, every=10):
            return place, f"after one more addition: {problem}"
        index.delete(["probe"])
        if problems := index.verify():
            return place, f"verify, after a writer came: {problems}"
    with Index.open(path, encoder=ENCODER) as index:
        facts = index.info()
        if facts["unlisted_files"]:
            return place, f"{facts['unlisted_files']} files that nothing lists"
        if facts["damaged_files"]:
            return place, f"{facts['damaged_files']} files put aside that a killed writer left"
        return place, difference(index, states[place], every=10)
