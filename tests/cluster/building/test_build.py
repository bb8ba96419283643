"""Whole builds, with every task in this process; test_build_on_ray.py has them on machines."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyvec import Shards
from polyvec.cluster.building.build import Built, build_shards
from polyvec.collection.build import build_index
from polyvec.data import Document
from polyvec.errors import InputError, MissingExtraError, PolyvecError, StorageError
from polyvec.publish.published_shards import newest_shards, pull_shards
from tests.cluster.builds import (
    Here,
    Killed,
    check_same,
    check_same_as_one_machine,
    rows,
    words,
    write_lines,
)
from tests.conftest import WordEncoder
from tests.publish.indexes import cut_at


def built(docs: Path, target: Path | str, **options: Any) -> Built:
    return build_shards(docs, target, **{"shards": 3, "encoder": words, "block_documents": 40, **options})


def left_beside(target: Path) -> list[str]:
    return sorted(name for name in os.listdir(target.parent) if name != target.name)


@pytest.mark.parametrize("nbits", [1, 2, 4, 8, 16])
def test_shards_are_those_of_one_machine(here: Here, tmp_path: Path, nbits: int) -> None:
    docs = write_lines(tmp_path / "in" / "docs.jsonl", rows(333))
    done = built(docs, tmp_path / "out" / "shards", nbits=nbits)
    check_same_as_one_machine(tmp_path / "out" / "shards", docs, tmp_path, nbits=nbits)
    assert (done.documents, done.shards, done.version, done.known) == (333, 3, None, 0)
    assert os.listdir(tmp_path / "out") == ["shards"]


def test_shards_grow_as_others_do(here: Here, tmp_path: Path) -> None:
    docs = write_lines(tmp_path / "docs.jsonl", rows(100))
    built(docs, tmp_path / "shards")
    with Shards.open(tmp_path / "shards", encoder=WordEncoder()) as shards:
        assert shards.add(rows(50, seed=2)).added == 50
        assert shards.update(rows(5)).replaced == 5
        assert len(shards) == 150
        assert shards.verify() == []
        assert shards.search("w3", k=1)


def test_published_shards_are_the_same(here: Here, tmp_path: Path) -> None:
    docs = write_lines(tmp_path / "docs.jsonl", rows(150))
    url = (tmp_path / "bucket").as_uri()
    done = built(docs, url)
    assert (done.version, done.target) == (1, url)
    whole = newest_shards(url)
    assert (whole.documents, whole.tokens, len(whole.shards)) == (150, done.tokens, 3)
    pull_shards(url, tmp_path / "pulled")
    check_same_as_one_machine(tmp_path / "pulled", docs, tmp_path)
    assert not [path for path in (tmp_path / "bucket" / "build").rglob("*") if path.is_file()]
    again = built(write_lines(tmp_path / "docs.jsonl", rows(160)), url)
    assert again.version == 2
    assert newest_shards(url).documents == 160


def test_many_files_are_one_collection(here: Here, tmp_path: Path) -> None:
    documents = rows(200)
    folder = tmp_path / "docs"
    write_lines(folder / "a" / "1.jsonl", documents[:50])
    write_lines(folder / "a" / "2.ndjson", [])
    (folder / "b.jsonl.gz").write_bytes(
        gzip.compress("".join(json.dumps(d) + "\n" for d in documents[50:120]).encode())
    )
    write_lines(folder / "c.jsonl", [*documents[120:], {"id": "nothing", "text": ""}])
    write_lines(folder / ".hidden.jsonl", documents[:3])
    (folder / "README.md").write_text("about")
    done = built(folder, tmp_path / "shards")
    assert (done.documents, done.empty) == (200, 1)
    check_same_as_one_machine(tmp_path / "shards", write_lines(tmp_path / "all.jsonl", documents), tmp_path)


def test_a_folder_of_texts_and_a_beir_folder(here: Here, tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / "texts").mkdir(exist_ok=True)
        (tmp_path / "texts" / f"{number}.txt").write_text(f"w{number} w1")
    built(tmp_path / "texts", tmp_path / "one")
    check_same_as_one_machine(tmp_path / "one", tmp_path / "texts", tmp_path / "a")
    corpus = write_lines(tmp_path / "beir" / "corpus.jsonl", rows(20))
    write_lines(tmp_path / "beir" / "queries.jsonl", [{"_id": "q", "text": "w1"}])
    built(tmp_path / "beir", tmp_path / "two")
    check_same_as_one_machine(tmp_path / "two", corpus, tmp_path / "b")


def test_parquet(here: Here, tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    plain = [{"id": row["id"], "text": row["text"], "n": row["n"]} for row in rows(60)]
    parquet.write_table(pyarrow.Table.from_pylist(plain), tmp_path / "docs.parquet")
    built(tmp_path / "docs.parquet", tmp_path / "shards")
    check_same_as_one_machine(tmp_path / "shards", tmp_path / "docs.parquet", tmp_path)


@pytest.mark.parametrize("address", [False, True], ids=["folder", "store"])
def test_a_build_that_is_cut_anywhere_goes_on(here: Here, tmp_path: Path, address: bool) -> None:
    docs = write_lines(tmp_path / "docs.jsonl", rows(120))
    target = (tmp_path / "bucket").as_uri() if address else tmp_path / "shards"
    done = None
    for end in range(0, 100, 2):
        here.done.clear()

        def cut(what: str, end: int = end) -> None:
            if len(here.done) == end:
                raise Killed(what)

        here.cut = cut
        try:
            done = built(docs, target)
            break
        except Killed:
            if address:
                with pytest.raises(StorageError, match="No shards are published"):
                    newest_shards(str(target))
            else:
                assert not Path(target).exists()
    assert done is not None
    assert done.known > 0
    assert end > 6
    if address:
        pull_shards(str(target), tmp_path / "shards")
    check_same_as_one_machine(tmp_path / "shards", docs, tmp_path)


@pytest.mark.parametrize("answered", [False, True], ids=["refused", "answer lost"])
def test_the_connection_is_cut_at_any_request(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answered: bool
) -> None:
    """Each run gets a little further than the one before; what is published is whole in every moment."""
    docs = write_lines(tmp_path / "docs.jsonl", rows(40))
    url = (tmp_path / "bucket").as_uri()
    said: list[str] = []
    for number in range(1, 400):
        try:
            with cut_at(monkeypatch, number, answered=answered):
                built(docs, url, shards=2)
            break
        except StorageError as error:
            said.append(str(error))
        with contextlib.suppress(StorageError):
            assert newest_shards(url).documents == 40
    assert len(said) > 20
    assert {len(message.splitlines()) for message in said} == {1}
    assert newest_shards(url).version == 1
    assert built(docs, url, shards=2).documents == 40
    pull_shards(url, tmp_path / "pulled")
    check_same_as_one_machine(tmp_path / "pulled", docs, tmp_path)


def test_what_is_encoded_is_not_encoded_again(here: Here, tmp_path: Path) -> None:
    docs = write_lines(tmp_path / "docs.jsonl", rows(120))
    made: list[WordEncoder] = []

    def make(threads: int) -> WordEncoder:
        made.append(WordEncoder())
        return made[-1]

    here.kill_at("_write")
    with pytest.raises(Killed):
        built(docs, tmp_path / "shards", encoder=make)
    made.clear()
    here.cut = lambda what: None
    done = built(docs, tmp_path / "shards", encoder=make)
    assert sum(encoder.encoded for encoder in made) == 0
    assert done.known == 120


def test_a_task_that_runs_twice_changes_nothing(here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = write_lines(tmp_path / "docs.jsonl", rows(120))
    each, encoded = here.each, here.encoded

    def twice(function: Any) -> Any:
        return lambda *arguments: (list(function(*arguments)), list(function(*arguments)))[1]

    monkeypatch.setattr("polyvec.cluster.building.build.each", twice(each))
    monkeypatch.setattr("polyvec.cluster.building.build.encoded", twice(encoded))
    built(docs, tmp_path / "shards")
    check_same_as_one_machine(tmp_path / "shards", docs, tmp_path)


@pytest.mark.parametrize("files", [1, 3])
@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"id": "d0-3", "text": "again"}, "'d0-3' comes twice"),
        ({"text": "no id"}, "no id"),
        ({"id": "x", "text": 7}, "text of type int"),
        ({"id": "x", "text": "w1", "when": [[1, {"a": float("nan")}]]}, "not valid JSON|NaN"),
    ],
    ids=["twice", "no-id", "no-text", "nan"],
)
def test_a_bad_document_in_the_middle_leaves_nothing(
    here: Here, tmp_path: Path, bad: dict[str, Any], said: str, files: int
) -> None:
    documents = [*rows(60), bad, *rows(60, seed=1)]
    folder = tmp_path / "in"
    for number in range(files):
        write_lines(folder / f"{number}.jsonl", documents[number::files] if files > 1 else documents)
    for target in (tmp_path / "out" / "shards", tmp_path / "out" / "bucket"):
        with pytest.raises(InputError, match=said) as raised:
            built(folder, target if target.name == "shards" else target.as_uri())
        assert len(str(raised.value).splitlines()) == 1
        assert str(folder) in str(raised.value)
        assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_vectors_that_no_index_holds_are_refused_in_one_line(here: Here, tmp_path: Path) -> None:
    docs = write_lines(tmp_path / "docs.jsonl", [*rows(60), {"id": "odd", "text": "..."}])
    with pytest.raises(InputError, match="empty text"):
        built(docs, tmp_path / "shards")
    assert left_beside(tmp_path / "shards") == ["docs.jsonl"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("docs.jsonl", "", "no documents in it"),
        ("docs.jsonl", '{"id": "a", "text": " "}\n', "every document is empty"),
        ("docs.json", "{}", "unknown kind of file"),
        ("folder/x.pdf", "", "no documents in it"),
    ],
)
def test_input_without_documents(here: Here, tmp_path: Path, name: str, content: str, said: str) -> None:
    path = tmp_path / "in" / name
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(InputError, match=said):
        built(path.parent if "/" in name else path, tmp_path / "shards")
    assert left_beside(tmp_path / "shards") == ["in"]


def test_the_target_is_taken(here: Here, tmp_path: Path) -> None:
    docs = write_lines(tmp_path / "in" / "docs.jsonl", rows(20))
    write_lines(tmp_path / "other" / "file.txt", [])
    with pytest.raises(StorageError, match="something is there"):
        built(docs, tmp_path / "other")
    with pytest.raises(StorageError, match="Other things are at"):
        built(docs, (tmp_path / "other").as_uri())
    (tmp_path / ".shards.building").mkdir()
    write_lines(tmp_path / ".shards.building" / "mine", [])
    for restart in (False, True):
        with pytest.raises(StorageError, match="in the way"):
            built(docs, tmp_path / "shards", restart=restart)
    assert (tmp_path / ".shards.building" / "mine").exists()
    write_lines(tmp_path / "bucket" / "build" / "mine", [])
    with pytest.raises(StorageError, match="in the way"):
        built(docs, (tmp_path / "bucket").as_uri(), restart=True)
    assert here.done == []


def test_a_build_of_something_else_is_not_continued(here: Here, tmp_path: Path) -> None:
    docs = write_lines(tmp_path / "docs.jsonl", rows(60))

    def cut(what: str) -> None:
        raise Killed

    here.cut = cut
    with pytest.raises(Killed):
        built(docs, tmp_path / "shards")
    for options in ({"shards": 4}, {"nbits": 2}, {"encoder": lambda n: WordEncoder(dim=32)}):
        with pytest.raises(StorageError, match=r"was begun at .* with .*--restart"):
            built(docs, tmp_path / "shards", **options)
    write_lines(docs, rows(61))
    with pytest.raises(StorageError, match="from other documents, or they have changed"):
        built(docs, tmp_path / "shards")
    here.cut = lambda what: None
    assert built(docs, tmp_path / "shards", restart=True).documents == 61
    check_same_as_one_machine(tmp_path / "shards", docs, tmp_path)


def test_a_plan_of_another_version_or_of_nobody(here: Here, tmp_path: Path) -> None:
    docs = write_lines(tmp_path / "docs.jsonl", rows(20))
    plan = tmp_path / ".shards.building" / "plan.json"
    plan.parent.mkdir()
    for content, said in [
        ('{"layout": 2, "polyvec": "9.9"}', "by polyvec 9.9"),
        ("[]", "no plan of polyvec"),
        ("{", "no plan of polyvec"),
    ]:
        plan.write_text(content)
        with pytest.raises(StorageError, match=said):
            built(docs, tmp_path / "shards")


def test_options_that_make_no_sense(here: Here, tmp_path: Path) -> None:
    docs = write_lines(tmp_path / "docs.jsonl", rows(5))
    for options in (
        {"shards": 0},
        {"shards": 65},
        {"nbits": 3},
        {"encoders": 0},
        {"encoder": 7},
        {"progress": 7},
        {"restart": 1},
        {"block_documents": 0},
    ):
        with pytest.raises(InputError):
            built(docs, tmp_path / "shards", **options)
    for target in ("", "s3://", "http://x/y", 7):
        with pytest.raises(InputError):
            built(docs, target)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="stdin"):
        built("-", tmp_path / "shards")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no such file"):
        built(tmp_path / "nowhere.jsonl", tmp_path / "shards")


def test_without_ray_one_line_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polyvec.cluster.ray_session.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'polyvec\[ray\]'"):
        built(tmp_path / "docs.jsonl", tmp_path / "shards")


def test_a_damaged_object_is_named(here: Here, tmp_path: Path) -> None:
    docs = write_lines(tmp_path / "docs.jsonl", rows(60))

    here.kill_at("_write")
    with pytest.raises(Killed):
        built(docs, tmp_path / "shards")
    piece = sorted((tmp_path / ".shards.building" / "pieces").iterdir())[0]
    content = bytearray(piece.read_bytes())
    content[len(content) // 2] ^= 1
    piece.write_bytes(content)
    here.cut = lambda what: None
    with pytest.raises(PolyvecError, match=f"{piece.name} is damaged"):
        built(docs, tmp_path / "shards")
    piece.unlink()
    built(docs, tmp_path / "shards")
    check_same_as_one_machine(tmp_path / "shards", docs, tmp_path)


def test_progress_goes_through_every_step(here: Here, tmp_path: Path) -> None:
    docs = write_lines(tmp_path / "docs.jsonl", rows(60))
    seen: list[tuple[str, int, int | None]] = []
    built(docs, tmp_path / "shards", progress=lambda *step: seen.append(step))
    assert list(dict.fromkeys(what for what, _, _ in seen)) == [
        "reading",
        "sampling",
        "training",
        "encoding",
        "writing",
    ]
    assert ("encoding", 60, 60) in seen
    assert ("writing", 3, 3) in seen


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12).map(lambda text: f"w {text}")


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    documents=st.lists(
        st.tuples(st.text("abc€\n é", min_size=1, max_size=5), texts, st.booleans()), min_size=1, max_size=25
    ),
    shards=st.integers(1, 9),
    size=st.integers(1, 8),
    files=st.integers(1, 3),
)
def test_any_documents(
    here: Here, tmp_path_factory: pytest.TempPathFactory, documents: Any, shards: int, size: int, files: int
) -> None:
    folder = tmp_path_factory.mktemp("any")
    unique = {f"{n}{identifier}": (text, flag) for n, (identifier, text, flag) in enumerate(documents)}
    given_rows = [{"id": i, "text": text, "meta é": flag} for i, (text, flag) in unique.items()]
    cut = -(-len(given_rows) // files)
    for number in range(files):
        write_lines(folder / "in" / f"{number}.jsonl", given_rows[number * cut : (number + 1) * cut])
    built(folder / "in", folder / "shards", shards=shards, block_documents=size)
    right = [Document(row["id"], row["text"], {"meta é": row["meta é"]}) for row in given_rows]
    one, _ = build_index(right, folder / "one", encoder=WordEncoder(), nbits=4, source="test")
    check_same(folder / "shards", one, queries=["w", "é"])
    one.close()
