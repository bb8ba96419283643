from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from polyvec import Encoder
from polyvec.errors import InputError, StorageError
from polyvec.scoring import maxsim_definition
from polyvec.training.teaching import cross_encoder, dense, late, teach
from tests.encoder.toy_checkpoints import wordpiece_tokenizer
from tests.training.conftest import write_rows

ROWS: list[dict[str, object]] = [
    {"query": f"q{i}", "documents": [f"d{i}", "x" * (i + 1), "y"], "lang": "de", "note": i} for i in range(7)
]


class Counting:
    """Scores a pair by its lengths, remembers what it read, and stops working after some calls."""

    def __init__(self, last: int = 100) -> None:
        self.read: list[tuple[str, str]] = []
        self._left = last

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        if not self._left:
            raise KeyboardInterrupt
        self._left -= 1
        self.read += pairs
        return [len(query) + len(document) / 10 for query, document in pairs]


def read(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_scores_stand_beside_the_data(tmp_path: Path) -> None:
    source, out = write_rows(tmp_path / "a.jsonl", ROWS), tmp_path / "out.jsonl"
    assert teach(source, out, Counting(), rows_at_once=3) == 7
    assert read(source) == ROWS
    for row, before in zip(read(out), ROWS, strict=True):
        query, documents = str(before["query"]), before["documents"]
        assert isinstance(documents, list)
        assert row == {**before, "scores": [len(query) + len(text) / 10 for text in documents]}


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    source, out = write_rows(tmp_path / "a.jsonl", ROWS), tmp_path / "out.jsonl"
    with pytest.raises(KeyboardInterrupt):
        teach(source, out, Counting(last=2), rows_at_once=2)
    assert not out.exists()
    partial = tmp_path / "out.jsonl.partial"
    assert len(read(partial)) == 4
    with partial.open("a", encoding="utf-8") as file:
        file.write('{"query": "q4", "docu')  # killed in the middle of a line
    teacher = Counting()
    assert teach(source, out, teacher, rows_at_once=2) == 3
    assert {query for query, _ in teacher.read} == {"q4", "q5", "q6"}
    assert not partial.exists()
    teach(source, tmp_path / "whole.jsonl", Counting())
    assert read(out) == read(tmp_path / "whole.jsonl")


def test_the_teacher_reads_the_english_side_where_there_is_one(tmp_path: Path) -> None:
    row: dict[str, object] = {
        "query": "licht",
        "documents": ["pflanze", "welt"],
        "query_en": "light",
        "documents_en": ["plant", "world"],
    }
    teacher = Counting()
    teach(write_rows(tmp_path / "a.jsonl", [row]), tmp_path / "out.jsonl", teacher)
    assert teacher.read == [("light", "plant"), ("light", "world")]
    assert read(tmp_path / "out.jsonl")[0]["documents"] == ["pflanze", "welt"]


def test_bad_input(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    source = write_rows(tmp_path / "a.jsonl", ROWS)
    with pytest.raises(InputError, match="row 1: documents is missing"):
        teach(write_rows(tmp_path / "half.jsonl", [{"query": "a"}]), out, Counting())
    uneven: dict[str, object] = {"query": "a", "documents": ["b", "c"], "documents_en": ["b"]}
    with pytest.raises(InputError, match="not as many"):
        teach(write_rows(tmp_path / "uneven.jsonl", [uneven]), out, Counting())
    with pytest.raises(InputError, match="has no rows"):
        teach(write_rows(tmp_path / "empty.jsonl", []), out, Counting())
    with pytest.raises(InputError, match="score for 'q0'=nan: expected a finite number"):
        teach(source, out, lambda pairs: [float("nan")] * len(pairs))
    (tmp_path / "out.jsonl.partial").write_text('{"query": "of another file"}\n', encoding="utf-8")
    with pytest.raises(StorageError, match="belongs to another source"):
        teach(source, out, Counting())
    out.write_text("kept", encoding="utf-8")
    with pytest.raises(StorageError, match="exists already"):
        teach(source, out, Counting())


def test_a_cross_encoder_gives_its_logits(tmp_path: Path) -> None:
    tokenizer = wordpiece_tokenizer()
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        initializer_range=0.5, num_labels=1,
    )  # fmt: skip
    model = BertForSequenceClassification(config).eval()
    model.save_pretrained(str(tmp_path / "cross"))
    tokenizer.save_pretrained(str(tmp_path / "cross"))
    pairs = [("what is light", "plants turn light into sugar"), ("hello", "world of sugar")]
    with torch.no_grad():
        wanted = [float(model(**tokenizer(*pair, return_tensors="pt")).logits) for pair in pairs]
    assert any(not 0 <= value <= 1 for value in wanted)  # no sigmoid on them
    assert cross_encoder(str(tmp_path / "cross"))(pairs) == pytest.approx(wanted, abs=1e-4)


def test_a_dense_teacher_gives_scaled_cosines(world: Path) -> None:
    same, other = dense(str(world / "teacher"), scale=20.0)([("light", "light"), ("light", "hello world")])
    assert same == pytest.approx(20.0, abs=1e-3)
    assert -20 <= other < same


def test_a_late_interaction_teacher_gives_the_mean_similarity_and_reads_a_passage_once(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, teacher = Encoder(world / "model"), late(str(world / "model"), scale=10.0)
    pairs = [("licht", "sugar light"), ("licht welt", "sugar light"), ("licht", "world")]
    found = teacher(pairs)
    for (query, text), score in zip(pairs, found, strict=True):
        rows = encoder.encode_query(query)
        wanted = maxsim_definition(rows, encoder.encode_document(text)) / len(rows) * 10
        assert score == pytest.approx(wanted, rel=2e-3)  # passages are kept in half precision
    read: list[str] = []
    plain = Encoder.encode_document
    monkeypatch.setattr(Encoder, "encode_document", lambda self, texts: read.extend(texts) or plain(self, texts))
    assert teacher([*pairs[:2], ("licht", "plants")])[:2] == found[:2]
    assert read == ["plants"]
