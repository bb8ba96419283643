"""The vocabulary that is learned, and the model that stage start makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from polyvec import Encoder
from polyvec.errors import InputError
from polyvec.training.associations import associations, token_matrix
from polyvec.training.recipe import as_recipe
from polyvec.training.starting import start
from polyvec.training.student import Student
from polyvec.training.vocabulary import SPECIAL, balanced, train_vocabulary
from tests.encoder.toy_checkpoints import bert
from tests.training.conftest import write_rows

TEXTS = [
    "plants turn light into sugar",
    "растения превращают свет в сахар",
    "النباتات تحول الضوء إلى سكر",
    "พืชเปลี่ยนแสงเป็นน้ำตาล",
    "植物把光变成糖",
    "पौधे प्रकाश को चीनी में बदलते हैं",
] * 5


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_vocabulary(TEXTS, 500, max_length=64)


def test_markers_and_mask_are_pieces_of_their_own(tokenizer: Any) -> None:
    assert tokenizer.convert_ids_to_tokens(list(range(len(SPECIAL)))) == SPECIAL
    assert tokenizer.mask_token == "<mask>"
    ids = tokenizer("[QueryMarker] light <mask>")["input_ids"]
    for token in ("<s>", "[QueryMarker]", "<mask>", "</s>"):
        assert ids.count(SPECIAL.index(token)) == 1
    assert ids[:2] == [0, SPECIAL.index("[QueryMarker]")]
    assert len(tokenizer) <= 500


def test_no_script_is_left_out_and_the_rest_falls_back_to_bytes(tokenizer: Any) -> None:
    unknown, first_byte = SPECIAL.index("<unk>"), len(SPECIAL)
    for text in dict.fromkeys(TEXTS):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert min(ids) >= first_byte + 256  # learned pieces alone
    ids = tokenizer("light 🜚", add_special_tokens=False)["input_ids"]
    assert unknown not in ids
    spelled = [tokenizer.convert_ids_to_tokens(i) for i in ids if first_byte <= i < first_byte + 256]
    assert spelled[-4:] == [f"<0x{byte:02X}>" for byte in "🜚".encode()]
    assert tokenizer.decode(ids).strip() == "light 🜚"


def test_the_same_text_gives_the_same_pieces(tokenizer: Any) -> None:
    assert train_vocabulary(TEXTS, 500, max_length=64).get_vocab().keys() == tokenizer.get_vocab().keys()


def test_a_sample_is_balanced_over_languages() -> None:
    texts = [("en", "a" * 10)] * 1000 + [("sw", "b" * 10)] * 10
    shares = {}
    for power in (0.0, 1.0):
        sample = "".join(balanced(texts, 2000, power=power, seed=0))
        shares[power] = sample.count("b") / len(sample)
    assert shares[1.0] == pytest.approx(0.01, abs=0.01)
    assert shares[0.0] == pytest.approx(100 / 1100, abs=0.02)  # all it has, beside its equal share of English
    with pytest.raises(InputError, match="no text"):
        balanced([], 10, power=1, seed=0)


def test_pieces_that_translate_each_other_are_associated(tokenizer: Any) -> None:
    english = ["light", "sugar", "plants"] * 8
    foreign = ["свет", "сахар", "растения"] * 8
    weights, clearness = associations(token_matrix(tokenizer, foreign), token_matrix(tokenizer, english))
    for left, right in zip(foreign[:3], english[:3], strict=True):
        pieces = tokenizer(left, add_special_tokens=False)["input_ids"]
        wanted = set(tokenizer(right, add_special_tokens=False)["input_ids"])
        own = [piece for piece in pieces if clearness[piece] > 0.99]  # not shared with another of the words
        assert own
        for piece in own:
            row = weights[piece]
            assert wanted >= {int(c) for c, w in zip(row.indices, row.data, strict=True) if w > 0.3}
            assert row.sum() == pytest.approx(1.0, abs=1e-5)


def test_the_model_that_start_makes(world: Path) -> None:
    student = Student(world / "model")
    assert student.heads.sizes == [8, 16]
    widest = student.heads.head(16).weight.detach()
    torch.testing.assert_close(widest @ widest.T, torch.eye(16), rtol=0, atol=1e-4)  # main directions
    torch.testing.assert_close(student.heads.head(8).weight, widest[:8])
    assert not any("position" in name for name, _ in student.backbone.named_parameters())  # rotary
    encoder = Encoder(world / "model", dim=8)
    vectors = encoder.encode_query("licht welt")
    assert vectors.shape[1] == 8
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)


def test_absolute_positions_are_kept_where_the_recipe_says_so(world: Path, tmp_path: Path) -> None:
    def made(name: str, **model: Any) -> Path:
        settings = {"start": str(world / "teacher"), "teacher": str(world / "teacher"), "heads": [8, 16], **model}
        values = {"stage": "start", "output": str(tmp_path / name), "model": settings}
        values["vocabulary"] = {"size": 420, "characters": 100_000}
        start(as_recipe({**values, "data": [{"path": str(world / "parallel.jsonl"), "kind": "parallel"}]}))
        return tmp_path / name

    student = Student(made("absolute", positions="absolute", max_length=256, document_length=32))
    old = bert()[0].state_dict()
    for name in ("embeddings.position_embeddings.weight", "encoder.layer.1.attention.self.query.weight"):
        torch.testing.assert_close(student.backbone.state_dict()[name], old[name])
    student.save(tmp_path / "saved")
    texts = ["licht welt", "zucker"]
    here, there = (Encoder(tmp_path / name).encode_document(texts) for name in ("absolute", "saved"))
    for one, other in zip(here, there, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)
    with pytest.raises(InputError, match="has 256 absolute positions"):
        made("longer", positions="absolute", max_length=257)


@pytest.mark.parametrize(
    ("data", "progress"),
    [
        ([{"path": "HERE", "kind": "joined"}], "takes data of kind"),
        ([{"path": "HERE", "kind": "pairs"}], "row 1: document is missing"),
        ([{"path": "HERE", "kind": "text", "languages": ["th"]}], "no text to learn"),
        ([{"path": "NOWHERE", "kind": "text"}], "no such file"),
    ],
)
def test_bad_data(world: Path, tmp_path: Path, data: list[dict[str, Any]], progress: str) -> None:
    path = write_rows(tmp_path / "a.jsonl", [{"lang": "de", "text": "licht", "query": "licht"}])
    data[0]["path"] = data[0]["path"].replace("NOWHERE", str(tmp_path / "no.jsonl")).replace("HERE", str(path))
    model = {"start": str(world / "teacher"), "teacher": str(world / "teacher")}
    with pytest.raises(InputError, match=progress):
        start(as_recipe({"stage": "start", "output": str(tmp_path / "out"), "model": model, "data": data}))
    assert not (tmp_path / "out").exists()
