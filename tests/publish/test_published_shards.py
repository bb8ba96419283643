"""Shards in an object store: versions of all together, and folders that are pulled from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from polyvec import Shards
from polyvec.cli import main
from polyvec.errors import InputError, PublishConflictError, StorageError
from polyvec.publish import publish, pull
from polyvec.publish.manifest import read_manifest
from polyvec.publish.published_shards import (
    PublishedShards,
    ShardVersion,
    check_place,
    holds_shards,
    newest_shards,
    publish_together,
    pull_shards,
    shards_at,
)
from polyvec.publish.store import Store
from polyvec.shards.manifest import read_manifest as read_shards_manifest
from tests.conftest import WordEncoder
from tests.publish.indexes import documents, make_index


def publish_shards(path: Path, url: str) -> PublishedShards:
    """Publish a folder of shards, one after another, and then which versions belong together."""
    manifest = read_shards_manifest(path)
    parts = []
    for name in manifest.shards:
        place = f"{url}/{name}"
        done = publish(path / name, place)
        made = read_manifest(Store(place), done.version)
        parts.append(ShardVersion(name, done.version, made.publication, made.documents, made.tokens))
    return publish_together(Store(url, make=True), manifest, parts)


@pytest.fixture
def shards(tmp_path: Path, encoder: WordEncoder) -> Path:
    with Shards.create(tmp_path / "shards", shards=3, encoder=encoder) as made:
        made.add(documents(80))
    return tmp_path / "shards"


def test_what_is_pulled_is_what_was_published(tmp_path: Path, shards: Path, encoder: WordEncoder) -> None:
    url = (tmp_path / "bucket").as_uri()
    published = publish_shards(shards, url)
    assert published == newest_shards(url) == shards_at(url, 1)
    assert (published.version, published.documents) == (1, 80)
    assert holds_shards(url)
    assert pull_shards(url, tmp_path / "pulled") == published
    with Shards.open(tmp_path / "pulled", encoder=encoder) as one, Shards.open(shards, encoder=encoder) as other:
        assert one.verify() == []
        for query in ("w3 w17", "tea w1"):
            assert [(h.id, h.score) for h in one.search(query)] == [(h.id, h.score) for h in other.search(query)]
        with pytest.raises(StorageError, match="was pulled from"):
            one.add(documents(1, first=200))
    with Shards.open(shards, encoder=encoder) as other:
        other.add(documents(20, first=80))
    assert publish_shards(shards, url).version == 2
    assert newest_shards(url).documents == 100
    assert pull_shards(url, tmp_path / "old", version=1).documents == 80
    with Shards.open(tmp_path / "old", encoder=encoder) as old:
        assert len(old) == 80


def test_codes_are_searched_as_before(tmp_path: Path, encoder: WordEncoder) -> None:
    with Shards.create(tmp_path / "shards", shards=2, encoder=encoder, nbits=2) as made:
        made.add(documents(200))
        made.compact()
        right = [(h.id, h.score) for h in made.search("w3 w17")]
    publish_shards(tmp_path / "shards", str(tmp_path / "bucket"))
    pull_shards(str(tmp_path / "bucket"), tmp_path / "pulled")
    with Shards.open(tmp_path / "pulled", encoder=encoder) as pulled:
        assert pulled.verify() == []
        assert [(h.id, h.score) for h in pulled.search("w3 w17")] == right
        assert pulled.search("w3", recall=0.9)


def test_the_command_pulls_shards(tmp_path: Path, shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish_shards(shards, str(tmp_path / "bucket"))
    assert main(["pull", str(tmp_path / "bucket"), str(tmp_path / "pulled"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["shards"] == 3
    assert main(["pull", str(tmp_path / "bucket"), str(tmp_path / "other")]) == 0
    assert "3 shards, 80 documents" in capsys.readouterr().out
    assert main(["follow", str(tmp_path / "bucket"), str(tmp_path / "third")]) == 1
    assert "Shards are published at" in capsys.readouterr().err


def test_what_cannot_be_pulled(tmp_path: Path, shards: Path, encoder: WordEncoder) -> None:
    bucket = tmp_path / "bucket"
    bucket.mkdir()
    with pytest.raises(StorageError, match="it is empty"):
        newest_shards(str(bucket))
    publish_shards(shards, str(bucket))
    with pytest.raises(StorageError, match="no version 7"):
        shards_at(str(bucket), 7)
    with pytest.raises(InputError):
        shards_at(str(bucket), 0)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    with pytest.raises(StorageError, match="something is there"):
        pull_shards(str(bucket), tmp_path / "taken")
    with pytest.raises(StorageError, match="Shards are published at"):
        pull(str(bucket), tmp_path / "one")
    publish(make_index(tmp_path / "single", documents(5), encoder), str(tmp_path / "alone"))
    with pytest.raises(StorageError, match="holds a published index"):
        newest_shards(str(tmp_path / "alone"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "song.mp3").touch()
    with pytest.raises(StorageError, match=r"Other things are at .*song\.mp3"):
        newest_shards(str(tmp_path / "full"))
    with pytest.raises(StorageError, match="Other things"):
        check_place(Store(str(tmp_path / "full")))


def test_a_shard_that_is_missing_or_another(tmp_path: Path, shards: Path, encoder: WordEncoder) -> None:
    bucket = tmp_path / "bucket"
    published = publish_shards(shards, str(bucket))
    manifest = bucket / "shard-001" / "versions" / "000000000001.json"
    content = manifest.read_text()
    manifest.write_text(content.replace(published.shards[1].publication, "0" * 32))
    with pytest.raises(StorageError, match="another one than version 1"):
        pull_shards(str(bucket), tmp_path / "pulled")
    manifest.unlink()
    with pytest.raises(StorageError, match=r"shard-001"):
        pull_shards(str(bucket), tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists()
    manifest.write_text(content)
    pull_shards(str(bucket), tmp_path / "pulled")
    with Shards.open(tmp_path / "pulled", encoder=encoder) as pulled:
        assert len(pulled) == 80
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"layout": 2}, "has layout 2"),
        ({"format": "x"}, "no manifest of published shards"),
        ({"dim": -1}, "is damaged: dim"),
        ({"routing": "md5"}, "is damaged: routing"),
        ({"shards": []}, "is damaged: shards"),
        ({"shards": [{"name": "../x", "version": 1, "publication": "", "documents": 1, "tokens": 1}]}, "is damaged"),
        ({"shards": [{"name": "a", "version": "1", "publication": "", "documents": 1, "tokens": 1}]}, "is damaged"),
        ({"shards": 7}, "is damaged"),
        ({"version": 3}, "says version 3"),
        ({"codecs": None}, "is damaged: codecs"),
        ({"encoder": 7}, "is damaged: encoder"),
    ],
)
def test_manifests_that_no_publisher_wrote(tmp_path: Path, shards: Path, change: dict[str, Any], said: str) -> None:
    publish_shards(shards, str(tmp_path / "bucket"))
    path = tmp_path / "bucket" / "shards" / "000000000001.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(StorageError, match=said) as raised:
        newest_shards(str(tmp_path / "bucket"))
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("content", ["", "[]", "[" * 100_000, "\x00"])
def test_what_is_no_manifest(tmp_path: Path, content: str) -> None:
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "000000000001.json").write_text(content)
    with pytest.raises(StorageError, match="no manifest of published shards"):
        newest_shards(str(tmp_path))


def test_two_publishers_at_once(tmp_path: Path, shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = str(tmp_path / "bucket")
    publish_shards(shards, url)
    monkeypatch.setattr("polyvec.publish.published_shards._versions", lambda store: [])
    with pytest.raises(PublishConflictError, match="published version 1"):
        publish_together(Store(url), read_shards_manifest(shards), newest_parts(url))


def newest_parts(url: str) -> tuple[ShardVersion, ...]:
    return shards_at(url, 1).shards
