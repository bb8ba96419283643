"""Measuring oneself: the audit compares with what exact search finds, and the bench command reports every result."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from polyvec import Index
from polyvec.bench.audit import AuditQuery, audit, stretches
from polyvec.bench.machine import QUERY_TOKENS, bench, clustered_vectors
from polyvec.cli import main
from polyvec.errors import InputError
from polyvec.scoring import maxsim_packed
from tests.conftest import WordEncoder

DOCUMENTS = 900


@pytest.fixture(scope="module")
def index_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bench") / "vectors.polyvec"
    tokens, offsets, _ = clustered_vectors(DOCUMENTS, seed=3)
    with Index.create(path, dim=tokens.shape[1], nbits=4) as index:
        index.add_vectors(map(str, range(DOCUMENTS)), np.split(tokens, offsets[1:-1]))
        index.compact()
    return path


def test_clustered_vectors_are_unit_rows_and_queries_find_their_documents() -> None:
    tokens, offsets, queries = clustered_vectors(300, seed=1)
    assert tokens.dtype == np.float32
    assert len(tokens) == offsets[-1]
    assert len(offsets) == 301
    for rows in (tokens, *queries):
        assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    best = [int(maxsim_packed(query, tokens, offsets).argmax()) for query in queries]
    assert len(set(best)) > 60  # 100 draws with replacement from 300 documents
    scores = [maxsim_packed(query, tokens, offsets).max() for query in queries]
    assert min(scores) > 0.8 * QUERY_TOKENS  # the document that a query was made from holds each of its tokens
    again = clustered_vectors(300, seed=1)
    assert np.array_equal(tokens, again[0])
    assert not np.array_equal(tokens, clustered_vectors(300, seed=2)[0])


def test_stretches_are_cut_from_live_documents(index_path: Path, tmp_path: Path) -> None:
    queries = stretches(index_path, count=50, seed=1)
    assert len({query.own for query in queries}) == 50
    assert all(query.vectors.shape == (QUERY_TOKENS, 128) for query in queries)
    tokens, offsets, _ = clustered_vectors(DOCUMENTS, seed=3)
    for query in queries[:5]:
        first = int(offsets[int(query.own or "")])
        cosines = (query.vectors * tokens[first : first + QUERY_TOKENS]).sum(axis=1)
        assert cosines.min() > 0.97  # what 4 bits keep of the vectors
    with Index.create(tmp_path / "small.polyvec", dim=4, nbits=4) as small:
        small.add_vectors(["a", "b", "c"], np.eye(4, dtype=np.float32)[:3, None])
        small.delete(["b"])
    assert {query.own for query in stretches(tmp_path / "small.polyvec")} == {"a", "c"}


def test_audit_compares_with_exact_search(index_path: Path) -> None:
    queries = stretches(index_path, count=20)
    with Index.open(index_path) as index:
        lines = list(audit(index, queries, k=5, threads=1))
        assert [line["setting"] for line in lines[:2]] == ["exact", "defaults"]
        assert lines[0]["overlap@5"] == 1
        curve = [line for line in lines if line["setting"].startswith("nprobe=")]
        assert len(curve) >= 5
        assert curve[-1]["overlap@5"] == 1  # every document is a candidate
        assert curve[0]["overlap@5"] <= curve[-1]["overlap@5"]
        for line in lines:
            assert line["documents"] == DOCUMENTS
            assert line["queries"] == 20
            assert 0 < line["p50_ms"] <= line["p95_ms"]


def test_audit_counts_what_a_setting_misses(index_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queries = stretches(index_path, count=5)
    with Index.open(index_path) as index:
        search = index.search_vectors

        def half(query, *, options, threads):  # type: ignore[no-untyped-def]
            hits = search(query, options=options, threads=threads)
            return hits if options.exact else hits[::2]

        monkeypatch.setattr(index, "search_vectors", half)
        lines = list(audit(index, queries, k=10))
    assert lines[0]["overlap@10"] == 1
    assert all(line["overlap@10"] <= 0.6 for line in lines[1:])


def test_audit_without_queries_says_so(index_path: Path) -> None:
    with Index.open(index_path) as index, pytest.raises(InputError, match="no queries"):
        list(audit(index, []))


def test_queries_of_ones_own_keep_every_hit(tmp_path: Path) -> None:
    vectors = np.eye(8, dtype=np.float32)
    with Index.create(tmp_path / "eye.polyvec", dim=8, nbits=16) as index:
        index.add_vectors(map(str, range(8)), vectors[:, None])
        lines = list(audit(index, [AuditQuery(vectors[:2])], k=3))
    assert {line["overlap@3"] for line in lines} == {1.0}


def test_bench_measures_the_model_and_the_engine(tmp_path: Path, encoder: WordEncoder) -> None:
    lines = list(bench(tmp_path, encoder=encoder, documents=450))
    kinds = [line["benchmark"] for line in lines]
    assert kinds[:3] == ["machine", "index texts", "search texts"]
    assert kinds.count("index vectors") == 2
    assert lines[1]["documents"] == 280
    assert 0 < lines[2]["nDCG@10 same language"] < 1  # equal words only: some questions share none with their passage
    found = {line["nbits"]: line["overlap@10"] for line in lines if line["benchmark"] == "search vectors"}
    assert found[4] > found[2] > 0.5
    sizes = {line["nbits"]: line["bytes_per_token"] for line in lines if line["benchmark"] == "index vectors"}
    assert sizes[2] < sizes[4]


def test_the_command_audits_an_index(index_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--audit", str(index_path), "-k", "5", "--threads", "1"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0]["setting"] == "exact"
    assert {line["k"] for line in lines} == {5}


def test_the_command_refuses_questions_without_an_index(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["bench", "--queries", str(tmp_path / "q.txt")]) == 2
    assert "--audit" in capsys.readouterr().err
    assert main(["bench", "--audit", str(tmp_path / "none.polyvec")]) == 1
    assert "none.polyvec" in capsys.readouterr().err
