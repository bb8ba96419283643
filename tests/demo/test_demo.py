"""The corpus that ships with polyvec is what its README says, and the demo answers English questions from it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from polyvec import Index
from polyvec.cli import main
from polyvec.demo import CORPUS, build_demo_index, load_demo, show_questions
from polyvec.errors import StorageError
from tests.conftest import WordEncoder

LANGUAGES = {"en", "de", "fr", "es", "pt", "it", "pl", "ru", "tr", "ar", "hi", "zh", "ja", "ko"}


def test_corpus() -> None:
    demo = load_demo()
    topics = {document.metadata["topic"] for document in demo.documents}
    assert len(topics) == 20
    assert Counter(d.metadata["lang"] for d in demo.documents) == dict.fromkeys(LANGUAGES, 20)
    for document in demo.documents:
        lang = document.metadata["lang"]
        size = len(document.text) if lang in ("zh", "ja") else len(document.text.split())
        assert (110 if lang in ("zh", "ja") else 60) <= size <= (340 if lang in ("zh", "ja") else 150), document.id
    assert len({document.text for document in demo.documents}) == 280
    assert "CC0" in (CORPUS / "README.md").read_text(encoding="utf-8")


def test_questions_and_judgments() -> None:
    demo = load_demo()
    language = {document.id: document.metadata["lang"] for document in demo.documents}
    topic = {document.id: document.metadata["topic"] for document in demo.documents}
    assert len(demo.queries) == 145
    assert {query.lang for query in demo.queries} == LANGUAGES
    for query in demo.queries:
        (same,) = demo.qrels["same"][query.id]
        cross = demo.qrels["cross"][query.id]
        assert language[same] == query.lang
        assert {language[d] for d in cross} == LANGUAGES - {query.lang}
        assert {topic[d] for d in (same, *cross)} == {query.metadata["topic"]}
    assert len(show_questions(demo)) == 11


def test_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", str(tmp_path / "demo.polyvec"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["index"]["documents"] == 280
    assert set(found["by_lang"]) == LANGUAGES
    assert found["by_lang"]["en"]["same"] > 0.9
    assert found["overall"]["queries"] == 145


def test_the_demo_replaces_its_own_index_and_no_other(tmp_path: Path, encoder: WordEncoder) -> None:
    demo, path = load_demo(), tmp_path / "demo.polyvec"
    for _ in range(2):
        build_demo_index(demo, path, encoder, lambda n: None).close()
    with Index.open(path) as index:
        assert len(index) == 280
        index.delete(["tea-en"])
    with pytest.raises(StorageError, match="an index of something else"):
        build_demo_index(demo, path, encoder, lambda n: None)
