"""What one machine holds of a shard."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from polyvec import Index, Shards
from polyvec.cluster.serving.held import HeldShard
from polyvec.cluster.serving.place import AS_IT_IS, collection_at_address
from polyvec.cluster.serving.question import Call, Question
from polyvec.errors import InputError, StorageError
from polyvec.publish import publish
from tests.cluster.in_process import publish_shards
from tests.conftest import WordEncoder
from tests.shards.corpus import document, documents

pytest.importorskip("obstore", reason="publishing needs obstore: pip install 'polyvec[publish]'")


@pytest.fixture
def shards(tmp_path: Path) -> Iterator[Shards]:
    with Shards.create(tmp_path / "shards", shards=2, encoder=WordEncoder()) as made:
        made.add(documents(30))
        publish_shards(made.path, tmp_path / "published")
        yield made


def held(tmp_path: Path, **more: float) -> HeldShard:
    return HeldShard(str(tmp_path / "published"), "shard-001", tmp_path / "copies", **more)  # type: ignore[arg-type]


def test_versions_come_and_go(shards: Shards, tmp_path: Path) -> None:
    now = 0.0
    one = HeldShard(str(tmp_path / "published"), "shard-001", tmp_path / "copies", keep_s=60, clock=lambda: now)
    assert one.labels == []
    assert one.look()
    assert not one.look()
    assert one.labels == [collection_at_address(str(tmp_path / "published")).shard("shard-001").label]
    (first,) = one.labels
    shards.update([document(n, seed=5) for n in range(30)])
    publish_shards(shards.path, tmp_path / "published")
    assert one.look()
    assert one.labels[0] == first
    now = 50.0
    before = one.answer(Call("documents_after", first, ("", None, 99)))
    after = one.answer(Call("documents_after", one.labels[1], ("", None, 99)))
    assert (before.kind, after.kind) == ("done", "done")
    assert [d.id for d in before.value] == [d.id for d in after.value]
    assert [d.text for d in before.value] != [d.text for d in after.value]
    now = 100.0
    one.look()
    assert one.labels[0] == first, "it was asked for 50 seconds ago"
    now = 111.0
    one.look()
    assert len(one.labels) == 1
    gone = one.answer(Call("documents_after", first, ("", None, 99)))
    assert (gone.kind, gone.value) == ("not-held", one.labels)
    one.close()
    one.close()


def test_a_folder_of_its_own_for_each_that_runs_and_the_same_again_later(shards: Shards, tmp_path: Path) -> None:
    first, second = held(tmp_path), held(tmp_path)
    for one in (first, second):
        one.look()
    folders = sorted(path.name for path in (tmp_path / "copies").iterdir())
    assert folders == ["shard-001.0", "shard-001.1"]
    first.close()
    third = held(tmp_path)
    third.look()
    assert sorted(path.name for path in (tmp_path / "copies").iterdir()) == folders
    for one in (second, third):
        one.close()


def test_the_copy_of_the_last_time_where_the_address_cannot_be_read(shards: Shards, tmp_path: Path) -> None:
    one = held(tmp_path)
    one.begin()
    labels = one.labels
    one.close()
    shutil.move(tmp_path / "published", tmp_path / "away")
    again = held(tmp_path)
    again.begin()
    assert again.labels == labels
    assert again.answer(Call("documents_after", labels[0], ("", None, 99))).kind == "done"
    again.close()
    with pytest.raises(StorageError):
        HeldShard(str(tmp_path / "published"), "shard-000", tmp_path / "copies").begin()


def test_a_folder_is_served_as_it_is(shards: Shards, tmp_path: Path) -> None:
    one = HeldShard(str(shards.path), "shard-000", tmp_path / "copies")
    assert one.look()
    (label,) = one.labels
    assert label.startswith("folder-")
    described = one.answer(Call("describe", AS_IT_IS)).value
    assert (described.label, described.facts["documents"]) == (label, described.totals.documents)
    shards.update([document(n, seed=5) for n in range(30)])
    assert not one.look()
    another = HeldShard(str(shards.path), "shard-000", tmp_path / "copies")
    another.look()
    assert another.labels != one.labels, "machines with different states are told apart"
    assert another.answer(Call("documents_with", label, ([],))).kind == "not-held"
    for each in (one, another):
        each.close()


def test_replies_to_what_goes_wrong(shards: Shards, tmp_path: Path) -> None:
    one = held(tmp_path)
    one.look()
    question = Question({"k": 3, "filter": {"n": {"$no": 1}}})
    refused = one.answer(Call("search", one.labels[0], (question,)))
    assert (refused.kind, refused.value[0]) == ("refused", "FilterError")
    assert one.answer(Call("labels", "")).value == one.labels
    for file in (tmp_path / "copies" / "shard-001.0" / "index").glob("catalog.sqlite"):
        file.write_bytes(b"no database" * 100)
    one.close()


def test_a_shard_that_is_no_more(shards: Shards, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no shard 'shard-009' any more, only shard-000, shard-001"):
        HeldShard(str(tmp_path / "published"), "shard-009", tmp_path / "copies").look()


def test_another_version_under_the_same_number(shards: Shards, tmp_path: Path) -> None:
    """Somebody deleted what was published and published something else: the manifest of all shards is of before."""
    shutil.rmtree(tmp_path / "published" / "shard-001")
    with Index.create(tmp_path / "else", encoder=WordEncoder()) as index:
        index.add(documents(5))
        publish(index.path, tmp_path / "published" / "shard-001")
    one = held(tmp_path)
    with pytest.raises(StorageError, match="is another one than the shards' manifest says"):
        one.look()
    assert one.labels == []
    one.close()


def test_a_place_that_cannot_be_written(shards: Shards, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="Cannot write to"):
        HeldShard(str(tmp_path / "published"), "shard-001", tmp_path / "file" / "copies").look()
