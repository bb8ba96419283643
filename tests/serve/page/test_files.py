"""The page's files: small, self-contained, safe by construction, and true to the model."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

import polyvec
from polyvec import Encoder
from polyvec.search.explain import explain
from polyvec.search.highlight import word_matches

PAGE = Path(polyvec.__file__).parent / "serve" / "page"
FILES = sorted(path for path in PAGE.iterdir() if path.is_file())


def test_the_page_is_small() -> None:
    """As a browser loads it: packed, as the server sends it to one."""
    whole = {path.name: len(path.read_bytes()) for path in FILES}
    packed = {path.name: len(gzip.compress(path.read_bytes(), 9)) for path in FILES}
    assert sum(packed.values()) < 30_000, packed
    assert sum(whole.values()) < 72_000, whole


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_asks_nobody_else_and_makes_no_markup_from_text(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    addresses = set(re.findall(r"https?://[^\s\"'`)]+", text)) - {"http://www.w3.org/2000/svg"}
    assert addresses == set()
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "srcdoc"):
        assert word not in text
    if path.suffix == ".html":
        assert re.findall(r"\son\w+=|\sstyle=|<style", text) == []
        assert all(script.endswith("></script>") for script in re.findall(r"<script.*", text))


def test_what_a_file_names_is_there() -> None:
    names = {path.name for path in FILES}
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".html":
            named = set(re.findall(r"(?:src|href)=\"([\w.-]+\.\w+)\"", text))
            assert named
            assert named <= names
            ids = re.findall(r"\sid=\"([\w-]+)\"", text)
            assert len(ids) == len(set(ids))
        if path.suffix == ".js":
            assert set(re.findall(r"from \"\./([\w.]+)\"", text)) <= names


def test_scripts_ask_for_elements_that_are_there() -> None:
    ids = set(re.findall(r"\sid=\"([\w-]+)\"", (PAGE / "index.html").read_text(encoding="utf-8")))
    for path in FILES:
        if path.suffix == ".js":
            assert set(re.findall(r"byId\(\"([\w-]+)\"\)", path.read_text(encoding="utf-8"))) <= ids


def test_the_figure_shows_what_the_model_matches() -> None:
    source = (PAGE / "figure.js").read_text(encoding="utf-8")
    figure = json.loads(source.partition("export default ")[2].rstrip().rstrip(";"))
    encoder = Encoder()
    assert figure["model"] == encoder.name
    question = next(iter(encoder.stream_queries([figure["question"]])))
    texts = [sentence["text"] for sentence in figure["sentences"]]
    explanations = [
        explain(figure["question"], question, text, document)
        for text, document in zip(texts, encoder.stream_documents(texts), strict=True)
    ]
    for sentence, words in zip(figure["sentences"], word_matches(explanations), strict=True):
        shown = {tuple(word[:4]): word[4:] for word in sentence["words"]}
        found = {(*word.query_span, *word.document_span): word for word in words}
        for place, word in found.items():
            if word.weight > 0.4:
                assert shown[place] == [pytest.approx(word.similarity, abs=0.05), pytest.approx(word.weight, abs=0.1)]
        for place, (_, weight) in shown.items():
            assert weight < 0.4 or found[place].weight > 0.3
