"""The doctor finds nothing wrong with good checkpoints, and names what is wrong with bad ones; the commands around
it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from polyvec.cli.convert import convert
from polyvec.cli.doctor import doctor
from polyvec.cli.encode import encode
from polyvec.encoder import Encoder
from polyvec.encoder import doctor as doctor_module
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


@pytest.mark.parametrize("kind", MAKERS)
def test_every_backend_describes_a_model_in_the_same_words(tmp_path: Path, kind: str) -> None:
    MAKERS[kind](tmp_path / "m")
    native, stock = Encoder(tmp_path / "m", backend="native"), Encoder(tmp_path / "m", backend="torch")
    assert native.description == stock.description
    assert native.description.parameters > 1000


def test_without_torch_it_says_what_was_not_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_jina(tmp_path / "m")
    whole = examine(Encoder(tmp_path / "m"))
    monkeypatch.setattr(doctor_module, "torch_is_installed", lambda: False)
    encoder = Encoder(tmp_path / "m", backend="native")
    monkeypatch.setattr(Encoder, "model", property(lambda _: pytest.fail("torch was used")))
    report = examine(encoder)
    assert (report.facts, report.unusual, report.checks) == (whole.facts, whole.unusual, whole.checks[:-2])
    assert whole.left_out is None
    assert "polyvec[torch]" in str(report.left_out)
    assert json.loads(json.dumps(report.to_dict()))["left_out"] == report.left_out
    result = CliRunner().invoke(doctor, [str(tmp_path / "m")], standalone_mode=False)
    assert "Not checked without torch: the projection" in " ".join(result.output.split())


WITHOUT_TORCH = """
import sys
for name in ("torch", "transformers", "sentence_transformers"):
    sys.modules[name] = None
from polyvec.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_commands_without_torch(tmp_path: Path) -> None:
    make_jina(tmp_path / "jina")
    make_plain(tmp_path / "plain")
    Encoder(tmp_path / "jina", backend="torch").save(tmp_path / "saved")

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", WITHOUT_TORCH, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    assert run("doctor", "jina", "--json").returncode == 0
    packed = run("convert", "saved", "packed", "--to", "packed", "--json")
    assert packed.returncode == 0, packed.stderr
    assert run("doctor", "packed").returncode == 0
    for arguments in (
        ("convert", "jina", "out"),
        ("convert", "jina", "out", "--to", "packed"),
        ("convert", "saved", "out", "--to", "pylate"),
        ("convert", "plain", "out", "--to", "rotary"),
        ("doctor", "jina", "--backend", "torch"),
    ):
        refused = run(*arguments)
        assert refused.returncode == 1, refused.stderr
        last = refused.stderr.splitlines()[-1]
        assert "needs torch" in last, last
        assert "pip install 'polyvec[torch]'" in last, last
        assert not (tmp_path / "out").exists()


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
