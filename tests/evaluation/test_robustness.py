"""Datasets as people type them: what changes, what stays, and what the command says of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from polyvec.cli import main
from polyvec.data.perturbations import PERTURBATIONS
from polyvec.errors import InputError
from polyvec.evaluation.dataset import load_dataset
from polyvec.evaluation.job import Job
from polyvec.evaluation.robustness import count_changed, perturbations, perturbed_dataset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "rivers"
    (folder / "qrels").mkdir(parents=True)
    corpus = [("d1", "Der größte Fluß Europas ist die Wolga.", "de"), ("d2", "The Amazon is the largest river.", "en")]
    queries = [
        ("q1", "Welcher Fluß ist der größte?", "de"),
        ("q2", "What is the largest river?", "en"),
        ("q3", "nothing", "en"),
    ]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        lines = [json.dumps({"_id": i, "text": text, "lang": lang}) for i, text, lang in rows]
        (folder / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td2\t1\n", encoding="utf-8")
    return folder


def test_names() -> None:
    assert perturbations("upper, typos,upper") == ("upper", "typos")
    assert perturbations("all,documents:upper") == (*PERTURBATIONS, "documents:upper")
    for wrong in ("", "shout", "upper,", "documents:", "documents:all"):
        with pytest.raises(InputError, match="expected upper"):
            perturbations(wrong)
    with pytest.raises(InputError, match="expected one kind"):
        Job(dataset="x", perturb="upper,lower")


@pytest.mark.parametrize("kind", [*PERTURBATIONS, *(f"documents:{one}" for one in PERTURBATIONS)])
def test_ids_and_judgments_stay_and_a_run_repeats_itself(folder: Path, kind: str) -> None:
    before = load_dataset(folder)
    first, second = (perturbed_dataset(before, kind) for _ in range(2))
    assert first.qrels == before.qrels
    assert [query.id for query in first.queries] == [query.id for query in before.queries]
    assert [(one.id, one.metadata) for one in first.documents()] == [
        (one.id, one.metadata) for one in before.documents()
    ]
    assert [query.text for query in first.queries] == [query.text for query in second.queries]
    assert [one.text for one in first.documents()] == [one.text for one in second.documents()]
    of_documents = kind.startswith("documents:")
    assert ([query.text for query in first.queries] == [query.text for query in before.queries]) or not of_documents
    assert ([one.text for one in first.documents()] == [one.text for one in before.documents()]) or of_documents
    assert count_changed(before, first) == count_changed(before, second)
    assert (count_changed(before, first) == 0) == kind.endswith("latin")


def test_changes_know_the_language(folder: Path) -> None:
    upper = perturbed_dataset(load_dataset(folder), "upper")
    assert [query.text for query in upper.judged_queries()] == [
        "WELCHER FLUSS IST DER GRÖSSTE?",
        "WHAT IS THE LARGEST RIVER?",
    ]
    assert count_changed(load_dataset(folder), upper) == 2
    plain = perturbed_dataset(load_dataset(folder), "documents:noaccents")
    assert next(iter(plain.documents())).text in (
        "Der groesste Fluss Europas ist die Wolga.", "Der grosste Fluss Europas ist die Wolga."
    )  # fmt: skip


def test_the_command_says_both(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", str(folder), "--dim", "32", "--perturb", "upper,documents:upper,latin", "--against", "keyword"]
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert list(found["perturbed"]) == ["upper", "latin", "documents:upper"]
    assert found["perturbed"]["upper"]["changed"] == 2
    assert found["perturbed"]["latin"] == {
        "changed": 0, **{name: found[name] for name in ("measures", "macro", "by_lang")}
    }  # fmt: skip
    assert set(found["perturbed"]["documents:upper"]["by_lang"]) == {"de", "en"}
    assert main([*words, "--report", str(tmp_path / "report")]) == 0
    printed = capsys.readouterr().out
    assert "as people type" in printed
    assert "texts changed" in printed
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "As people type: nDCG@10" in page


def test_an_index_that_is_there_keeps_its_documents(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["evaluate", str(folder), "--index", "x.polyvec", "--perturb", "documents:upper"])
    assert code != 0
    assert "stay as they are" in capsys.readouterr().err
