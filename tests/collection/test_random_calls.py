"""The index against a dictionary: whatever is called in whatever order, both hold and find the same."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from polyvec import Index
from polyvec.errors import InputError
from polyvec.index.catalog.filters import matches
from polyvec.index.upkeep import policy
from polyvec.scoring import maxsim

DIM = 8
IDS = st.sampled_from([f"d{i}" for i in range(12)] + ["ключ", "鍵'\"; --", "a b"])
SEEDS = st.integers(0, 1000)
METADATA = st.fixed_dictionaries({}, optional={"lang": st.sampled_from(["de", "ja"]), "year": st.integers(1990, 1993)})
FILTERS = st.sampled_from(
    [
        {"lang": "de"},
        {"year": {"$gte": 1991}},
        {"$or": [{"lang": "ja"}, {"year": {"$exists": False}}]},
        {"$not": {"lang": {"$in": ["de"]}}},
    ]
)


def vectors_of(seed: int) -> np.ndarray:
    """(1 to 4, DIM) float32 unit rows, as fp16 keeps them."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((1 + seed % 4, DIM)).astype(np.float32)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)


class Machine(RuleBasedStateMachine):
    """model: what the newest state holds, in order of adding · seen: what the second reader holds until it refreshes."""

    nbits = 16
    tolerance = 1e-3

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="polyvec-model-"))
        self.model: dict[str, tuple[int, dict[str, Any]]] = {}
        self.seen: dict[str, tuple[int, dict[str, Any]]] = {}

    @initialize()
    def create(self) -> None:
        self.index = Index.create(self.folder / "i", dim=DIM, nbits=self.nbits)
        self.reader = Index.open(self.folder / "i")

    @rule(new=st.dictionaries(IDS, st.tuples(SEEDS, METADATA), max_size=6), replace=st.booleans())
    def add(self, new: dict[str, tuple[int, dict[str, Any]]], replace: bool) -> None:
        vectors = [vectors_of(seed) for seed, _ in new.values()]
        metadata = [fields for _, fields in new.values()]
        if not replace and new.keys() & self.model.keys():
            with pytest.raises(InputError, match="is in the index already"):
                self.index.add_vectors(list(new), vectors, metadata=metadata)
            return
        existing: Any = "replace" if replace else "error"
        report = self.index.add_vectors(list(new), vectors, metadata=metadata, existing=existing)
        assert report.replaced == len(new.keys() & self.model.keys())
        for name, value in new.items():
            self.model.pop(name, None)  # a replaced document is the newest again
            self.model[name] = value

    @rule(names=st.lists(IDS, max_size=5))
    def delete(self, names: list[str]) -> None:
        assert self.index.delete(names) == len(set(names) & self.model.keys())
        for name in names:
            self.model.pop(name, None)

    @rule(retrain=st.booleans())
    def compact(self, retrain: bool) -> None:
        self.index.compact(retrain=retrain)
        facts = self.index.info()
        assert (facts["deleted_rows"], facts["segments"]) == (0, int(bool(self.model)))

    @rule()
    def reopen(self) -> None:
        self.index.close()
        self.index = Index.open(self.folder / "i")

    @rule()
    def refresh(self) -> None:
        self.reader.refresh()
        self.seen = dict(self.model)

    @rule(seed=SEEDS, k=st.integers(1, 20), condition=st.none() | FILTERS)
    def search(self, seed: int, k: int, condition: dict[str, Any] | None) -> None:
        self._compare(self.index, self.model, seed, k, condition)
        self._compare(self.reader, self.seen, seed, k, condition)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def find_itself(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.model)))
        (hit,) = self.index.search_vectors(vectors_of(self.model[name][0]), k=1, subset=[name])
        assert hit.id == name
        assert hit.normalized_score == pytest.approx(1.0, abs=0.01)
        assert hit.metadata == self.model[name][1]

    def _compare(
        self, index: Index, model: dict[str, tuple[int, dict[str, Any]]], seed: int, k: int, condition: Any
    ) -> None:
        query = vectors_of(seed + 5000)
        hits = index.search_vectors(query, k=k, filter=condition, threads=1)
        allowed = [name for name, (_, fields) in model.items() if condition is None or matches(condition, fields)]
        assert len(hits) == min(k, len(allowed))
        exact = (
            dict(zip(allowed, maxsim(query, [vectors_of(model[n][0]) for n in allowed]), strict=True))
            if allowed
            else {}
        )
        for hit in hits:
            assert hit.score == pytest.approx(float(exact[hit.id]), abs=self.tolerance * len(query))
        missed = [exact[name] for name in allowed if name not in {hit.id for hit in hits}]
        if missed:
            assert max(missed) <= hits[-1].score + self.tolerance * len(query)

    @invariant()
    def both_hold_the_same(self) -> None:
        if not hasattr(self, "index"):
            return
        assert [document.id for document in self.index.documents()] == list(self.model)
        assert [document.id for document in self.reader.documents()] == list(self.seen)
        assert len(self.index) == len(self.model)
        assert self.index.verify() == []

    def teardown(self) -> None:
        if hasattr(self, "index"):
            self.index.close()
            self.reader.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class CodedMachine(Machine):
    """In codes, which are trained by additions alone."""

    nbits = 8
    tolerance = 0.03


_settings = settings(
    max_examples=8, stateful_step_count=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
TestPlain = Machine.TestCase
TestPlain.settings = _settings
TestCoded = CodedMachine.TestCase
TestCoded.settings = _settings


@pytest.fixture(autouse=True)
def _early_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "TRAIN_FROM", 12)
