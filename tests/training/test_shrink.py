"""A vocabulary taken over in part, and a student that stands for some of an encoder's layers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel

from polyvec import Encoder
from polyvec.errors import InputError
from polyvec.training.recipe import as_recipe
from polyvec.training.shrink import Shrink
from polyvec.training.stages import train
from polyvec.training.starting import start, state_directions
from polyvec.training.student import Student
from polyvec.training.vocabulary import SPECIAL, kept_vocabulary, train_vocabulary
from tests.training.toys import batch, losses, toy, values


@pytest.fixture(scope="module")
def many(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with four/, an encoder of four layers with a unigram vocabulary, and two/, what stage start makes of it."""
    folder = tmp_path_factory.mktemp("many")
    rows = [json.loads(line) for line in (world / "parallel.jsonl").read_text(encoding="utf-8").splitlines()]
    tokenizer = train_vocabulary([row[side] for row in rows for side in ("en", "text")], 520, max_length=64)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64, pad_token_id=1, initializer_range=0.3,
    )  # fmt: skip
    BertModel(config, add_pooling_layer=False).save_pretrained(str(folder / "four"))
    tokenizer.save_pretrained(str(folder / "four"))
    start(_starting(world, folder / "two", start=str(folder / "four"), layers=[1, 3]))
    return folder


def _starting(world: Path, output: Path, size: int = 310, **model: Any) -> Any:
    return as_recipe(
        {
            "stage": "start",
            "output": str(output),
            "model": {"heads": [8], "max_length": 64, "document_length": 32, **model},
            "vocabulary": {"size": size, "characters": 100_000, "learned": False},
            "data": [{"path": str(world / "parallel.jsonl"), "kind": "parallel"}],
        }
    )


def shrinking(world: Path, many: Path, **tables: dict[str, Any]) -> Any:
    model = {"start": str(many / "two"), "teacher": str(many / "four"), "layers": [1, 3], "prefixes": ["light ", ""]}
    return toy(world, "shrink", **{**tables, "model": {**model, **tables.get("model", {})}})


def test_the_pieces_used_most_are_taken_over_with_their_rows(world: Path, many: Path) -> None:
    old, new = (AutoTokenizer.from_pretrained(str(many / name)) for name in ("four", "two"))
    assert len(new) == 310 < len(old)
    assert new.get_vocab().keys() < old.get_vocab().keys()
    assert new.convert_ids_to_tokens(list(range(len(SPECIAL)))) == SPECIAL
    for text in ("licht welt", "light sugar"):
        assert new.tokenize(text) == old.tokenize(text)  # common words stay whole
    student, teacher = Student(many / "two"), AutoModel.from_pretrained(str(many / "four"))
    mine, theirs = student.backbone.get_input_embeddings().weight, teacher.get_input_embeddings().weight
    for piece in (*new.tokenize("licht sugar"), "</s>"):
        torch.testing.assert_close(mine[new.get_vocab()[piece]], theirs[old.get_vocab()[piece]])
    state, source = student.backbone.state_dict(), teacher.state_dict()
    torch.testing.assert_close(
        state["layers.1.mlp.fc1.weight"], source["encoder.layer.3.intermediate.dense.weight"]
    )  # the second of two layers was the fourth
    torch.testing.assert_close(
        state["embeddings.token_type_embeddings.weight"][0],
        source["embeddings.token_type_embeddings.weight"][0]
        + source["embeddings.position_embeddings.weight"].mean(0),  # where a table of positions is gone
    )


def test_single_characters_of_the_text_come_first_and_the_rest_is_spelled_in_bytes() -> None:
    source = train_vocabulary(["light light light", "植物把光变成糖"] * 4, 330, max_length=64)
    kept = kept_vocabulary(source, ["光"], len(SPECIAL) + 256 + 2)
    assert "光" in kept.get_vocab()
    assert len(kept) == len(SPECIAL) + 256 + 2
    ids = kept("糖", add_special_tokens=False)["input_ids"]
    assert kept.unk_token_id not in ids
    assert kept.decode(ids).strip() == "糖"


def test_another_kind_of_tokenizer_is_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs a unigram tokenizer"):
        start(_starting(world, tmp_path / "out", start=str(world / "teacher")))
    with pytest.raises(InputError, match=r"layers = \[0, 9\]: teacher has 2 layers"):
        start(_starting(world, tmp_path / "out", start=str(world / "teacher"), layers=[0, 9]))


def test_heads_begin_with_the_directions_in_which_tokens_differ(many: Path) -> None:
    model, tokenizer = (kind.from_pretrained(str(many / "four")) for kind in (AutoModel, AutoTokenizer))
    texts = ["licht welt", "sugar and light", "photosynthese"] * 20
    rows = state_directions(model.eval(), tokenizer, texts, 4)
    states = torch.cat([model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0] for text in texts]).detach()
    centered = states.double().numpy() - states.double().numpy().mean(0)
    spread = (centered @ rows.T).std(0)
    lengths = np.linalg.norm(rows, axis=1)
    np.testing.assert_allclose(
        spread / lengths, lengths**-2, rtol=1e-2
    )  # a direction's length: its spread to the power -1/2
    shared = states.double().numpy().mean(0)
    assert np.abs(rows @ shared / lengths / np.linalg.norm(shared)).max() < 1e-5
    assert (np.diff(spread / lengths) < 0).all()


def test_the_teacher_reads_what_the_student_reads(world: Path, many: Path) -> None:
    stage = Shrink(shrinking(world, many))
    teacher, tokenizer = (kind.from_pretrained(str(many / "four")) for kind in (AutoModel, AutoTokenizer))
    texts = ["licht welt", "sugar light plants world"]
    for role, prefix in (("query", "light "), ("document", "")):
        pieces = stage.student.pieces(texts, role, 24)
        found = stage._states(pieces, stage._prefixes[role == "document"])
        for i, text in enumerate(texts):
            wanted = teacher.eval()(**tokenizer(prefix + text, return_tensors="pt"), output_hidden_states=True)
            own = wanted.hidden_states[2][0]  # of layer 1
            there = len(tokenizer.tokenize(prefix.strip())) if prefix else 0
            rest = found[0][i, 2 : len(pieces[i])]
            torch.testing.assert_close(rest, own[1 + there :], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(found[0][i, 0], own[0], rtol=1e-4, atol=1e-5)


def test_the_student_comes_near_its_teacher(world: Path, many: Path) -> None:
    stage = Shrink(shrinking(world, many))
    for number in range(1, 5):  # documents, queries, English
        assert torch.isfinite(stage.loss(batch(world, "parallel", 6, number)))
    falling = losses(stage, batch(world, "parallel", 12, 2), 25, rate=1e-2)
    assert falling[-1] < 0.6 * falling[0]
    assert all("teacher" not in name for name, _ in stage.named_parameters())


def test_a_late_interaction_teacher_gives_its_heads_and_its_vectors_are_drawn_to(world: Path) -> None:
    model = {"start": str(world / "model"), "teacher": str(world / "model"), "layers": []}
    recipe = toy(world, "shrink", model={**model, "prefixes": ["[QueryMarker]", "[DocumentMarker]"]})
    stage = Shrink(recipe)
    theirs = Student(world / "model").heads
    assert all(torch.equal(stage.student.heads.head(size).weight, theirs.head(size).weight) for size in theirs.sizes)
    assert all("teacher" not in name for name, _ in stage.named_parameters())
    one = batch(world, "parallel", 8, 2)
    assert float(stage.loss(one).detach()) < 1e-6  # it is its own teacher
    with torch.no_grad():
        for size in theirs.sizes:
            stage.student.heads.head(size).weight.add_(torch.randn(size, theirs.in_features))
    stage.student.backbone.requires_grad_(False)
    falling = losses(stage, one, 25, rate=5e-2)
    assert falling[0] > 0.1
    assert falling[-1] < 0.5 * falling[0]


def test_a_teacher_with_other_heads_is_refused(world: Path, many: Path) -> None:
    with pytest.raises(InputError, match=r"heads of \[8\], the student of \[8, 16\]"):
        Shrink(toy(world, "shrink", model={"start": str(world / "model"), "teacher": str(many / "two"), "layers": []}))


def test_replaced_pieces_are_the_texts_own_and_the_same_for_a_seed(world: Path, many: Path) -> None:
    plain, noisy = (Shrink(shrinking(world, many, objective={"replaced": share})) for share in (0.0, 0.5))
    for number, changes in ((1, True), (2, False), (4, False)):
        one = batch(world, "parallel", 12, number)
        mine, theirs = (stage.tokenized(one).pieces[0] for stage in (plain, noisy))
        again = noisy.tokenized(one).pieces[0]
        different = 0
        for before, after, twice in zip(mine, theirs, again, strict=True):
            np.testing.assert_array_equal(after.ids, twice.ids)
            np.testing.assert_array_equal(after.ids[[0, 1, -1]], before.ids[[0, 1, -1]])
            different += int((after.ids != before.ids).sum())
        assert (different > 0) == changes
    assert torch.isfinite(noisy.loss(batch(world, "parallel", 12, 1)))


def test_a_frozen_table_stays_as_it_is(world: Path, many: Path, tmp_path: Path) -> None:
    model = {"start": str(many / "two"), "teacher": str(many / "four"), "layers": [1, 3]}
    settings: Any = {"optimizer": {"steps": 3, "frozen_table": True}, "model": model}
    recipe = values(world, tmp_path / "out", "shrink", **settings)
    lines = [f"{key} = {json.dumps(value)}" for key, value in recipe.items() if not isinstance(value, (dict, list))]
    for name, table in recipe.items():
        for one in table if name == "data" else [table] if isinstance(table, dict) else []:
            lines.append(f"[[{name}]]" if name == "data" else f"[{name}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in one.items()]
    (tmp_path / "recipe.toml").write_text("\n".join(lines), encoding="utf-8")
    train(tmp_path / "recipe.toml")
    before, after = Student(many / "two").backbone, Student(tmp_path / "out").backbone
    torch.testing.assert_close(
        after.get_input_embeddings().weight, before.get_input_embeddings().weight, rtol=0, atol=0
    )
    assert not torch.equal(after.layers[0].mlp.fc1.weight, before.layers[0].mlp.fc1.weight)
    assert Encoder(tmp_path / "out").encode_query("licht").shape[1] == 8


@pytest.mark.parametrize(
    ("model", "progress"),
    [
        ({"teacher": ""}, r"needs model\.teacher"),
        ({"layers": [1]}, "expected 2 numbers below 4"),
        ({"layers": [1, 4]}, "expected 2 numbers below 4"),
    ],
)
def test_bad_recipes(world: Path, many: Path, model: dict[str, Any], progress: str) -> None:
    with pytest.raises(InputError, match=progress):
        Shrink(shrinking(world, many, model=model))


def test_more_tokens_than_the_teacher_reads_are_refused(world: Path, many: Path) -> None:
    with pytest.raises(InputError, match="batches of 65 tokens: the teacher reads 6"):
        Shrink(shrinking(world, many, batches={"document_tokens": 65}))


def test_a_teacher_of_other_pieces_is_refused(world: Path, many: Path) -> None:
    with pytest.raises(InputError, match=r"shares .* pieces"):
        Shrink(shrinking(world, many, model={"teacher": str(world / "teacher"), "layers": [0, 1]}))
