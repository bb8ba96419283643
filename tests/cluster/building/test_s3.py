"""Documents in a pretended S3, and shards published there: builds without a disk that machines share."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from polyvec.cluster.building.build import build_shards
from polyvec.cluster.building.inputs import inputs_at
from polyvec.errors import InputError, StorageError
from polyvec.publish.published_shards import newest_shards, pull_shards
from polyvec.publish.store import Store
from tests.cluster.builds import Here, check_same_as_one_machine, rows, words, write_lines
from tests.publish.test_s3 import asked, server, url

pytestmark = pytest.mark.heavy
__all__ = ["server", "url"]


def lines(documents: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in documents).encode()


def put(server: str, name: str, content: bytes) -> None:
    asked(f"{server}/library/{name}", "PUT", content)


def test_from_a_bucket_into_a_bucket(here: Here, tmp_path: Path, server: str, url: str) -> None:
    documents = rows(120)
    put(server, "docs/a.jsonl", lines(documents[:50]))
    put(server, "docs/more/b.jsonl.gz", gzip.compress(lines(documents[50:])))
    put(server, "docs/about.md", b"about")
    target = "s3://library/wiki"
    done = build_shards("s3://library/docs/", target, shards=3, encoder=words, block_documents=40)
    assert (done.version, done.documents, done.target) == (1, 120, target)
    whole = newest_shards(target)
    assert [shard.name for shard in whole.shards] == ["shard-000", "shard-001", "shard-002"]
    pull_shards(target, tmp_path / "pulled")
    check_same_as_one_machine(tmp_path / "pulled", write_lines(tmp_path / "all.jsonl", documents), tmp_path)
    assert not [one.name for one in Store(target).listed("") if one.name.startswith("build/")]
    with pytest.raises(StorageError, match="Other things are at s3://library/docs"):
        build_shards("s3://library/docs", "s3://library/docs", encoder=words)


def test_what_is_read_from_a_bucket(here: Here, server: str, url: str) -> None:
    def names(place: str) -> list[str]:
        return [one.name for one in inputs_at(place)]

    with pytest.raises(InputError, match="nothing there"):
        inputs_at("s3://library/docs")
    put(server, "top.jsonl", lines(rows(2)))
    put(server, "docs/b.parquet", b"x")
    put(server, "docs/.hidden/a.jsonl", b"x")
    assert names("s3://library/top.jsonl") == ["top.jsonl"]
    assert names("s3://library/docs/b.parquet") == ["b.parquet"]
    assert names("s3://library/docs") == ["b.parquet"]
    assert names("s3://library") == ["docs/b.parquet", "top.jsonl"]
    put(server, "docs/corpus.jsonl", lines(rows(2)))
    assert names("s3://library/docs") == ["corpus.jsonl"]
    put(server, "songs/a.mp3", b"x")
    with pytest.raises(InputError, match="1 objects, but none of documents"):
        inputs_at("s3://library/songs")


def test_a_bad_document_in_a_bucket_leaves_nothing(here: Here, server: str, url: str) -> None:
    put(server, "docs/a.jsonl", lines(rows(60)))
    put(server, "docs/b.jsonl", lines([*rows(20, seed=1), {"id": "x"}]))
    with pytest.raises(InputError, match=r"s3://library/docs/b\.jsonl:21: no text in document 'x'"):
        build_shards("s3://library/docs", "s3://library/wiki", encoder=words)
    assert [one.name for one in Store("s3://library/wiki").listed("")] == []


def test_a_bucket_that_is_not_there(here: Here, tmp_path: Path, url: str) -> None:
    docs = write_lines(tmp_path / "docs.jsonl", rows(5))
    with pytest.raises(StorageError) as raised:
        build_shards(docs, "s3://nowhere/wiki", encoder=words)
    assert len(str(raised.value).splitlines()) == 1
    assert "s3://nowhere/wiki" in str(raised.value)
