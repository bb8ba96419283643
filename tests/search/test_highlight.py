"""Which words are highlighted: whole words, in any script, by how much their matches decided."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvec import Encoder, Index
from polyvec.data import Document
from polyvec.demo import load_demo
from polyvec.search.explain import Explanation
from polyvec.search.highlight import WordMatch, highlights, word_matches
from polyvec.search.matches import TokenMatch

_ALPHABET = "ab é.- 花が กำ कि‍ش🐝"
_texts = st.text(_ALPHABET, min_size=1, max_size=30)


@st.composite
def explanations(draw: st.DrawFn) -> list[Explanation]:
    """Hits of one query, with tokens anywhere in the texts, markers among them."""
    query = draw(_texts)

    def span(text: str) -> tuple[int, int] | None:
        start = draw(st.integers(0, len(text) - 1))
        return draw(st.sampled_from([None, (start, draw(st.integers(start + 1, len(text))))]))

    spans = [span(query) for _ in range(draw(st.integers(0, 6)))]
    found = []
    for text in draw(st.lists(_texts, max_size=3)):
        matches = []
        for query_span in spans:
            at, similarity, prominence = span(text), draw(st.floats(-1, 1)), draw(st.floats(0, 9))
            query_token = query[slice(*query_span)] if query_span else ""
            document_token = text[slice(*at)] if at else ""
            matches.append(TokenMatch(query_token, query_span, document_token, at, similarity, prominence))
        found.append(Explanation(query, text, 0.0, tuple(matches)))
    return found


@given(explanations())
def test_words_and_highlights_fit_their_texts(found: list[Explanation]) -> None:
    weighed = word_matches(found)
    assert len(weighed) == len(found)
    for explanation, words in zip(found, weighed, strict=True):
        for word in words:
            assert 0 <= word.query_span[0] < word.query_span[1] <= len(explanation.query)
            assert 0 <= word.weight <= 1
            assert word.similarity in {match.similarity for match in explanation.matches}
        pairs = [(word.query_span, word.document_span) for word in words]
        assert pairs == sorted(set(pairs))
        marked = highlights(words)
        for mark in marked:
            assert 0 <= mark.start < mark.end <= len(explanation.text)
            assert 0 < mark.strength <= 1
            shown = explanation.text[mark.start : mark.end]
            assert shown == shown.strip()
            assert any(unicodedata.category(char)[0] not in "PZSC" for char in shown)
        assert all(one.end <= other.start for one, other in pairwise(marked))
    assert word_matches(found) == weighed
    weights = [word.weight for words in weighed for word in words]
    strongest = max((m.prominence for e in found for m in e.matches), default=0)
    assert max(weights, default=0) <= max(strongest, 0)


def _explanation(query: str, text: str, *matches: tuple[str, str, float, float]) -> Explanation:
    tokens = []
    for query_token, document_token, similarity, prominence in matches:
        at, found = query.index(query_token), text.index(document_token)
        query_span, document_span = (at, at + len(query_token)), (found, found + len(document_token))
        tokens.append(TokenMatch(query_token, query_span, document_token, document_span, similarity, prominence))
    return Explanation(query, text, 0.0, tuple(tokens))


def _marked(explanation: Explanation) -> dict[str, float]:
    return {explanation.text[mark.start : mark.end]: mark.strength for mark in explanation.highlights()}


def test_subwords_make_one_word_with_the_better_of_their_matches() -> None:
    explanation = _explanation("bees?", "Las abejas son", ("be", "ab", 0.6, 2.0), ("es", "jas", 0.7, 4.0))
    assert explanation.words() == [WordMatch((0, 4), (4, 10), 0.7, 1.0)]


@pytest.mark.parametrize(
    ("text", "token", "word"),
    [
        ("die Häuser-Tür", "äu", "Häuser"),
        ("蜜蜂告诉同伴", "告诉", "告诉"),
        ("ミツバチは花の", "花", "花"),
        ("ผึ้งบอก", "ผึ", "ผึ้"),
        ("फूलों की दिशा", "दि", "दिशा"),
        ("وفي الأزهار", "أزهار", "الأزهار"),
        ("GPT模型", "模型", "模型"),
        ("模型GPT", "PT", "GPT"),
        (" the bees ", " bees ", "bees"),
    ],
)
def test_a_word_is_whole_in_its_script(text: str, token: str, word: str) -> None:
    assert _marked(_explanation("q", text, ("q", token, 0.8, 3.0))) == {word: 1.0}


def test_tokens_that_overlap_are_marked_as_one_stretch() -> None:
    explanation = _explanation("q r", "背面を", ("q", "背面", 0.8, 3.0), ("r", "面を", 0.7, 2.0))
    assert _marked(explanation) == {"背面を": 1.0}


def test_what_did_not_decide_is_a_match_without_weight() -> None:
    explanation = _explanation(
        "the bees, q",
        "an apiary: x",
        ("the", "an", 0.7, 0.4),  # met well, as everywhere
        ("bees", "apiary", 0.6, 3.0),
        (",", ":", 0.9, 5.0),  # punctuation
        ("q", "x", 0.2, 5.0),  # prominent, and still unlike
    )
    met = {explanation.text[slice(*word.document_span)]: word.weight for word in explanation.words()}
    assert met == {"an": 0.0, "apiary": 1.0, "x": 0.0}
    assert _marked(explanation) == {"apiary": 1.0}


def test_hits_of_one_search_are_weighed_together() -> None:
    strong, weak = (_explanation("q", "word", ("q", "word", 0.8, prominence)) for prominence in (4.0, 2.0))
    assert [[word.weight for word in words] for words in word_matches([strong, weak])] == [[1.0], [0.5]]
    assert [word.weight for word in weak.words()] == [1.0]
    assert word_matches([]) == []


def test_where_nothing_stands_out_nothing_is_marked_strongly() -> None:
    assert _marked(_explanation("q", "word", ("q", "word", 0.5, 0.5))) == {}


@pytest.fixture(scope="module")
def demo_index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    index = Index.create(tmp_path_factory.mktemp("demo") / "bees.polyvec", encoder=Encoder())
    index.add(document for document in load_demo().documents if document.metadata["topic"] in ("honeybee", "sahara"))
    return index


def _weights(index: Index, question: str, document_id: str) -> dict[str, float]:
    hits = index.search(question, k=10)
    found = word_matches([hit.explain() for hit in hits])
    place = next(i for i, hit in enumerate(hits) if hit.id == document_id)
    text = Document(hits[place].id, hits[place].text or "", hits[place].metadata).encoded_text
    weights: dict[str, float] = {}
    for word in found[place]:
        name = text[slice(*word.document_span)]
        weights[name] = max(weights.get(name, 0.0), word.weight)
    return weights


def test_content_words_outshine_the_words_of_grammar_in_another_language(demo_index: Index) -> None:
    weights = _weights(demo_index, "How do bees tell each other where the flowers are?", "honeybee-es")
    strongest = sorted(weights, key=lambda word: -weights[word])
    assert strongest[:2] == ["flores", "abejas"]
    assert all(weights[word] == 0 for word in ("son", "a", "lo") if word in weights)
    assert weights.get("entre", 0) < weights["abejas"]


def test_the_meaning_word_leads_in_scripts_without_spaces(demo_index: Index) -> None:
    weights = _weights(demo_index, "How do bees tell each other where the flowers are?", "honeybee-zh")
    assert {"花", "告诉"} == set(sorted(weights, key=lambda word: -weights[word])[:2])
