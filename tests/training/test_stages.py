"""What each stage minimizes, on a model of two layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from polyvec import Encoder
from polyvec.errors import InputError
from polyvec.training.distill import Distill
from polyvec.training.losses import contrast_with_negatives, distillation, maxsim_all, symmetric_contrast
from polyvec.training.mixing import Batch
from polyvec.training.mlm import MaskedLanguage
from polyvec.training.pairs import Pairs
from polyvec.training.student import Student
from polyvec.training.teaching import late
from polyvec.training.transfer import Transfer
from tests.training.conftest import ENGLISH
from tests.training.toys import batch, losses, toy


def gradients(stage: Any, one: Batch, *, half: bool = False, share: int = 1) -> tuple[float, dict[str, torch.Tensor]]:
    stage.train()
    stage.zero_grad()
    torch.manual_seed(5)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        loss = stage.loss(one)
    (loss / share).backward()
    found = {name: value.grad.clone() for name, value in stage.named_parameters() if value.grad is not None}
    return float(loss.detach()), found


@pytest.mark.parametrize(("half", "accumulate"), [(False, 1), (False, 4), (True, 1)])
def test_gradient_caching_is_the_whole_batch(world: Path, half: bool, accumulate: int) -> None:
    whole = gradients(Pairs(toy(world)), batch(world, "pairs", 8), half=half)
    settings: Any = {"batches": {"micro_rows": 3}, "optimizer": {"accumulate": accumulate}}
    parts = gradients(Pairs(toy(world, **settings)), batch(world, "pairs", 8), half=half, share=accumulate)
    assert parts[0] == pytest.approx(whole[0], rel=1e-2 if half else 1e-5)
    assert parts[1].keys() == whole[1].keys()
    assert any("word_embeddings" in name for name in whole[1])
    for name, wanted in whole[1].items():
        scale = float(wanted.abs().max()) + 1e-6
        close = 0.1 if half else 1e-4
        torch.testing.assert_close(parts[1][name] * accumulate, wanted, rtol=0, atol=close * scale, msg=name)


def test_gradient_caching_draws_the_same_dropout_twice(world: Path) -> None:
    """With one part a side, caching must do what a plain step with the same chance does."""
    settings: Any = {"model": {"dropout": 0.3}}
    one = batch(world, "pairs", 6)
    found = []
    for cached in (False, True):
        stage = Pairs(toy(world, **settings))
        stage.train()
        stage.zero_grad()
        torch.manual_seed(5)
        queries, documents = stage.tokenized(one).pieces
        loss = (
            stage._cached(queries, documents, 6)
            if cached
            else stage._contrast(*map(stage.encoded, (queries, documents)))
        )
        loss.backward()  # type: ignore[no-untyped-call]
        found.append([value.grad for value in stage.parameters() if value.grad is not None])
    for wanted, mine in zip(*found, strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()) + 1e-7)


def test_without_dropout_nothing_is_left_to_chance(world: Path) -> None:
    stage, one = Pairs(toy(world)), batch(world, "pairs")
    stage.train()
    torch.manual_seed(1)
    first = float(stage.loss(one).detach())
    torch.manual_seed(2)
    assert float(stage.loss(one).detach()) == first


def test_every_other_translation_is_read_from_the_other_side(world: Path) -> None:
    stage = Pairs(toy(world))
    queries, _ = stage.tokenized(batch(world, "parallel", 4, number=0)).pieces
    tokenizer = stage.student.encoder.model.tokenizer
    english = [any(word in tokenizer.decode(piece.ids) for word in ENGLISH) for piece in queries]
    assert english == [True, False, True, False]


def test_heads_are_trained_jointly_and_by_their_weights(world: Path) -> None:
    one = batch(world, "pairs")
    sizes = {"first": [1.0, 0.0], "second": [0.0, 1.0], "both": [2.0, 0.5]}
    found = {
        name: gradients(Pairs(toy(world, model={"head_weights": weights})), one) for name, weights in sizes.items()
    }
    assert found["both"][0] == pytest.approx(2 * found["first"][0] + 0.5 * found["second"][0], rel=1e-5)
    assert not found["first"][1]["student.heads.heads.16.weight"].any()
    assert found["both"][1]["student.heads.heads.16.weight"].any()
    assert found["both"][1]["student.heads.heads.8.weight"].any()


def test_tied_heads_are_slices_of_the_largest_and_are_saved_so(world: Path, tmp_path: Path) -> None:
    stage = Pairs(toy(world, model={"tied": True}))
    found = losses(stage, batch(world, "pairs"), 3)
    assert found[-1] < found[0]
    states = torch.randn(2, 3, 32, generator=torch.Generator().manual_seed(0))
    vectors = stage.student.project(states)
    sliced = torch.nn.functional.normalize(vectors[16][..., :8], dim=-1)
    torch.testing.assert_close(vectors[8], sliced)
    stage.save(tmp_path / "model")
    heads = Student(tmp_path / "model").heads
    torch.testing.assert_close(heads.head(8).weight, heads.head(16).weight[:8])


@pytest.mark.parametrize("bigrams", [0.0, 0.65])
def test_what_is_trained_is_what_is_used_later(world: Path, tmp_path: Path, bigrams: float) -> None:
    stage = Pairs(toy(world, model={"bigrams": bigrams}))
    losses(stage, batch(world, "pairs"), 1)
    stage.eval()
    texts = ["licht welt", "hello sugar world"]
    with torch.no_grad():
        vectors, kept = stage.encoded(stage.student.pieces(texts, "document", 32))
    stage.save(tmp_path / "model")
    for size in (8, 16):
        for i, encoded in enumerate(Encoder(tmp_path / "model", dim=size).stream_documents(texts)):
            np.testing.assert_allclose(encoded.vectors, vectors[size][i][kept[i]].numpy(), atol=2e-3)


@pytest.fixture
def scored() -> Batch:
    generator = np.random.default_rng(0)
    rows = [
        {
            "query": f"licht {word}",
            "documents": [f"light {word}", *(f"{other} sugar" for other in ENGLISH[i : i + 3])],
            "scores": generator.normal(size=4).tolist(),
        }
        for i, word in enumerate(ENGLISH[:4])
    ]
    return Batch(2, "scored", rows)


@pytest.mark.parametrize("in_batch", [0.0, 0.5])
def test_distill_is_divergence_and_the_contrast_asked_for(world: Path, scored: Batch, in_batch: float) -> None:
    stage = Distill(toy(world, "distill", objective={"candidates": 3, "in_batch": in_batch}))
    stage.eval()
    wanted = 0.0
    with torch.no_grad():
        queries, query_kept = stage.encoded(stage.student.pieces([row["query"] for row in scored.rows], "query", 16))
        texts = [text for row in scored.rows for text in row["documents"][:3]]
        documents, document_kept = stage.encoded(stage.student.pieces(texts, "document", 24))
        for size in (8, 16):
            scores = maxsim_all(queries[size], query_kept, documents[size], document_kept, normalize=True)
            own = torch.stack([scores[i, 3 * i : 3 * i + 3] for i in range(4)])
            teacher = torch.tensor([row["scores"][:3] for row in scored.rows])
            wanted += float(distillation(own, teacher, 0.1, 1.0))
            wanted += in_batch * float(symmetric_contrast(scores[:, ::3], 0.1))
        assert float(stage.loss(scored)) == pytest.approx(wanted, rel=1e-5)
    falling = losses(stage, scored, 4)
    assert falling[-1] < falling[0]


def test_a_model_is_its_own_teacher_at_no_loss_and_only_at_the_teachers_temperature(world: Path, scored: Batch) -> None:
    """Scores are a late-interaction teacher's, which is the student itself: the loss is at its least, nothing is to be learned."""
    teacher = late(str(world / "model"), scale=50.0)
    for row in scored.rows:
        row["scores"] = teacher([(row["query"], text) for text in row["documents"]])
    widest = {"start": str(world / "model"), "head_weights": [0.0, 1.0]}  # the teacher's head
    found = {}
    for temperature in (0.02, 0.05):
        stage = Distill(toy(world, "distill", model=widest, objective={"candidates": 4, "temperature": temperature}))
        loss = stage.loss(scored)
        loss.backward()
        steep = max(float(value.grad.abs().max()) for value in stage.parameters() if value.grad is not None)
        found[temperature] = float(loss.detach()), steep
    assert found[0.02] == pytest.approx((0.0, 0.0), abs=1e-3)
    assert found[0.05][0] > 0.02
    assert found[0.05][1] > 10 * found[0.02][1]


def test_a_query_with_one_candidate_is_named(world: Path, scored: Batch) -> None:
    scored.rows[1]["documents"] = ["light"]
    with pytest.raises(InputError, match="Batch 2 of scored has a query with fewer than 2"):
        Distill(toy(world, "distill")).loss(scored)


def test_transfer_draws_the_student_to_the_teacher(world: Path) -> None:
    stage = Transfer(toy(world, "transfer"))
    for number in (1, 2, 8):  # as queries, as documents, English
        assert torch.isfinite(stage.loss(batch(world, "parallel", 6, number)))
    falling = losses(stage, batch(world, "parallel", 6, 2), 5)
    assert falling[-1] < 0.9 * falling[0]
    assert not stage._teacher.model[0].model.training
    assert all("teacher" not in name for name, _ in stage.named_parameters())  # frozen, and not in checkpoints


def test_the_teacher_keeps_its_precision_where_the_student_computes_in_half(world: Path) -> None:
    texts = ["licht welt", "zucker"]  # few rows of tokens take a path of their own
    wanted, kept = Transfer(toy(world, "transfer"))._targets(texts, 24)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, kept_in_half = Transfer(toy(world, "transfer"))._targets(texts, 24)
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)
    torch.testing.assert_close(kept_in_half, kept)


def test_mlm_masks_whole_words(world: Path) -> None:
    stage = MaskedLanguage(toy(world, "mlm", objective={"masked": 0.4}))
    ids = stage.student.pieces(["photosynthesis light zzqx plants photosynthese sugar"], "document", 64)[0].ids
    starts = stage._starts_word[ids]
    seen: set[int] = set()
    for seed in range(30):
        places = stage.masked(ids, np.random.default_rng(seed)).tolist()
        assert places
        assert all(2 <= place < len(ids) - 1 for place in places)  # never <s>, marker or </s>
        seen |= set(places)
        chosen = set(places)
        length = 0  # of the word so far
        for place in range(2, len(ids) - 1):
            length = 1 if starts[place] or length == 4 else length + 1
            if length > 1:  # inside a word: masked exactly as its beginning is
                assert (place in chosen) == (place - 1 in chosen)
    assert seen == set(range(2, len(ids) - 1))


def test_mlm_masks_stretches_where_there_are_no_spaces(world: Path) -> None:
    stage = MaskedLanguage(toy(world, "mlm", objective={"masked": 0.2}))
    ids = stage.student.pieces(["光合作用光合作用光合作用"], "document", 64)[0].ids
    assert stage._starts_word[ids[2:-1]].sum() <= 1  # bytes or pieces, all one "word"
    places = stage.masked(ids, np.random.default_rng(0))
    assert 1 <= len(places) <= 0.4 * len(ids)
    assert stage.masked(ids[:3], np.random.default_rng(0)).size == 0  # `<s> marker </s>`


def test_mlm_masks_the_share_asked_for_and_keeps_the_rest(world: Path) -> None:
    stage = MaskedLanguage(toy(world, "mlm"))
    ids = np.concatenate([[0, 6], np.tile(np.arange(270, 320), 10), [2]])
    generator = np.random.default_rng(0)
    chosen = stage.masked(ids, generator)
    corrupted = stage._corrupted(ids, chosen, generator)
    rest = np.setdiff1d(np.arange(len(ids)), chosen)
    assert 0.2 < len(chosen) / len(ids) < 0.4
    assert (corrupted[rest] == ids[rest]).all()
    assert 0.6 < (corrupted[chosen] == stage._mask).mean() < 0.95
    assert (corrupted[chosen] == ids[chosen]).any()
    assert corrupted.min() >= 0
    assert corrupted.max() < len(stage._starts_word)


def test_mlm_sequences_grow_over_the_run(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: Any = {"optimizer": {"steps": 5, "accumulate": 2}, "objective": {"lengths": [8, 16]}}
    stage = MaskedLanguage(toy(world, "mlm", **settings))
    assert [stage._length(number) for number in range(11)] == [8] * 5 + [16] * 6
    monkeypatch.setenv("WORLD_SIZE", "2")  # two processes share the batches
    assert [stage._length(number) for number in (0, 9, 10, 19)] == [8, 8, 16, 16]


def test_mlm_learns(world: Path) -> None:
    stage = MaskedLanguage(toy(world, "mlm"))
    falling = losses(stage, batch(world, "parallel", 12), 6)
    assert falling[-1] < 0.9 * falling[0]


def test_a_model_without_heads_is_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no Matryoshka heads|heads"):
        Student(world / "teacher")


def test_mined_negatives_are_told_apart_and_a_passage_met_twice_is_no_wrong_answer(world: Path) -> None:
    rows = batch(world, "pairs").rows
    texts = [row["document"] for row in rows]
    mined = [
        {"query": row["query"], "documents": [row["document"], texts[(i + 1) % 6], "sugar " * (i + 1)][: 3 - i % 2]}
        for i, row in enumerate(rows)
    ]
    one = Batch(1, "mined", mined)
    stage = Pairs(toy(world))
    assert [len(side) for side in stage.tokenized(one).pieces] == [6, 15]
    found = losses(stage, one, 15, rate=1e-3)
    assert found[-1] < found[0]
    assert len(Pairs(toy(world, objective={"candidates": 2})).tokenized(one).pieces[1]) == 12


def test_contrast_with_negatives_by_hand() -> None:
    scores = torch.tensor([[0.9, 0.5, 0.1, 0.9], [0.2, 0.3, 0.8, 0.2]])
    first = torch.tensor([0, 2])
    same = torch.tensor([[True, False, False, True], [False, False, True, False]])
    there = [
        -np.log(np.exp(0.9) / np.exp([0.9, 0.5, 0.1]).sum()),
        -np.log(np.exp(0.8) / np.exp([0.2, 0.3, 0.8, 0.2]).sum()),
    ]
    back = [-np.log(np.exp(0.9) / np.exp([0.9, 0.2]).sum()), -np.log(np.exp(0.8) / np.exp([0.1, 0.8]).sum())]
    wanted = (np.mean(there) + np.mean(back)) / 2
    assert float(contrast_with_negatives(scores, first, same, 1.0)) == pytest.approx(wanted, rel=1e-5)
