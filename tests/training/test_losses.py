from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from polyvec.training import losses
from polyvec.training.losses import (
    contrast_with_versions,
    distillation,
    maxsim_all,
    maxsim_both,
    over_heads,
    symmetric_contrast,
)


def plain(queries: Tensor, query_kept: Tensor, documents: Tensor, document_kept: Tensor, normalize: bool) -> Tensor:
    """The definition: every kept query token takes its best kept document token; add them up, or take the mean."""
    rows = []
    for query, of_query in zip(queries, query_kept, strict=True):
        scores = []
        for document, of_document in zip(documents, document_kept, strict=True):
            best = (query[of_query] @ document[of_document].T).max(dim=1).values
            scores.append(best.mean() if normalize else best.sum())
        rows.append(torch.stack(scores))
    return torch.stack(rows)


def vectors(seed: int, n: int, t: int, d: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    made = torch.nn.functional.normalize(torch.randn(n, t, d, generator=generator), dim=-1)
    kept = torch.rand(n, t, generator=generator) < 0.6
    kept[:, 1] = True  # every text has a token
    return made, kept


@pytest.mark.parametrize("together", [1, 2, 16])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_maxsim_and_its_gradients_are_the_plain_definition(
    normalize: bool, seed: int, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(losses._TOGETHER, "cpu", together)
    queries, query_kept = vectors(seed, 3, 4 + seed)
    documents, document_kept = vectors(seed + 100, 5, 7)
    weights = torch.randn(3, 5, generator=torch.Generator().manual_seed(seed))
    found = []
    for function in (
        lambda q, d: maxsim_all(q, query_kept, d, document_kept, normalize=normalize),
        lambda q, d: plain(q, query_kept, d, document_kept, normalize),
    ):
        leaves = queries.clone().requires_grad_(), documents.clone().requires_grad_()
        scores = function(*leaves)
        found.append((scores.detach(), *torch.autograd.grad((scores * weights).sum(), leaves)))
    for mine, wanted in zip(*found, strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-5, atol=1e-6)


def test_padding_never_counts_and_gets_no_gradient() -> None:
    queries, query_kept = vectors(0, 2, 5)
    documents, document_kept = vectors(1, 3, 6)
    wanted = maxsim_all(queries, query_kept, documents, document_kept, normalize=True)
    loud = documents.clone()
    loud[~document_kept] = 1e6
    silent = queries.clone()
    silent[~query_kept] = -1e6
    leaves = silent.requires_grad_(), loud.requires_grad_()
    found = maxsim_all(leaves[0], query_kept, leaves[1], document_kept, normalize=True)
    torch.testing.assert_close(found, wanted)
    of_queries, of_documents = torch.autograd.grad(found.sum(), leaves)
    assert not of_queries[~query_kept].any()
    assert not of_documents[~document_kept].any()
    assert of_documents[document_kept].any()


@pytest.mark.parametrize("together", [1, 16])
def test_a_document_without_tokens_is_the_worst_of_all(together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(losses._TOGETHER, "cpu", together)
    queries, query_kept = vectors(0, 2, 3)
    documents, document_kept = vectors(1, 3, 4)
    document_kept[1] = False
    documents.requires_grad_()
    scores = maxsim_all(queries, query_kept, documents, document_kept, normalize=False)
    torch.testing.assert_close(scores[:, 1], -1e4 * query_kept.sum(dim=1).float())
    scores.sum().backward()
    assert documents.grad is not None
    assert torch.isfinite(documents.grad).all()
    assert not documents.grad[1].any()


def test_scores_stay_exact_in_half_precision() -> None:
    queries, query_kept = vectors(0, 2, 3)
    documents, document_kept = vectors(1, 3, 4)
    wanted = maxsim_all(queries, query_kept, documents, document_kept, normalize=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = maxsim_all(queries, query_kept, documents, document_kept, normalize=True)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


def test_both_directions() -> None:
    queries, query_kept = vectors(0, 3, 4)
    documents, document_kept = vectors(1, 3, 6)
    there, back = maxsim_both(queries, query_kept, documents, document_kept)
    torch.testing.assert_close(there, plain(queries, query_kept, documents, document_kept, True))
    torch.testing.assert_close(back, plain(documents, document_kept, queries, query_kept, True).T)


def log_softmax(scores: np.ndarray) -> np.ndarray:
    return scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True))


def test_contrast_is_symmetric_cross_entropy_of_the_diagonal() -> None:
    scores = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    rows, columns = log_softmax(scores.numpy() / 0.3), log_softmax(scores.T.numpy() / 0.3)
    wanted = -(np.diag(rows).mean() + np.diag(columns).mean()) / 2
    assert float(symmetric_contrast(scores, 0.3)) == pytest.approx(wanted, rel=1e-5)
    assert float(symmetric_contrast(scores.T, 0.3)) == pytest.approx(wanted, rel=1e-5)
    assert float(symmetric_contrast(torch.eye(4), 0.01)) == pytest.approx(0.0, abs=1e-6)


def test_distillation_is_the_divergence_from_the_teacher() -> None:
    generator = torch.Generator().manual_seed(0)
    scores, teacher = torch.randn(3, 5, generator=generator), 4 * torch.randn(3, 5, generator=generator)
    wanted, mine = log_softmax(teacher.numpy() / 2.0), log_softmax(scores.numpy() / 0.5)
    divergence = (np.exp(wanted) * (wanted - mine)).sum(axis=1).mean()
    assert float(distillation(scores, teacher, 0.5, 2.0)) == pytest.approx(divergence, rel=1e-5)
    assert float(distillation(teacher / 4 + 7, teacher, 0.5, 2.0)) == pytest.approx(0.0, abs=1e-6)  # same shape


def test_heads_add_up_with_their_weights() -> None:
    of: Callable[[int], Tensor] = lambda size: torch.tensor(float(size))  # noqa: E731
    assert float(over_heads([2, 5], [1.0, 0.5], of)) == 4.5


def test_versions_of_a_text_do_not_compete_and_each_has_to_stand_before_the_others() -> None:
    own = torch.tensor([[True, True, False, False], [False, False, True, True]])
    scores = torch.tensor([[0.9, 0.5, 0.4, 0.6], [0.1, 0.2, 0.8, 0.7]])
    wanted = []
    for row, mine in zip(scores / 0.1, own, strict=True):
        wrong = row[~mine].exp().sum()
        wanted.append(torch.stack([-(one.exp() / (one.exp() + wrong)).log() for one in row[mine]]).mean())
    torch.testing.assert_close(contrast_with_versions(scores, own, 0.1), torch.stack(wanted).mean())
    better = scores.clone()
    better[0, 0] += 5  # the version in the question's own language may be as good as it likes
    leaf = better.requires_grad_()
    (gradient,) = torch.autograd.grad(contrast_with_versions(leaf, own, 0.1), leaf)
    assert abs(float(gradient[0, 0])) < 1e-6
    assert float(gradient[0, 1]) < -0.1


def test_a_text_without_wrong_ones_beside_it_costs_nothing() -> None:
    own = torch.ones(2, 3, dtype=torch.bool)
    leaf = torch.rand(2, 3, requires_grad=True)
    loss = contrast_with_versions(leaf, own, 0.02)
    loss.backward()
    assert float(loss.detach()) == 0
    assert leaf.grad is not None
    assert torch.isfinite(leaf.grad).all()
