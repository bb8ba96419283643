"""The `polyvec` command on real files with the real default model: results, exit codes, one-line errors."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest

from polyvec.cli import main
from polyvec.data.files import zstandard

ROWS = [
    {"_id": "tea", "title": "Tea", "text": "Green and black tea come from the leaves of the same plant.", "lang": "en"},
    {
        "_id": "bread",
        "title": "Bread",
        "text": "Yeast makes bread dough rise by giving off carbon dioxide.",
        "lang": "en",
    },
    {"_id": "moon", "title": "Mond", "text": "Der Mond wendet der Erde immer dieselbe Seite zu.", "lang": "de"},
]


class Ran:
    """What one command printed and returned."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def one_line_error(self, code: int) -> str:
        assert self.code == code, (self.code, self.out, self.err)
        assert self.out == ""
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("polyvec: ")
        assert "Traceback" not in self.err
        return lines[0]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    def call(*arguments: object, stdin: str | bytes | None = None) -> Ran:
        if stdin is not None:
            data = stdin if isinstance(stdin, bytes) else stdin.encode()
            monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call


def lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    (folder / "docs.jsonl").write_bytes(lines(ROWS))
    assert main(["index", str(folder / "docs.jsonl"), str(folder / "i.polyvec"), "--json"]) == 0
    return folder / "i.polyvec"


def test_search_finds_and_reports_json(run: Any, indexed: Path) -> None:
    answer = run("search", indexed, "why does dough get bigger?", "--json", "--explain", "-k", 2).json
    assert answer["hits"][0]["id"] == "bread"
    hit = answer["hits"][0]
    assert set(hit) == {"id", "score", "normalized_score", "rank", "text", "metadata", "explanation"}
    assert hit["metadata"] == {"title": "Bread", "lang": "en"}
    assert sum(m["similarity"] for m in hit["explanation"]["matches"]) == pytest.approx(hit["score"], rel=5e-3)


def test_scores_on_the_command_line(run: Any, indexed: Path) -> None:
    question = ("search", indexed, "yeast makes dough rise", "--json")
    every = run(*question).json["hits"]
    assert all(0 <= hit["normalized_score"] <= 1 for hit in every)
    least = every[0]["normalized_score"]
    assert [hit["id"] for hit in run(*question, "--min-score", least).json["hits"]] == [every[0]["id"]]
    hybrid = run(*question, "--mode", "hybrid", "--fusion", "weight", "--weight", 0.3).json["hits"]
    assert hybrid[0]["id"] == "bread"
    assert hybrid[0]["ranks"] == {"late": 1, "keyword": 1}
    assert 0.3 * hybrid[0]["normalized_score"] < hybrid[0]["score"] <= 0.3 * hybrid[0]["normalized_score"] + 0.7
    assert "late #1" in run("search", indexed, "yeast makes dough rise", "--mode", "hybrid").out
    assert "min_score" in run(*question, "--mode", "keyword", "--min-score", 0.5).one_line_error(2)


def test_repair_encodes_what_was_damaged(run: Any, tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_bytes(lines(ROWS))
    run("index", tmp_path / "d.jsonl", tmp_path / "i.polyvec", "--json")
    assert run("repair", tmp_path / "i.polyvec", "--json").json == {
        "actions": [], "encoded": 0, "lost": [], "altered": [], "moved": [],
    }  # fmt: skip
    next((tmp_path / "i.polyvec" / "segments").glob("*.seg")).unlink()
    assert run("search", tmp_path / "i.polyvec", "yeast").one_line_error(1)
    ran = run("repair", tmp_path / "i.polyvec")
    assert "3 documents encoded again" in ran.out, ran.err
    assert run("verify", tmp_path / "i.polyvec").code == 0
    assert run("search", tmp_path / "i.polyvec", "yeast", "--json").json["hits"][0]["id"] == "bread"


def test_search_prints_for_people(run: Any, indexed: Path) -> None:
    ran = run("search", indexed, "which drink comes from leaves?", "--explain")
    assert ran.code == 0
    assert "Tea" in ran.out
    assert "Green and black tea" in ran.out
    assert "similarity" in ran.out


def test_queries_from_stdin_and_a_trec_run(run: Any, indexed: Path, tmp_path: Path) -> None:
    ran = run("search", indexed, "--json", "-k", 1, stdin="leaves of a plant\nthe side of the Mond\n")
    assert [json.loads(line)["hits"][0]["id"] for line in ran.out.splitlines()] == ["tea", "moon"]
    (tmp_path / "q.tsv").write_text("q7\tleaves of a plant\nq8\tyeast\n", encoding="utf-8")
    assert (
        run("search", indexed, "--queries", tmp_path / "q.tsv", "--run-out", tmp_path / "out.trec", "-k", 2).code == 0
    )
    rows = [line.split() for line in (tmp_path / "out.trec").read_text(encoding="utf-8").splitlines()]
    assert [(row[0], row[1], row[3], row[5]) for row in rows][::2] == [
        ("q7", "Q0", "1", "polyvec"),
        ("q8", "Q0", "1", "polyvec"),
    ]
    assert (rows[0][2], rows[2][2]) == ("tea", "bread")


@pytest.mark.parametrize("kind", ["jsonl.gz", "jsonl.zst", "csv", "tsv", "folder", "beir", "stdin"])
def test_every_kind_of_input_is_indexed(run: Any, tmp_path: Path, kind: str) -> None:
    docs: Any = tmp_path / f"docs.{kind}"
    stdin = None
    if kind == "jsonl.gz":
        docs.write_bytes(gzip.compress(lines(ROWS)))
    elif kind == "jsonl.zst":
        docs.write_bytes(zstandard().compress(lines(ROWS)))
    elif kind in ("csv", "tsv"):
        mark = "," if kind == "csv" else "\t"
        docs.write_text(f"id{mark}text\n" + "".join(f"{r['_id']}{mark}{r['text']}\n" for r in ROWS), encoding="utf-8")
    elif kind == "folder":
        docs.mkdir()
        for row in ROWS:
            (docs / f"{row['_id']}.txt").write_text(row["text"], encoding="utf-8")
    elif kind == "beir":
        docs.mkdir()
        (docs / "corpus.jsonl").write_bytes(lines(ROWS))
    else:
        docs, stdin = "-", lines(ROWS)
    made = run("index", docs, tmp_path / "i.polyvec", "--json", stdin=stdin)
    assert made.code == 0, made.err
    assert made.json["documents"] == 3
    best = run("search", tmp_path / "i.polyvec", "yeast and dough", "-k", 1, "--json").json["hits"][0]
    assert best["id"].startswith("bread")


def test_add_update_delete_info_verify_compact(run: Any, indexed: Path, tmp_path: Path) -> None:
    more = tmp_path / "more.jsonl"
    more.write_bytes(
        lines([{"id": "snow", "text": "Snow is made of ice crystals."}, {"id": "n", "text": "One.", "n": 1}])
    )
    assert run("add", indexed, more, "--json").json["added"] == 2
    assert "snow" in run("add", indexed, more).one_line_error(2)
    assert run("update", indexed, more, "--json").json["replaced"] == 2
    assert run("delete", indexed, "snow", "nothing", "--json").json == {"deleted": 1, "unknown": 1}
    assert "1 deleted" in run("delete", indexed, "--filter", '{"n": 1}').out
    assert "either ids or --filter" in run("delete", indexed).one_line_error(2)
    assert "either ids or --filter" in run("delete", indexed, "tea", "--filter", '{"n": 1}').one_line_error(2)
    assert "every document" in run("delete", indexed, "--filter", "{}").one_line_error(2)
    assert "JSON" in run("delete", indexed, "--filter", "{").one_line_error(2)
    assert run("compact", indexed, "--json").json["size_bytes"] > 0
    assert run("verify", indexed, "--json").json == {"ok": True, "problems": []}
    facts = run("info", indexed, "--json").json
    assert (facts["documents"], facts["languages"]) == (3, {"en": 2, "de": 1})
    assert "documents" in run("info", indexed).out


def test_metadata_alone_and_a_scan(run: Any, tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_bytes(lines(ROWS))
    index = tmp_path / "i.polyvec"
    run("index", tmp_path / "d.jsonl", index)
    (tmp_path / "m.jsonl").write_bytes(lines([{"id": "tea", "year": 1999, "lang": None}, {"id": "moon", "lang": "de"}]))
    assert run("update", index, tmp_path / "m.jsonl", "--metadata-only", "--json").json == {
        "changed": 1,
        "unchanged": 1,
    }
    (tmp_path / "m.csv").write_text("id,year\nmoon,1969\nbread,\n", encoding="utf-8")
    assert "1 changed, 1 had" in run("update", index, tmp_path / "m.csv", "--metadata-only").out
    rows = [json.loads(line) for line in run("scan", index).out.splitlines()]
    assert [row["id"] for row in rows] == ["bread", "moon", "tea"]
    assert rows[2] == {"id": "tea", "text": ROWS[0]["text"], "metadata": {"title": "Tea", "year": 1999}}
    assert rows[1]["metadata"]["year"] == 1969
    few = run("scan", index, "--after", "bread", "--limit", 1, "--filter", '{"year": {"$exists": true}}').out
    assert json.loads(few)["id"] == "moon"
    again = run("index", "-", tmp_path / "again.polyvec", "--json", stdin=run("scan", index).out)
    assert again.json["documents"] == 3
    assert run("scan", tmp_path / "again.polyvec").out == run("scan", index).out
    fields = run("info", index, "--fields", "--json").json["fields"]
    assert fields["lang"]["values"] == [{"value": "de", "documents": 1}, {"value": "en", "documents": 1}]
    assert "year" in run("info", index, "--fields").out
    (tmp_path / "m.jsonl").write_bytes(lines([{"id": "nowhere", "year": 1}]))
    assert "'nowhere'" in run("update", index, tmp_path / "m.jsonl", "--metadata-only").one_line_error(2)
    assert "$x" in run("scan", index, "--filter", '{"$x": 1}').one_line_error(2)


@pytest.mark.parametrize("number", [0, 1])  # the codec, the codes
def test_verify_fails_on_a_damaged_file(run: Any, tmp_path: Path, number: int) -> None:
    (tmp_path / "d.jsonl").write_bytes(lines(ROWS))
    run("index", tmp_path / "d.jsonl", tmp_path / "i.polyvec", "--json")
    segment = sorted((tmp_path / "i.polyvec" / "segments").iterdir())[number]
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 0x10
    segment.write_bytes(data)
    ran = run("verify", tmp_path / "i.polyvec")
    assert ran.code == 1
    assert segment.name in ran.out + ran.err


def test_rerank(run: Any, tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_bytes(lines(ROWS))
    answer = run("rerank", "yeast", tmp_path / "d.jsonl", "-k", 2, "--json").json
    assert answer["hits"][0]["id"] == "bread"
    assert len(answer["hits"]) == 2


def test_rerank_a_run(run: Any, tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_bytes(lines(ROWS))
    (tmp_path / "q.tsv").write_text("q1\tyeast\nq2\tleaves of a plant\n", encoding="utf-8")
    (tmp_path / "in.trec").write_text(
        "q1 Q0 tea 1 9 bm25\nq1 Q0 bread 2 8 bm25\nq2 Q0 moon 1 2 bm25\nq2 Q0 tea 2 1 bm25\n", encoding="utf-8"
    )
    arguments = ["--run-in", tmp_path / "in.trec", "--queries", tmp_path / "q.tsv", "--run-out", "-"]
    ran = run("rerank", *arguments, tmp_path / "d.jsonl", "-k", 1)
    assert ran.code == 0, ran.err
    assert [line.split()[:3] for line in ran.out.splitlines()] == [["q1", "Q0", "bread"], ["q2", "Q0", "tea"]]
    (tmp_path / "in.trec").write_text("q1 Q0 nowhere 1 9 bm25\n", encoding="utf-8")
    assert "'nowhere'" in run("rerank", *arguments, tmp_path / "d.jsonl").one_line_error(2)
    assert "with --run-in" in run("rerank", "a", tmp_path / "d.jsonl", "--run-in", tmp_path / "in.trec").one_line_error(
        2
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"id": "a"}\n', "text"),
        (b'{"text": "a"}\n', "id"),
        (b'{"id": "a", "text": "x y"}\n{"id": "a", "text": "z"}\n', "a"),
        (b'{"id": "a", "text": "\xff\xfe"}\n', "UTF-8"),
        (b'{"id": "a", "text": "x"\n', "JSON"),
        (b'{"id": "a", "text": "   "}\n', "text"),
        (b"", "document"),
    ],
    ids=["no text", "no id", "duplicate", "broken UTF-8", "broken JSON", "blank text", "empty"],
)
def test_bad_documents_leave_nothing(run: Any, tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "bad.jsonl").write_bytes(content)
    ran = run("index", tmp_path / "bad.jsonl", tmp_path / "i.polyvec")
    assert message in ran.one_line_error(2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.jsonl"]


def test_a_huge_document_is_cut_and_reported(run: Any, tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_bytes(lines([{"id": "big", "text": "one more word " * 72_000}, ROWS[0]]))
    ran = run("index", tmp_path / "d.jsonl", tmp_path / "i.polyvec", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["truncated"] == 1
    assert run("info", tmp_path / "i.polyvec", "--json").json["truncated_documents"] == 1


def test_bad_usage(run: Any, indexed: Path, tmp_path: Path) -> None:
    assert "empty" in run("search", indexed, "   ").one_line_error(2)
    assert "nowhere" in run("search", tmp_path / "nowhere", "x").one_line_error(1)
    assert "--help" in run("search").one_line_error(2)
    assert "No such command" in run("serch").one_line_error(2)
    assert "nothing.jsonl" in run("index", tmp_path / "nothing.jsonl", tmp_path / "i").one_line_error(2)
    assert "index already" in run("index", indexed.parent / "docs.jsonl", indexed).one_line_error(1)
    assert "-k" in run("search", indexed, "x", "-k", 0).one_line_error(2)
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "catalog.sqlite").write_bytes(b"x" * 5000)
    assert "foreign" in run("info", tmp_path / "foreign").one_line_error(1)


def test_a_query_of_5000_words_is_answered_with_a_warning(
    run: Any, indexed: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ran = run("search", indexed, "yeast " * 5000, "-k", 1, "--json")
    assert ran.code == 0, ran.err
    assert ran.json["hits"][0]["id"] == "bread"
    assert any("queries" in record.message for record in caplog.records) or "queries" in ran.err
