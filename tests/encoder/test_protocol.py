"""Any object with the members of TokenEncoder can take the place of Encoder."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import polyvec
from polyvec.arguments import _ENCODER_MEMBERS
from polyvec.encoder import Encoded, Encoder, TokenEncoder
from polyvec.evaluation.dataset import load_dataset
from polyvec.search.rerank import rerank_run


class Letters:
    """One unit vector a letter of a to z."""

    name, fingerprint, dim, document_length = "letters", "abc", 26, 10

    def settings(self) -> dict[str, Any]:
        return {"model": self.name}

    def stream_queries(self, texts: Iterable[str]) -> Iterator[Encoded]:
        for text in texts:
            ids = np.array([ord(letter) - 97 for letter in text[: self.document_length]], np.int32)
            places = np.arange(len(ids), dtype=np.int32)
            yield Encoded(np.eye(26, dtype=np.float32)[ids], ids, np.stack([places, places + 1], axis=1), False)

    def stream_documents(self, texts: Iterable[str], *, progress: Callable[[int], None] | None = None) -> Any:
        return self.stream_queries(texts)


ROWS = [{"id": "a", "text": "abcd"}, {"id": "b", "text": "cdef"}, {"id": "c", "text": "wxyz"}]


@pytest.fixture
def letters() -> TokenEncoder:
    return Letters()


def test_it_serves_an_index(letters: TokenEncoder, tmp_path: Path) -> None:
    with polyvec.Index.create(tmp_path / "i", encoder=letters) as index:
        assert index.add(ROWS).added == 3
        hits = index.search("efg", k=3)
        assert (hits[0].id, hits[0].score) == ("b", pytest.approx(2, abs=1e-2))
        assert index.search("wx", mode="hybrid")[0].id == "c"
        for explanation in (hits[0].explain(), index.explain("efg", hits[0])):
            met = [(match.query_token, match.document_token) for match in explanation.matches]
            assert met[:2] == [("e", "e"), ("f", "f")]
            assert explanation.score == pytest.approx(2, abs=1e-2)
    with polyvec.Index.open(tmp_path / "i", encoder=letters) as index:
        assert index.search("a")[0].id == "a"


def test_it_serves_evaluation(letters: TokenEncoder, tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl").write_text(
        "".join(json.dumps({"_id": r["id"], "text": r["text"]}) + "\n" for r in ROWS)
    )
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "fe"}\n')
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\tb\t1\n")
    result = polyvec.evaluate(load_dataset(tmp_path), encoder=letters, measures=["RR@10"])
    assert (result.model, result.measures) == ("letters", {"RR@10": 1.0})
    assert result.settings["dim"] == 26


def test_it_serves_reranking(letters: TokenEncoder) -> None:
    assert [hit.id for hit in polyvec.rerank("wxa", ROWS, encoder=letters)] == ["c", "a", "b"]
    documents = [polyvec.Document(row["id"], row["text"]) for row in ROWS]
    queries = [polyvec.data.Query("q", "fed")]
    [(query, scores)] = rerank_run({"q": {"a": 1.0, "b": 0.5}}, queries, documents, encoder=letters)
    assert (query, [document for document, _ in scores]) == ("q", ["b", "a"])


def test_the_protocol_is_what_the_encoder_has() -> None:
    assert {name for name in vars(TokenEncoder) if not name.startswith("_")} == set(_ENCODER_MEMBERS)
    for name in ("stream_queries", "stream_documents", "settings"):
        promised = inspect.signature(getattr(TokenEncoder, name)).parameters
        assert promised.keys() <= inspect.signature(getattr(Encoder, name)).parameters.keys()


@pytest.mark.parametrize("missing", ["name", "document_length", "settings", "stream_queries"])
def test_what_lacks_a_member_is_refused(missing: str, tmp_path: Path) -> None:
    members = {name: getattr(Letters, name) for name in vars(TokenEncoder) if not name.startswith("_")}
    del members[missing]
    partial = type("Partial", (), members)()
    with pytest.raises(polyvec.PolyvecError, match=f"encoder=.*lacks {missing}"):
        polyvec.Index.create(tmp_path / "i", encoder=partial)
