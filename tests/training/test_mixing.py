from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from polyvec.errors import InputError
from polyvec.training.mixing import Mixture, Source
from polyvec.training.recipe import Batches, Data
from polyvec.training.rows import language
from tests.training.conftest import write_rows


def rows(count: int, lang: str) -> list[dict[str, object]]:
    return [
        {"lang": lang, "query": f"{lang} q {i}", "document": f"{lang} d {i} " + "x " * (i % 40)} for i in range(count)
    ]


@pytest.fixture
def mixture(tmp_path: Path) -> Mixture:
    big = write_rows(tmp_path / "big.jsonl", rows(400, "en") + rows(100, "deu"))
    small = write_rows(tmp_path / "small.jsonl", rows(50, "th"))
    data = (Data(path=str(big), kind="pairs", weight=3), Data(path=str(small), kind="pairs", weight=1))
    return Mixture(data, Batches(rows=8, tokens=200, language_power=0.0), seed=1, cache=tmp_path / "cache")


def seen(mixture: Mixture, start: int, count: int) -> list[tuple[int, str, list[str]]]:
    return [(b.number, b.source, [row["query"] for row in b.rows]) for b in islice(mixture.batches(start), count)]


def test_a_resumed_stream_goes_on_with_the_same_batches(mixture: Mixture) -> None:
    whole = seen(mixture, 0, 60)
    assert seen(mixture, 37, 23) == whole[37:]
    assert seen(mixture, 0, 60) == whole


BATCHES = """
import json, sys
from itertools import islice
from pathlib import Path
from polyvec.training.mixing import Mixture
from polyvec.training.recipe import Batches, Data

path, cache = sys.argv[1:]
for kind in ("text", "parallel", "joined", "passages", "versions", "every", "pairs", "mined", "scored"):
    every = {"kind": "versions", "every": True} if kind == "every" else {"kind": kind}
    data = Data(path=path, group_field="page", passage_tokens=60, **every)
    for batch in islice(Mixture((data,), Batches(rows=6, tokens=5000), seed=3, cache=Path(cache)).batches(), 8):
        print(json.dumps([kind, batch.rows]))
"""


def test_batches_are_the_same_in_every_process(tmp_path: Path) -> None:
    texts = [
        f"{chr(97 + i % 26)}one two{i % 7} three{i % 5} four{i % 3} five{i}. Six seven{i % 4} eight."
        for i in range(120)
    ]
    path = write_rows(
        tmp_path / "a.jsonl",
        [
            {
                **{"lang": lang, "en": text, "text": text.replace("o", lang), "page": f"page {i // 30}"},
                **{"query": f"{lang} {i}", "document": text, "documents": [text, "Another."], "scores": [1.0, 0.0]},
            }
            for lang in ("de", "fr", "ro")
            for i, text in enumerate(texts)
        ],
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", BATCHES, str(path), str(tmp_path / "cache")],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.splitlines()
        for seed in ("1", "2")
    ]
    assert len(said[0]) == 72
    assert said[0] == said[1]


def test_weights_languages_and_budget(mixture: Mixture) -> None:
    batches = list(islice(mixture.batches(), 400))
    sources = Counter(batch.source for batch in batches)
    assert 0.65 < sources["big"] / 400 < 0.85
    languages = Counter(row["lang"] for batch in batches if batch.source == "big" for row in batch.rows)
    assert languages.keys() == {"en", "de"}
    assert 0.8 < languages["en"] / languages["de"] < 1.25  # power 0: alike, though there are four times as many
    assert all(len(batch.rows) <= 8 for batch in batches)
    assert all(len(b.rows) * max(row["length"] for row in b.rows) <= 200 for b in batches if len(b.rows) > 2)
    assert len({len(batch.rows) for batch in batches}) > 1  # long texts make smaller batches


def test_every_row_comes_once_before_any_comes_twice(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", rows(64, "en"))
    mixture = Mixture(
        (Data(path=str(path), kind="pairs"),), Batches(rows=4, tokens=10_000), seed=0, cache=tmp_path / "c"
    )
    first = Counter(row["query"] for batch in islice(mixture.batches(), 16) for row in batch.rows)
    assert len(first) == 64
    assert set(first.values()) == {1}


def test_one_language_a_batch(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", rows(64, "en") + rows(64, "de"))
    batches = Batches(rows=4, tokens=10_000, one_language=True)
    mixture = Mixture((Data(path=str(path), kind="pairs"),), batches, seed=0, cache=tmp_path / "c")
    assert all(len({row["lang"] for row in batch.rows}) == 1 for batch in islice(mixture.batches(), 40))


def test_the_same_passage_is_never_its_own_negative(tmp_path: Path) -> None:
    repeated = [{"lang": "en", "query": f"q{i}", "document": f"d{i % 3}"} for i in range(30)]
    path = write_rows(tmp_path / "a.jsonl", repeated)
    mixture = Mixture(
        (Data(path=str(path), kind="pairs"),), Batches(rows=10, tokens=1000), seed=0, cache=tmp_path / "c"
    )
    for batch in islice(mixture.batches(), 20):
        documents = [row["document"] for row in batch.rows]
        assert len(set(documents)) == len(documents)


@pytest.mark.parametrize(
    ("content", "progress"),
    [
        ([], "has no rows"),
        ([{"lang": "en", "query": "a"}], "document is missing"),
        ([{"query": "a", "document": ""}], "row 1"),
    ],
)
def test_bad_files(tmp_path: Path, content: list[dict[str, object]], progress: str) -> None:
    path = write_rows(tmp_path / "a.jsonl", content)
    with pytest.raises(InputError, match=progress):
        Mixture((Data(path=str(path), kind="pairs"),), Batches(), seed=0, cache=tmp_path / "c")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is missing"):
        Mixture((Data(path=str(tmp_path / "no"), kind="pairs"),), Batches(), seed=0, cache=tmp_path / "c")


@pytest.mark.parametrize(
    ("code", "short"),
    [
        ("und", "und"),
        ("deu", "de"),
        ("zh_CN", "zh"),
        ("zh-Hant", "zh"),
        ("arb", "ar"),
        ("pt_BR", "pt"),
        ("sr@latin", "sr"),
        ("pt-br", "pt"),
    ],
)
def test_one_code_for_one_language(code: str, short: str) -> None:
    assert language(code) == short


def test_rows_of_no_known_language_are_read(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "mine.jsonl", [{"query": f"q{i}", "document": f"d{i}"} for i in range(4)])
    source = Source(Data(path=str(path), kind="pairs"), tmp_path / "cache")
    assert source.counts() == {"und": 4}


def test_what_is_no_language() -> None:
    with pytest.raises(InputError, match="not a language code"):
        language("!")
