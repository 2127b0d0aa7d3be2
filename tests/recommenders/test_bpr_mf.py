"""BPR-MF on two tastes, and its pairs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from genre.core.interactions import Interactions
from genre.core.queries import Holdout, Queries
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.recommenders.bpr_mf import BprMf, BprMfConfig
from genre.training.config import TrainingConfig
from genre.training.pairs import Factors, Pairs, Pairwise
from tests.recommenders.chains import chain_of

FAST = TrainingConfig(epochs=40, batch_size=64, learning_rate=0.02, patience=8, patience_steps=0, tracker="none")


def log(rows: list[list[int]]) -> Interactions:
    return Interactions.of(Ragged.of(rows))


def two_tastes(num_users: int = 60) -> list[list[int]]:
    """Half of the users like items below 10, the others those above."""
    rng = np.random.default_rng(0)
    return [(rng.permutation(10)[:6] + 10 * (user % 2)).tolist() for user in range(num_users)]


def fitted(validation: bool = True) -> BprMf:
    rows = two_tastes()
    data = chain_of([row[:-1] for row in rows], 20)
    holdout = Holdout(data.queries(), Ragged.of([[row[-1]] for row in rows]))
    run = RunContext(validation=holdout if validation else None)
    return BprMfConfig(embedding_size=8, training=FAST).build({}).fit(data, run)


@pytest.mark.parametrize("validation", [True, False])
def test_tastes_are_told_apart_for_anybody(validation: bool) -> None:
    scores = fitted(validation).score(Queries.of(log([[1, 2], [15, 12]])))
    assert (np.argsort(-scores[0])[:8] < 10).all()
    assert (np.argsort(-scores[1])[:8] >= 10).all()


def test_training_users_get_about_their_own_vector() -> None:
    """What a history is mapped to ranks as the vector that training gave its user."""
    rows = two_tastes()
    data = chain_of(rows, 20)
    model = BprMfConfig(embedding_size=8, training=FAST, history_decay=1.0).build({}).fit(data, RunContext())
    scores = model.score(data.queries())
    hits = [np.isin(np.argsort(-scores[user])[:10], np.arange(10) + 10 * (user % 2)).mean() for user in range(60)]
    assert np.mean(hits) > 0.95


def test_similar_items_share_a_taste() -> None:
    found = fitted().similar(np.array([3]))[0]
    assert found[:10].mean() > found[10:].mean() + 0.5


def test_pairs_are_a_like_and_something_untouched() -> None:
    rows = [[0, 1, 2], [3], [4, 4, 5]]
    objective = Pairwise(log(rows), 8, batch_size=3, parts=2)
    steps = list(objective.batches(np.random.default_rng(0)))
    assert len(steps) == objective.num_batches == 3
    seen = []
    for batch in (part for parts in steps for part in parts):
        for user, liked, other in zip(batch.users.tolist(), batch.liked.tolist(), batch.others.tolist(), strict=True):
            assert liked in rows[user]
            assert other not in rows[user]
            seen.append((user, liked))
    assert sorted(seen) == [(0, 0), (0, 1), (0, 2), (1, 3), (2, 4), (2, 4), (2, 5)]


def test_somebody_who_likes_everything_is_left_out() -> None:
    objective = Pairwise(log([[0, 1, 2]]), 3, batch_size=3)
    assert list(objective.batches(np.random.default_rng(0))) == [[]]


def test_the_loss_by_hand() -> None:
    model = Factors(1, 2, 2)
    with torch.no_grad():
        model.users.weight.copy_(torch.tensor([[1.0, 2.0]]))
        model.items.weight.copy_(torch.tensor([[1.0, 1.0], [0.0, 1.0]]))
        model.biases.weight.copy_(torch.tensor([[0.5], [0.0]]))
    pair = Pairs(*(torch.tensor([row]) for row in (0, 0, 1)))
    objective = Pairwise(log([[0]]), 2, batch_size=1, pull=0.1)
    found = objective.loss(model, pair, torch.device("cpu"))
    difference = (1 + 2 + 0.5) - 2
    assert found.value.item() == pytest.approx(math.log(1 + math.exp(-difference)) + 0.1 * (5 + 2 + 1))
    assert found.count == 1
