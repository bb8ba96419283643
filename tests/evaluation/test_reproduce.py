"""Lists of results run again, written anew and drawn as a page; sweeps that share encodings and indexes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polyvec import Encoder
from polyvec.cli import main
from polyvec.cli.evaluate import job_of
from polyvec.data import read_documents
from polyvec.encoder import Encoded
from polyvec.errors import InputError
from polyvec.evaluation import job as job_module
from polyvec.evaluation.ablation import parse_probing
from polyvec.evaluation.encodings import Encodings
from polyvec.evaluation.reproduce import read_expected, rerun
from tests.conftest import WordEncoder
from tests.evaluation.test_evaluation import folder  # noqa: F401  # the dataset of planets

BM25 = "polyvec evaluate DATA/planets --baseline bm25 --measures R@100"
ENTRY = """[[result]]
name = "{name}"
command = "{command}"
dataset = "planets"
measure = "R@100"
value = {value}
tolerance = 0.001
"""


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Encodings of words instead of a model's; what went through the model is listed."""
    seen: list[str] = []

    class Words:
        def __init__(self, model: str | None) -> None:
            self.kept: dict[tuple[int, float], Any] = {}

        def encoder(self, dim: int | None, pool_factor: float) -> Any:
            seen.append(f"{dim} {pool_factor:g}")
            return WordEncoder(dim or 16)

    monkeypatch.setattr(job_module, "Encodings", Words)
    return seen


def test_runs_compares_and_passes_over(folder: Path, tmp_path: Path) -> None:  # noqa: F811
    expected = tmp_path / "expected.toml"
    expected.write_text(
        ENTRY.format(name="planets: right", command=BM25, value="0.666667")
        + "languages = { en = 0.5, fr = 1.0 }\n"
        + ENTRY.format(name="planets: wrong", command=BM25, value="0.5")
        + ENTRY.format(name="planets: wrong in one language", command=BM25, value="0.666667")
        + "languages = { en = 0.9, fr = 1.0, de = 0.1 }\n"
        + ENTRY.format(name="planets: absent", command=BM25.replace("planets", "nowhere"), value="0.5")
        + ENTRY.format(name="planets: broken", command=BM25.replace("bm25", "magic"), value="0.5")
        + ENTRY.format(name="theirs", command="polyvec evaluate irds:x", value="0.5")
        + "published = true\n"
        + ENTRY.format(name="planets: slow", command=BM25, value="0.5")
        + "slow = true\n",
        encoding="utf-8",
    )
    entries = read_expected(expected).entries
    outcomes = list(rerun(entries, folder.parent, job_of))
    assert [one.state for one in outcomes] == ["same", "off", "off", "passed over", "off", *["passed over"] * 2]
    assert "off by +0.1667" in outcomes[1].note
    assert outcomes[2].note == "en: 0.9000 expected, 0.5000 found; de: 0.1000 expected, nothing found"
    assert "bm25 or dense:MODEL" in outcomes[4].note
    assert [one.state for one in rerun(entries[:1], None, job_of)] == ["passed over"]
    assert main(["reproduce", str(expected), "--data", str(folder.parent), "--only", "right"]) == 0
    assert main(["reproduce", str(expected), "--data", str(folder.parent), "--only", "wrong"]) == 1
    assert main(["reproduce", str(expected), "--data", str(folder.parent), "--only", "slow"]) == 0
    assert main(["reproduce", str(expected), "--data", str(folder.parent), "--only", "slow", "--all"]) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[result]]\nname = "a"\ntypo = 1\n', "typo"),
        ("nothing = 1", "result"),
        (ENTRY.format(name="a", command="rm -rf x", value=1), "begins with `polyvec evaluate`"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    expected = tmp_path / "expected.toml"
    expected.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        list(rerun(read_expected(expected).entries, None, job_of))


def test_update_writes_values_and_the_page(
    folder: Path,  # noqa: F811
    tmp_path: Path,
    words: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    expected, page = tmp_path / "expected.toml", tmp_path / "results.md"
    late = "polyvec evaluate DATA/planets --measures R@100 --dim 32 --nbits 2"
    published = ENTRY.format(name="theirs", command="polyvec evaluate irds:x", value="0.531") + "published = true\n"
    expected.write_text(
        "# A comment that stays.\n\n"
        + ENTRY.format(name="planets: BM25", command=BM25, value="0.0")
        + ENTRY.format(name="planets: late", command=late, value="0.0").replace("value = 0.0\n", "")
        + ENTRY.format(
            name="planets: keyword", command=late.split(" --dim", maxsplit=1)[0] + " --mode keyword", value="0.0"
        )
        + published,
        encoding="utf-8",
    )
    arguments = ["reproduce", str(expected), "--data", str(folder.parent)]
    assert main([*arguments, "--json"]) == 1
    assert list(words) == ["None 1"], "what has no value yet is not run"
    words.clear()
    assert {one["state"] for one in json.loads(capsys.readouterr().out)} == {"off", "passed over"}
    assert main([*arguments, "--update", "--page", str(page)]) == 0
    assert list(words) == ["32 1"], "one index for both ways to search it"
    assert main([*arguments, "--json"]) == 0
    file = read_expected(expected)
    assert file.comment == "# A comment that stays."
    assert set(file.about) == {"model", "machine", "polyvec"}
    by_name = {entry.name: entry for entry in file.entries}
    assert by_name["planets: late"].value == 1.0
    assert by_name["planets: late"].languages == {"en": 1.0, "fr": 1.0}
    assert by_name["planets: late"].against["difference"] == pytest.approx(1 / 3, abs=1e-4)
    assert by_name["planets: late"].bytes_per_token > 8
    assert by_name["planets: BM25"].value == pytest.approx(2 / 3, abs=1e-4)
    assert by_name["theirs"].value == 0.531
    text = page.read_text(encoding="utf-8")
    assert "| planets | 0.6667 | 1.0000 |" in text
    assert "`polyvec evaluate DATA/SET --measures R@100 --dim 32 --nbits 2`" in text
    assert "| planets | +0.3333 |" in text
    assert "| theirs | R@100 | 0.531 |" in text


def test_the_sweep(folder: Path, tmp_path: Path, words: list[str]) -> None:  # noqa: F811
    out = tmp_path / "ablation"
    arguments = ["ablate", str(folder), "--out", str(out), "--dims", "16 32", "--nbits", "1 16", "--measure", "RR@10"]
    assert main([*arguments, "--pool-factors", "1 2", "--probings", "exact 4 4:8 0.9"]) == 0
    rows = [json.loads(line) for line in (out / "ablation.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 2 * 2 * 2 * 4
    assert words == [f"{dim} {pool}" for dim in (16, 32) for pool in (1, 2) for _ in (1, 16)], (
        "an index a size, no more"
    )
    assert {(row["dim"], row["nbits"], row["probing"]) for row in rows} >= {(16, 1, "exact"), (32, 16, "0.9")}
    sizes = {(row["dim"], row["nbits"]): row["bytes_per_token"] for row in rows}
    assert sizes[16, 1] < sizes[16, 16] < sizes[32, 16]
    assert (out / "ablation.md").read_text(encoding="utf-8").count("\n") == len(rows) + 2
    for name in ("quality-token.png", "quality-bytes.png", "quality-time.png"):
        assert (out / name).stat().st_size > 1000
    assert main([*arguments, "--probings", "sometimes"]) == 2
    with pytest.raises(InputError, match="expected exact, a number of centroids"):
        parse_probing("three", 10)
    with pytest.raises(InputError, match=r"recall=1\.5: expected a share"):
        parse_probing("1.5", 10)


TASKS = {"stream_documents": "document", "stream_queries": "query"}


def test_encodings_are_those_of_the_plain_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """One forward pass a head for all poolings, and the vectors that each encoder alone would make."""
    corpus = Path(job_module.__file__).parents[1] / "demo" / "corpus"
    texts = [document.text[:120] for document in read_documents(corpus)][::60]
    shared = Encodings(None)
    found: dict[tuple[int | None, float, str], list[Encoded]] = {}
    passed: list[str] = []
    settings = ((None, 1.0), (128, 1.0), (64, 1.0), (64, 2.0))
    with monkeypatch.context() as noted:
        for task in TASKS:
            noted.setattr(Encoder, task, _noting(getattr(Encoder, task), passed))
        for dim, pool_factor in settings:
            for task in TASKS:
                found[dim, pool_factor, task] = list(getattr(shared.encoder(dim, pool_factor), task)(texts))
    assert passed == 2 * [*texts, *texts], "as documents and as queries for each of two heads, and never again"
    for dim, pool_factor in settings:
        view, plain = shared.encoder(dim, pool_factor), Encoder(dim=dim, pool_factor=pool_factor)
        assert (view.dim, view.fingerprint, view.settings()) == (plain.dim, plain.fingerprint, plain.settings())
        alone = Encoder(dim=dim)
        for task, role in TASKS.items():
            kept = found[dim, pool_factor, task]
            for ours, unpooled in zip(kept, getattr(alone, task)(texts), strict=True):
                theirs = plain.pool(unpooled, role)
                np.testing.assert_allclose(ours.vectors, theirs.vectors, atol=1e-5)
                assert np.array_equal(ours.token_ids, theirs.token_ids)
    pooled = found[64, 2.0, "stream_documents"]
    assert sum(len(one.vectors) for one in pooled) < sum(len(one.vectors) for one in found[64, 1.0, "stream_documents"])


def _noting(encode: Any, passed: list[str]) -> Any:
    def noting(self: Encoder, texts: list[str], **settings: Any) -> Any:
        passed.extend(texts)
        return encode(self, texts, **settings)

    return noting
