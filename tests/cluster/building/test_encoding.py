"""What one encoder does of a build: tasks that may run anywhere, and twice."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from polyvec import Encoder
from polyvec.cluster.building.encoding import BlockEncoder, DefaultEncoder
from polyvec.errors import ModelMismatchError, StorageError
from tests.cluster.building.test_documents import staged_in
from tests.cluster.builds import rows, words, write_lines
from tests.conftest import WordEncoder


def encoder_of(tmp_path: Path, make: Any = words, **changes: Any) -> tuple[BlockEncoder, list[dict[str, Any]]]:
    write_lines(tmp_path / "docs" / "a.jsonl", rows(40))
    work, plan, staged = staged_in(tmp_path)
    model = {"fingerprint": make(1).fingerprint, "settings": {}}
    plan_json = {**plan.to_json(), "model": model, "nbits": 16, **changes}
    return BlockEncoder(work.url, plan_json, make, 1), [asdict(block) for block in staged.all_blocks()]


def test_a_result_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    encoder, blocks = encoder_of(tmp_path)
    first = encoder.run({"do": "encode", "block": blocks[0]})
    again = encoder.run({"do": "encode", "block": blocks[0]})
    assert (first["known"], again["known"]) == (False, True)
    assert first["documents"] == again["documents"] == blocks[0]["documents"]
    assert first["tokens"] == again["tokens"]


def test_another_model_on_another_machine_is_refused(tmp_path: Path) -> None:
    encoder, blocks = encoder_of(tmp_path, model={"fingerprint": "other", "settings": {"model": "theirs"}})
    with pytest.raises(ModelMismatchError, match=r"another model theirs \(words-16\)"):
        encoder.run({"do": "encode", "block": blocks[0]})


def test_a_machine_that_does_not_see_the_folder_says_so(tmp_path: Path) -> None:
    _, blocks = encoder_of(tmp_path)
    _, plan, _ = staged_in(tmp_path)
    encoder = BlockEncoder(str(tmp_path / "elsewhere"), plan.to_json(), words, 1)
    with pytest.raises(StorageError, match="does not see the folder"):
        encoder.run({"do": "encode", "block": blocks[0]})


def test_tokens_are_counted_without_encoding(tmp_path: Path) -> None:
    encoder, blocks = encoder_of(tmp_path)
    assert encoder.run({"do": "count", "block": blocks[0]}) == {"tokens": None}, "this one only knows by encoding"

    def make(threads: int) -> Any:
        return DefaultEncoder(dim=32)(threads)

    encoder, blocks = encoder_of(tmp_path / "real", make, dim=32)
    for block in blocks[:2]:
        counted = encoder.run({"do": "count", "block": block})
        assert counted["tokens"] == encoder.run({"do": "encode", "block": block})["tokens"]


def test_the_default_model_takes_its_threads() -> None:
    made = DefaultEncoder(None, dim=32)(1)
    assert isinstance(made, Encoder)
    assert (made.dim, made.options.threads) == (32, 1)
    assert not isinstance(WordEncoder(), Encoder)
