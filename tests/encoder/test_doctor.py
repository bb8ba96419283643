"""The doctor finds nothing wrong with good checkpoints, and names what is wrong with bad ones; the commands around
it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from polyvec.cli.convert import convert
from polyvec.cli.doctor import doctor
from polyvec.cli.encode import encode
from polyvec.encoder import Encoder
from polyvec.encoder.doctor import examine
from polyvec.errors import InputError, StorageError
from tests.encoder.toy_checkpoints import make_jina, make_plain, make_pylate, make_stanford

MAKERS = {"jina": make_jina, "stanford": make_stanford, "pylate": make_pylate, "plain": make_plain}


@pytest.mark.parametrize("kind", MAKERS)
def test_good_checkpoints_pass(tmp_path: Path, kind: str) -> None:
    MAKERS[kind](tmp_path / "m")
    report = examine(Encoder(tmp_path / "m"))
    assert report.ok, report.checks
    facts = {fact.what: fact for fact in report.facts}
    assert kind in facts["checkpoint"].value
    if kind in ("jina", "stanford"):
        assert facts["document length"].source == "artifact.metadata"


def test_a_model_in_training_passes_too(tmp_path: Path) -> None:
    make_jina(tmp_path / "m", heads=(16, 8))
    encoder = Encoder(tmp_path / "m", backend="torch")
    assert not encoder.model.training
    encoder.model.train()
    assert examine(encoder).ok


def failed(encoder: Encoder) -> set[str]:
    return {check.what for check in examine(encoder).checks if not check.ok}


def test_a_split_marker_is_found(tmp_path: Path) -> None:
    make_stanford(tmp_path / "m")
    encoder = Encoder(tmp_path / "m", backend="torch")
    encoder._tokens._backend = type(encoder._tokens._backend).from_str(
        json.dumps({**json.loads(encoder._tokens._backend.to_str()), "added_tokens": []})
    )
    assert {"the query marker is in its place", "the document marker is in its place"} <= failed(encoder)


def test_a_changed_projection_is_found(tmp_path: Path) -> None:
    make_jina(tmp_path / "m")
    encoder = Encoder(tmp_path / "m", backend="torch")
    forward = encoder._forward
    project = forward._project
    forward._project = lambda hidden, ids: project(hidden, ids).roll(1, -1)  # type: ignore[method-assign]
    assert "the projection is the checkpoint's" in failed(encoder)


def test_mask_tokens_handled_the_other_way_round_are_found(tmp_path: Path) -> None:
    make_jina(tmp_path / "m")
    encoder, other = Encoder(tmp_path / "m"), Encoder(tmp_path / "m", attend_to_mask=False)
    encoder._tokens = other._tokens
    assert failed(encoder) == {"queries are padded as the settings say"}


def test_vectors_that_are_not_numbers_are_found(tmp_path: Path) -> None:
    make_jina(tmp_path / "m")
    encoder = Encoder(tmp_path / "m", backend="torch")
    with torch.no_grad():
        encoder.model[1].linear.weight.fill_(float("nan"))
    assert "every vector has length 1" in failed(encoder)


def test_doctor_command(tmp_path: Path) -> None:
    make_jina(tmp_path / "m", heads=(16, 8))
    result = CliRunner().invoke(doctor, [str(tmp_path / "m"), "--dim", "8", "--json"], standalone_mode=False)
    assert result.return_value == 0
    report = json.loads(result.stdout)
    assert report["ok"]
    assert any("in use 8" in fact["value"] for fact in report["facts"])
    text = CliRunner().invoke(doctor, [str(tmp_path / "m")], standalone_mode=False)
    assert "✓" in text.output
    assert "! documents are cut at 300 tokens" in text.output


def test_convert_command(tmp_path: Path) -> None:
    make_jina(tmp_path / "m", heads=(16, 8))
    make_plain(tmp_path / "plain")
    for layout, source in (("native", "m"), ("pylate", "m"), ("rotary", "plain")):
        out = tmp_path / layout
        arguments = [str(tmp_path / source), str(out), "--to", layout, "--json"]
        result = CliRunner().invoke(convert, arguments, standalone_mode=False)
        assert result.exception is None, result.exception
        assert json.loads(result.stdout)["layout"] == layout
        Encoder(out)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_encode_command(tmp_path: Path, suffix: str) -> None:
    make_jina(tmp_path / "m")
    rows = [{"id": "a", "text": "hello world"}, {"id": "ü", "text": "light", "title": "what is"}]
    (tmp_path / "docs.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    out = tmp_path / f"vectors{suffix}"
    arguments = [str(tmp_path / "docs.jsonl"), str(out), "--model", str(tmp_path / "m"), "--json"]
    result = CliRunner().invoke(encode, arguments, standalone_mode=False)
    assert result.exception is None, result.exception
    arrays, ids = read(out)
    expected = Encoder(tmp_path / "m").encode_document(["hello world", "what is light"])
    np.testing.assert_allclose(arrays["vectors"], np.concatenate(expected), atol=1e-5)
    assert arrays["doclens"].tolist() == [len(vectors) for vectors in expected]
    assert ids == ["a", "ü"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["docs.jsonl", "m", out.name])


def read(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive), archive["ids"].tolist()
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["ids"])  # noqa: SIM118


def test_encode_refuses_what_it_cannot_write(tmp_path: Path) -> None:
    for name, error in (("x.txt", InputError), ("gone/x.npz", StorageError)):
        arguments = [str(tmp_path / "docs.jsonl"), str(tmp_path / name)]
        assert isinstance(CliRunner().invoke(encode, arguments, standalone_mode=False).exception, error)
