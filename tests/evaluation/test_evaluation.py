"""Evaluation through the index: by language, by pair, whatever the threads; trec_eval's own numbers; comparisons."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from polyvec import Index
from polyvec.cli import main
from polyvec.data import Document, Query, read_run, write_run
from polyvec.errors import InputError
from polyvec.evaluation.baselines import bm25_run
from polyvec.evaluation.dataset import Dataset, load_dataset
from polyvec.evaluation.evaluation import evaluate
from polyvec.evaluation.job import Job, comparison_run
from polyvec.evaluation.measures import compute_measures
from polyvec.evaluation.significance import compare
from polyvec.index.engine.options import SearchOptions
from tests.conftest import WordEncoder

CORPUS = [
    ("d1", "red planet mars", "en"),
    ("d2", "planète rouge mars", "fr"),
    ("d3", "blue planet neptune", "en"),
    ("d4", "planète bleue neptune", "fr"),
]
QUERIES = [
    ("q1", "mars planet", "en"),
    ("q2", "mars rouge", "fr"),
    ("q3", "nothing at all", "en"),
    ("q4", "unjudged", "en"),
]
QRELS = [("q1", "d1", 2), ("q1", "d2", 1), ("q2", "d2", 1), ("q2", "d1", 1), ("q3", "d3", 1)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "planets"
    (folder / "qrels").mkdir(parents=True)
    rows = [{"_id": i, "text": t, "lang": lang} for i, t, lang in CORPUS]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    rows = [{"_id": i, "text": t, "lang": lang} for i, t, lang in QUERIES]
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    judged = "".join(f"{q}\t{d}\t{g}\n" for q, d, g in QRELS)
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged, encoding="utf-8")
    return folder


def test_by_language_and_by_pair(folder: Path) -> None:
    result = evaluate(load_dataset(folder), encoder=WordEncoder(), measures=["nDCG@10", "R@100", "RR@10"])
    assert (result.queries, result.documents, result.dataset) == (3, 4, "planets")
    assert set(result.by_lang) == {"en", "fr"}
    assert set(result.by_pair) == {"en-en", "en-fr", "fr-en", "fr-fr"}
    assert result.by_pair["fr-fr"]["RR@10"] == 1.0
    assert result.measures["R@100"] == 1.0
    english = [result.per_query[q]["nDCG@10"] for q in ("q1", "q3")]
    assert result.by_lang["en"]["nDCG@10"] == pytest.approx(np.mean(english), abs=1e-6)
    macro = np.mean([row["nDCG@10"] for row in result.by_lang.values()])
    assert result.macro["nDCG@10"] == pytest.approx(macro, abs=1e-6)
    shown = result.to_dict()
    assert json.loads(json.dumps(shown)) == shown
    assert set(shown["seconds"]) == {"encode", "index", "search"}


def test_an_index_gives_what_its_model_gives_whatever_the_threads(tmp_path: Path) -> None:
    rng, encoder = np.random.default_rng(3), WordEncoder()
    words = [f"w{i}" for i in range(400)]
    texts = {f"d{i}": " ".join(rng.choice(words, 40)) for i in range(700)}  # enough for probing, 28,000 tokens
    queries = [Query(f"q{i}", " ".join(texts[f"d{i}"].split()[:3]), "en" if i % 2 else "de") for i in range(90)]
    qrels = {f"q{i}": {f"d{i}": 1, f"d{i + 1}": 2} for i in range(90)}
    dataset = Dataset("words", queries, qrels, lambda: (Document(i, text) for i, text in texts.items()))
    options = SearchOptions(k=20, nprobe=4, candidates=40)
    made = evaluate(dataset, encoder=encoder, nbits=2, options=options)
    assert made.settings == {
        "model": "words", "dim": 16, "nbits": 2, "k": 20, "mode": "late", "nprobe": 4, "candidates": 40
    }  # fmt: skip
    with Index.create(tmp_path / "i.polyvec", encoder=encoder, nbits=2) as index:
        index.add(dataset.documents())
        index.compact()
        for threads in (1, 2, 5):
            there = evaluate(dataset, index=index, options=options, threads=threads)
            assert (there.measures, there.by_lang, there.run) == (made.measures, made.by_lang, made.run)
        exact = evaluate(dataset, index=index, options=SearchOptions(k=20, exact=True))
        assert exact.run != made.run, "4 of the centroids cannot find all that there is"
        assert exact.settings["exact"] is True
        hybrid = [
            evaluate(dataset, index=index, options=SearchOptions(k=20, mode="hybrid"), threads=threads).run
            for threads in (1, 3)
        ]
        assert hybrid[0] == hybrid[1]
        with pytest.raises(InputError, match="threads=0"):
            evaluate(dataset, index=index, threads=0)
        with pytest.raises(InputError, match="either an encoder or an index"):
            evaluate(dataset, encoder=encoder, index=index)


def test_what_is_measured_is_the_compressed_index(folder: Path) -> None:
    sizes = {}
    for nbits in (2, 16):
        result = evaluate(load_dataset(folder), encoder=WordEncoder(dim=128), nbits=nbits)
        assert result.settings["nbits"] == nbits
        sizes[nbits] = result.bytes_per_token
    assert 128 * 2 / 8 < sizes[2] < sizes[16]
    one = evaluate(load_dataset(folder), encoder=WordEncoder(), nbits=1).run
    full = evaluate(load_dataset(folder), encoder=WordEncoder(), nbits=16).run
    assert one["q1"] != full["q1"], "one bit a dimension cannot give the scores of fp16"


def test_values_are_those_of_trec_eval() -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval")  # trec_eval itself, compiled as a module
    rng = np.random.default_rng(5)
    qrels = {f"q{i}": {f"d{j}": int(rng.integers(0, 4)) for j in range(12)} for i in range(30)}
    run = {  # scores of few values, so that ties abound; some queries are missing, some documents unjudged
        f"q{i}": {f"d{j}": float(rng.integers(0, 4)) for j in rng.permutation(25)[:9]} for i in range(27)
    }
    names = {"nDCG@10": "ndcg_cut_10", "AP": "map", "R@100": "recall_100", "Success@5": "success_5", "RR": "recip_rank"}
    ours = compute_measures(qrels, run, list(names))
    theirs = pytrec_eval.RelevanceEvaluator(qrels, set(names.values())).evaluate(run)
    for query_id in qrels:
        for name, their_name in names.items():
            expected = theirs[query_id][their_name] if query_id in theirs else 0.0
            assert ours[query_id][name] == pytest.approx(expected, abs=1e-4), (query_id, name)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda f: (f / "queries.jsonl").unlink(), "no queries.jsonl"),
        (lambda f: (f / "qrels" / "test.tsv").unlink(), "there: none"),
        (lambda f: (f / "qrels" / "test.tsv").write_text("q9\td1\t1\n", encoding="utf-8"), "'q9' among them"),
    ],
)
def test_a_broken_dataset_is_named(folder: Path, break_it: object, message: str) -> None:
    break_it(folder)  # type: ignore[operator]
    with pytest.raises(InputError, match=message):
        load_dataset(folder)


def test_splits(folder: Path) -> None:
    (folder / "qrels" / "test.tsv").rename(folder / "qrels" / "dev.tsv")
    assert len(load_dataset(folder).qrels) == 3
    (folder / "qrels" / "train.tsv").write_text("q1\td1\t1\n", encoding="utf-8")
    with pytest.raises(InputError, match="there: dev, train"):
        load_dataset(folder)
    assert len(load_dataset(folder, split="train").qrels) == 1


def test_bm25_run(folder: Path) -> None:
    run = bm25_run(load_dataset(folder))
    assert next(iter(run["q1"])) == "d1"
    assert run["q3"] == {}


def test_comparison_knows_luck_from_skill() -> None:
    rng = np.random.default_rng(0)
    base = {f"q{i}": float(v) for i, v in enumerate(rng.random(200))}
    better = {q: v + 0.05 + float(rng.normal(0, 0.02)) for q, v in base.items()}
    noise = {q: v + float(rng.normal(0, 0.2)) for q, v in base.items()}
    skill, luck = compare(better, base), compare(noise, base)
    assert skill.p < 0.001
    assert 0.04 < skill.low < skill.difference < skill.high < 0.06
    assert luck.p > 0.05
    assert luck.low < 0 < luck.high
    assert compare(base, base).p == 1.0
    assert compare(better, base) == skill, "the seed is fixed"
    with pytest.raises(InputError, match="same ones"):
        compare(base, {"q1": 1.0})


def test_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_out, report = tmp_path / "bm25.trec", tmp_path / "report"
    assert main(["evaluate", str(folder), "--baseline", "bm25", "--run-out", str(run_out), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["model"] == "bm25"
    assert set(printed["measures"]) == {"nDCG@10", "RR@10", "R@100", "Success@5"}
    assert read_run(run_out)["q1"]
    write_run(run_out, {"q1": {"d4": 1.0}}, tag="worse")
    arguments = ["evaluate", str(folder), "--baseline", "bm25", "--compare", str(run_out), "--report", str(report)]
    assert main([*arguments, "--measures", "nDCG@10"]) == 0
    assert "less bm25.trec" in capsys.readouterr().out
    page = (report / "index.html").read_text(encoding="utf-8")
    assert "src='data:image/png;base64," in page
    assert "mars planet" in page
    assert (report / "by-language.png").stat().st_size > 1000
    assert main([*arguments, "--measures", "nDCG@10", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["against"]["comparison"]["nDCG@10"]
    assert found["ours"] > found["theirs"] == 0
    assert main(["evaluate", str(folder), "--baseline", "bm25", "--against", "magic"]) == 2
    assert main(["evaluate", str(folder), "--baseline", "magic"]) == 2
    assert main(["evaluate", str(folder), "--measures", "Nope@3"]) == 2
    assert main(["evaluate", str(folder), "--baseline", "bm25", "--model", "x"]) == 2
    assert main(["evaluate", str(folder), "--index", "x", "--nbits", "2"]) == 2
    assert main(["evaluate", str(folder), "--recall", "2"]) == 2
    errors = capsys.readouterr().err
    assert "bm25 or dense:MODEL" in errors
    assert "Nope@3" in errors
    assert "--index is judged as it is" in errors
    assert "recall=2.0" in errors


def test_documents_are_streamed_anew(folder: Path) -> None:
    dataset: Dataset = load_dataset(folder)
    assert [d.id for d in dataset.documents()] == [d.id for d in dataset.documents()] == ["d1", "d2", "d3", "d4"]


def test_other_systems_in_the_same_table(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = Job(dataset=str(folder), measures=("RR@10",))
    assert comparison_run(job, "keyword").options.mode == "keyword"
    assert (comparison_run(job, "late:x").model, comparison_run(job, "dense:x").baseline) == ("x", "dense:x")
    path = tmp_path / "i.polyvec"
    with Index.create(path, encoder=WordEncoder()) as index:
        index.add(load_dataset(folder).documents())
    arguments = ["evaluate", str(folder), "--index", str(path), "--mode", "keyword", "--measures", "RR@10"]
    against = ["--against", "keyword", "--against", "bm25"]
    assert main([*arguments, *against, "--report", str(tmp_path / "report")]) == 0
    shown = capsys.readouterr().out
    assert "all queries, keyword" in shown
    assert "less bm25" in shown
    assert main([*arguments, *against, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["against"]
    assert found["keyword"]["RR@10"]["difference"] == 0.0
    assert found["bm25"]["RR@10"]["queries"] == 3
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "Against other systems" in page
    assert "bytes a token" in page
