"""A retrieval module inside DSPy programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("dspy", reason="dspy is not installed")

import dspy

import polyvec
from polyvec.errors import InputError
from polyvec.integrations.dspy import PolyvecRetriever
from tests.conftest import WordEncoder

pytestmark = pytest.mark.heavy


@pytest.fixture
def index(tmp_path: Path) -> Iterator[polyvec.Index]:
    with polyvec.Index.create(tmp_path / "planets.polyvec", encoder=WordEncoder()) as made:
        made.add(
            [
                {"id": "m", "text": "red planet mars", "lang": "en"},
                {"id": "n", "text": "blue planet neptune", "lang": "de"},
            ]
        )
        yield made


def test_passages_come_best_first(index: polyvec.Index) -> None:
    found = PolyvecRetriever(index, k=2)("red mars")
    hits = index.search("red mars", k=2)
    assert found.passages == ["red planet mars", "blue planet neptune"]
    assert found.ids == ["m", "n"]
    assert found.scores == [hit.score for hit in hits]
    assert found.metadata == [{"lang": "en"}, {"lang": "de"}]
    assert PolyvecRetriever(index)("red mars", k=1).ids == ["m"]
    assert PolyvecRetriever(index, search_options={"filter": {"lang": "de"}})("mars").ids == ["n"]


async def test_async_calls_give_the_same(index: polyvec.Index) -> None:
    retrieve = PolyvecRetriever(index, k=1)
    assert (await retrieve.acall("neptune")).ids == ["n"]


def test_a_program_answers_from_passages_and_can_be_copied(index: polyvec.Index) -> None:
    class Answering(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.retrieve = PolyvecRetriever(index, k=1)
            self.answer = dspy.Predict("passages, question -> answer")

        def forward(self, question: str) -> dspy.Prediction:
            return self.answer(passages=self.retrieve(question).passages, question=question)

    program = Answering().deepcopy()
    model = dspy.utils.DummyLM([{"answer": "mars"}])
    with dspy.context(lm=model):
        assert program(question="red planet").answer == "mars"
    assert "red planet mars" in str(model.history[-1]["messages"])


def test_bad_settings_are_refused(index: polyvec.Index) -> None:
    with pytest.raises(InputError, match="k"):
        PolyvecRetriever(index, k=0)
    with pytest.raises(InputError, match="has no search"):
        PolyvecRetriever(3)
