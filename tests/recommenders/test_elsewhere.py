"""What was liked in another catalogue stands in histories, in both models that can read it."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from genre.core.interactions import Interactions
from genre.core.queries import UNKNOWN_USER, Queries
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.data.dataset import Entities, Roles, Vocabulary
from genre.data.growth import extended
from genre.recommenders.elsewhere import Elsewhere, elsewhere_of
from genre.recommenders.moving import Movable
from genre.recommenders.sasrec import SasrecConfig
from genre.recommenders.two_tower import TwoTowerConfig
from tests.recommenders.chains import NUM_ITEMS, chain

HASHING = {"encoder": {"kind": "hashing"}, "whitening": None}
TRAINING = {"epochs": 3, "batch_size": 32, "patience": None, "tracker": "none"}
SASREC = {"embedding_size": 16, "length": 6, "text": {"vectors": HASHING, "own": False}, "training": TRAINING}
TOWERS = {"embedding_size": 16, "length": 6, "vectors": HASHING, "training": TRAINING}
NOTHING = np.zeros(0, np.int32)


def items(name: str) -> Entities:
    ids = pl.Series("item_id", [f"{name}{row}" for row in range(NUM_ITEMS)])
    texts = pl.Series("title", [f"thing{row} thing{(row + 1) % NUM_ITEMS}" for row in range(NUM_ITEMS)])
    return Entities(Vocabulary(ids), pl.DataFrame([ids, texts]), Roles(("title",)))


@pytest.fixture(scope="module", params=["sasrec", "two_tower"])
def origin(request: pytest.FixtureRequest) -> Any:
    data, _ = chain()
    config: Any = (
        SasrecConfig.model_validate(SASREC) if request.param == "sasrec" else TwoTowerConfig.model_validate(TOWERS)
    )
    return config.build({}).fit(type(data)(data.interactions, items("a"), data.users), RunContext())


@pytest.fixture(scope="module")
def moved(origin: Any) -> Any:
    """The same texts under other ids: whatever the source says of an item, it must say here."""
    return origin.moved(items("b"), RunContext(), same=np.full(NUM_ITEMS, -1), align=False)


def log(*rows: list[int], times: list[int] | None = None) -> Interactions:
    found = Ragged.of(rows)
    return Interactions.of(found, None if times is None else np.array(times))


def ask(history: Interactions, users: list[int], times: list[int] | None = None) -> Queries:
    when = np.zeros(len(users)) if times is None else np.array(times)
    return Queries(history, np.array(users, np.int32), when.astype(np.int64))


def scored(model: Any, *rows: list[int]) -> Any:
    return model.score(Queries.of(log(*rows)))


def test_who_is_new_here_is_answered_as_there(origin: Any, moved: Any) -> None:
    assert isinstance(moved, Movable)
    known = moved.with_elsewhere(Elsewhere.of(origin, log([9, 8], [3, 5, 4], [7, 6, 1]), np.array([1, -1, 2])))
    found = known.score(ask(log([], [2], [11, 12]), [0, 1, 2]))
    np.testing.assert_allclose(found, scored(origin, [3, 5, 4], [2], [7, 6, 1, 11, 12]), rtol=1e-5, atol=1e-6)
    assert np.isinf(moved.score(ask(log([]), [0]))).all(), "without it, nothing is known of them"


def test_strangers_are_answered_as_before_to_the_last_bit(origin: Any, moved: Any) -> None:
    known = moved.with_elsewhere(Elsewhere.of(origin, log([3, 5, 4]), np.array([0, -1])))
    for users in ([UNKNOWN_USER] * 2, [1, 1], [5, UNKNOWN_USER]):
        queries = ask(log([1, 2], [5]), users)
        assert np.array_equal(known.score(queries), moved.score(queries))


def test_nothing_is_read_that_came_after_the_question(origin: Any, moved: Any) -> None:
    known = moved.with_elsewhere(Elsewhere.of(origin, log([3, 5, 4, 9], times=[10, 20, 30, 40]), np.array([0])))
    history = log([1, 2], times=[15, 25])
    found = known.score(ask(history, [0], [31]))
    np.testing.assert_allclose(found, scored(origin, [3, 1, 5, 2, 4]), rtol=1e-5, atol=1e-6)
    assert np.array_equal(known.score(ask(history, [0], [10])), moved.score(ask(history, [0], [10])))
    undated = known.score(ask(log([1, 2]), [0]))
    np.testing.assert_allclose(undated, scored(origin, [3, 5, 4, 9, 1, 2]), rtol=1e-5, atol=1e-6)


def test_what_was_forgotten_is_nowhere(origin: Any, moved: Any) -> None:
    every = Elsewhere.of(origin, log([3, 5], [5, 7], []), np.array([0, 1, 2]))
    assert (every.people.tolist(), len(every.text)) == ([True, True, False], 3)
    left = every.without(np.array([0, UNKNOWN_USER]))
    assert (left.people.tolist(), len(left.text)) == ([False, True, False], 2)
    before, after = (moved.with_elsewhere(one) for one in (every, left))
    queries = ask(log([], []), [0, 1])
    assert np.isinf(after.score(queries)[0]).all()
    np.testing.assert_allclose(after.score(queries)[1], before.score(queries)[1], rtol=1e-5, atol=1e-6)


def test_others_likes_are_dealt_among_those_who_have_some() -> None:
    likes = log([1, 2], [], [3], [4, 5, 6])
    one = Elsewhere(likes, np.zeros((7, 2), np.float32), None)
    other = one.dealt(np.random.default_rng(0))
    rows = [other.likes.items[user].tolist() for user in range(4)]
    assert rows[1] == []
    assert sorted(map(len, rows)) == [0, 1, 2, 3]
    assert all(rows[user] != likes.items[user].tolist() for user in (0, 2, 3))


def test_it_is_saved_with_the_model_and_new_items_join_behind(origin: Any, moved: Any) -> None:
    known = moved.with_elsewhere(Elsewhere.of(origin, log([3, 5, 4]), np.array([0])))
    again = known.config.build({})
    again.restore(known.state())
    queries = ask(log([]), [0])
    assert np.array_equal(again.score(queries), known.score(queries))
    longer = known.index(extended(items("b"), [{"item_id": "new", "title": "thing4 thing5"}]), RunContext())
    assert np.array_equal(longer.score(queries)[:, :NUM_ITEMS], known.score(queries))
    assert np.isclose(longer.score(queries)[0, NUM_ITEMS], known.score(queries)[0, 4], rtol=1e-5)
    assert elsewhere_of(moved.state()) is None


def test_own_vectors_come_with_the_items() -> None:
    data, _ = chain()
    settings = {**SASREC, "text": {"vectors": HASHING, "own": True}}
    liked = data.interactions.where(data.interactions.item_rows != 6)
    first: Any = SasrecConfig.model_validate(settings).build({})
    first.fit(type(data)(liked, items("a"), data.users), RunContext())
    found = Elsewhere.of(first, log([7, 6, 5]), np.array([0]))
    table = first.network.items
    np.testing.assert_allclose(found.vectors(table).detach(), first.table[[5, 6, 7]], rtol=1e-5, atol=1e-6)
    assert found.own is not None
    assert not found.own[1].any(), "nobody liked it: it has none of its own"


def test_training_predicts_items_of_this_catalogue_alone(origin: Any, moved: Any) -> None:
    import torch

    data, _ = chain(num_users=2)
    here = type(data)(log([1, 2, 3], [4, 5]), items("b"), data.users)
    known = moved.with_elsewhere(Elsewhere.of(origin, log([7, 8], [9]), np.array([0, -1])))
    known.config = known.config.model_copy(update={"num_hard": 0})
    known.known = np.ones(NUM_ITEMS, bool)
    known.network = known.new_network().eval()
    known.network.load_state_dict(moved.network.state_dict())
    if known.config.kind == "sasrec":  # In training a place is as old as its window has it.
        known.network.positions.weight.data.zero_()
    known.settle()
    objective = known.objective(here)
    ((part,),) = list(objective.batches(np.random.default_rng(0)))
    with torch.no_grad():
        loss = objective.loss(known.network, part, torch.device("cpu"))

    targets = np.array([1, 2, 3, 5])
    scores = known.score(ask(log([], [1], [1, 2], [4]), [0, 0, 0, 1])).astype(np.float64)
    if known.config.kind == "two_tower":
        # Against the others that came next; each of the four is in every batch of 1,024 with the same chance.
        scores = scores[:, targets] / known.config.temperature
        correction = float(np.log(1 - (1 - 1 / 4) ** 1024))
        scores -= correction * (1 - np.eye(4))
        targets = np.arange(4)
    expected = np.log(np.exp(scores).sum(1)) - scores[np.arange(4), targets]
    assert loss.count == 4, "each like but those in the source, and the first of somebody who has none there"
    assert float(loss.value) == pytest.approx(expected.mean(), rel=1e-3)  # The products may be of bfloat16.
