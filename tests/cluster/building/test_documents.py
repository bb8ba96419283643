"""Documents in numbered blocks: each once, in order, and found again by its number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from polyvec.cluster.building import documents
from polyvec.cluster.building.documents import Staged, check_staged, stage_file
from polyvec.cluster.building.inputs import inputs_at
from polyvec.cluster.building.plan import Plan
from polyvec.cluster.building.work import Work
from polyvec.errors import InputError
from polyvec.index.catalog.settings import ModelRecord
from polyvec.shards.routing import shard_of
from tests.cluster.builds import rows, write_lines


def staged_in(tmp_path: Path, *, shards: int = 3, size: int = 7) -> tuple[Work, Plan, Staged]:
    work = Work(str(tmp_path / "work"), make=True)
    inputs = tuple(inputs_at(str(tmp_path / "docs")))
    model = ModelRecord("words", {})
    plan = Plan(
        inputs=inputs, target="x", published=False, shards=shards, dim=16, nbits=4, model=model, block_documents=size
    )
    files = [stage_file(work, plan, number) for number in range(len(inputs))]
    return work, plan, Staged(tuple(files))


@pytest.mark.parametrize("shards", [1, 3, 64])
def test_every_document_is_in_one_block_of_its_shard(tmp_path: Path, shards: int) -> None:
    documents = rows(100)
    write_lines(tmp_path / "docs" / "a.jsonl", documents[:35])
    write_lines(tmp_path / "docs" / "b.jsonl", documents[35:])
    work, plan, staged = staged_in(tmp_path, shards=shards)
    check_staged(work, plan, staged)
    assert staged.documents == 100
    found: dict[int, str] = {}
    for shard in range(shards):
        ids = [document.id for block in staged.blocks(shard) for document in work.documents(block)]
        assert {shard_of(one, shards) for one in ids} <= {shard}
        numbers = staged.numbers(work, shard).tolist()
        assert numbers == sorted(numbers)
        found.update(zip(numbers, ids, strict=True))
    assert [found[number] for number in range(100)] == [row["id"] for row in documents]
    assert all(block.documents <= 7 for block in staged.all_blocks())


def test_documents_are_found_by_their_numbers(tmp_path: Path) -> None:
    documents = rows(60)
    write_lines(tmp_path / "docs" / "a.jsonl", documents[:20])
    write_lines(tmp_path / "docs" / "b.jsonl", documents[20:])
    work, _, staged = staged_in(tmp_path)
    order = np.random.default_rng(0).permutation(60).astype(np.int64)[:31]
    places = staged.places(work, order)
    assert [work.documents(block)[position].id for block, position in places] == [
        documents[number]["id"] for number in order
    ]


def test_reading_again_reads_nothing(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "docs" / "a.jsonl", rows(20))
    _, _, staged = staged_in(tmp_path)
    path.write_text("not a document")
    assert staged_in(tmp_path)[2] == staged


def test_long_texts_end_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "_BLOCK_CHARACTERS", 100)
    write_lines(tmp_path / "docs" / "a.jsonl", [{"id": str(n), "text": "w" * 60} for n in range(20)])
    work, _, staged = staged_in(tmp_path, shards=1)
    assert [block.documents for block in staged.all_blocks()] == [2] * 10
    assert [d.id for block in staged.all_blocks() for d in work.documents(block)] == [str(n) for n in range(20)]


def test_an_id_in_two_files_is_refused_with_both(tmp_path: Path) -> None:
    write_lines(tmp_path / "docs" / "a.jsonl", rows(20))
    write_lines(tmp_path / "docs" / "b.jsonl", [*rows(20, seed=1), rows(20)[7]])
    work, plan, staged = staged_in(tmp_path)
    with pytest.raises(InputError, match=r"'d0-7' comes twice: in .*a\.jsonl and in .*b\.jsonl"):
        check_staged(work, plan, staged)


def test_more_documents_than_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_lines(tmp_path / "docs" / "a.jsonl", rows(20))
    work, plan, staged = staged_in(tmp_path)
    monkeypatch.setattr(documents, "MOST_ROWS", 59)
    with pytest.raises(InputError, match="Make fewer shards"):
        check_staged(work, plan, staged)
