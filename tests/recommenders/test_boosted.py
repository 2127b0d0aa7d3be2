"""Boosted trees on questions whose right answers are decided by something that the members do not know."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from genre.core.errors import ModelError
from genre.core.interactions import Interactions
from genre.core.queries import NO_ITEM, Candidates, Holdout, Recommendations, Source
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.data.dataset import Dataset, Entities, Roles, Vocabulary
from genre.metrics.ranking import ndcg
from genre.recommenders.base import Recommender
from genre.recommenders.boosted import Boosted, BoostedConfig
from tests.recommenders.fixed import Fixed, OnlyLists

NUM_USERS, NUM_LEARNED, NUM_ITEMS, NUM_ASKABLE = 320, 200, 50, 45
"""The first users are learned from, the others judge; nobody proposes the last items."""
DAY = 86_400


def make_world(*, columns: bool = True, decided_by: str = "price") -> tuple[Dataset, Holdout, dict[str, Recommender]]:
    """Return users who each like one more item, and two members of which the first knows little and the second nothing.

    For each user 40 % of the items are drawn. The right answer is a cheap one of these (`price`), or the one that the
    first member puts first or last (`best`, `worst`), or any (`chance`).
    """
    rng = np.random.default_rng(5)
    ids = pl.DataFrame({"item_id": [f"i{row}" for row in range(NUM_ITEMS)]})
    price = rng.uniform(0, 100, NUM_ITEMS)
    users = pl.DataFrame({"user_id": [f"u{row}" for row in range(NUM_USERS)]})
    said = rng.normal(size=(2, NUM_USERS, NUM_ITEMS))
    said[:, :, NUM_ASKABLE:] = -np.inf
    keys = {"price": price + 10 * rng.normal(size=said[0].shape), "best": -said[0], "worst": said[0].copy()}
    key = keys.get(decided_by, rng.random(said[0].shape))
    key[:, NUM_ASKABLE:] = np.inf
    key[rng.random(key.shape) < 0.6] += 1000
    targets = key.argmin(axis=1)
    histories = [[int((target + step) % NUM_ITEMS) for step in (1, 2)] for target in targets]
    times = np.tile([1, 2], NUM_USERS) * DAY + 1_700_000_000
    data = Dataset(
        Interactions.of(Ragged.of(histories), times),
        Entities(Vocabulary(ids["item_id"]), ids.with_columns(price=price), Roles(number=("price",)))
        if columns
        else Entities(Vocabulary(ids["item_id"]), ids),
        Entities(Vocabulary(users["user_id"]), users),
    )
    holdout = Holdout(data.queries(), Ragged.of([[int(target)] for target in targets]))
    return data, holdout, {"first": Fixed(said[0]), "second": Fixed(said[1])}


def fit(
    data: Dataset, holdout: Holdout | None, members: dict[str, Recommender], seed: int = 0, **settings: object
) -> Boosted:
    config = BoostedConfig(
        **{"members": tuple(members), "num_trees": 20, "min_candidates_in_leaf": 50, "learning_rate": 0.2, **settings}
    )
    return config.build(members).fit(data, RunContext(seed=seed, validation=holdout))


def quality(model: Recommender, holdout: Holdout) -> float:
    """Return the mean NDCG@10, items of the history hidden."""
    answer = model.recommend(holdout.queries, 10, candidates=Candidates(excluded=holdout.queries.history.items))
    hit = answer.item_rows == holdout.targets.values[:, None]
    ranks = np.where(hit.any(axis=1), hit.argmax(axis=1) + 1.0, np.inf)
    return float(ndcg(ranks, holdout.targets.offsets, 10).mean())


def standardised(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the scores (B, I) at mean 0 and deviation 1 over the items that have one."""
    known = np.where(np.isfinite(scores), scores.astype(float), np.nan)
    return (known - np.nanmean(known, axis=1, keepdims=True)) / np.nanstd(known, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def world() -> tuple[Dataset, Holdout, dict[str, Recommender]]:
    return make_world()


@pytest.fixture(scope="module")
def learned(world: tuple[Dataset, Holdout, dict[str, Recommender]]) -> Holdout:
    return world[1].take(np.arange(NUM_LEARNED))


@pytest.fixture(scope="module")
def judged(world: tuple[Dataset, Holdout, dict[str, Recommender]]) -> Holdout:
    return world[1].take(np.arange(NUM_LEARNED, NUM_USERS))


@pytest.fixture(scope="module")
def model(world: tuple[Dataset, Holdout, dict[str, Recommender]], learned: Holdout) -> Boosted:
    return fit(world[0], learned, world[2])


def test_a_column_that_decides_makes_it_better_than_its_members(
    model: Boosted, world: tuple[Dataset, Holdout, dict[str, Recommender]], judged: Holdout
) -> None:
    members = max(quality(member, judged) for member in world[2].values())
    assert quality(model, judged) > members + 0.2


@pytest.mark.slow
def test_without_the_column_there_is_no_such_gain(model: Boosted, judged: Holdout) -> None:
    data, holdout, members = make_world(columns=False)
    bare = fit(data, holdout.take(np.arange(NUM_LEARNED)), members)
    answer = bare.recommend(judged.queries, 10)
    assert answer.filled.all()
    assert np.isfinite(answer.scores).all()
    assert quality(bare, judged) < quality(model, judged) - 0.15


@pytest.mark.slow
def test_without_any_column_it_learns_which_member_to_trust() -> None:
    data, holdout, members = make_world(columns=False, decided_by="best")
    model = fit(data, holdout.take(np.arange(NUM_LEARNED)), members)
    judged = holdout.take(np.arange(NUM_LEARNED, NUM_USERS))
    mean = Fixed(np.mean([standardised(member.score(holdout.queries)) for member in members.values()], axis=0))
    mean.scores[np.isnan(mean.scores)] = -np.inf
    assert quality(model, judged) > quality(mean, judged) + 0.05


def test_a_low_score_of_a_member_never_speaks_for_an_item() -> None:
    data, holdout, members = make_world(columns=False, decided_by="worst")
    data = data.with_interactions(Interactions.empty(NUM_USERS))
    holdout = Holdout(data.queries(), holdout.targets)
    only = {"first": members["first"]}
    model = fit(data, holdout.take(np.arange(NUM_LEARNED)), only)
    said = only["first"].recommend(holdout.queries, NUM_ASKABLE).item_rows
    scores = np.take_along_axis(model.score(holdout.queries), said, axis=1)
    assert (np.diff(scores, axis=1) <= 1e-6).all()


def test_nothing_but_the_best_items_of_the_members_is_answered(
    world: tuple[Dataset, Holdout, dict[str, Recommender]], learned: Holdout, judged: Holdout
) -> None:
    data, _, members = world
    model = fit(data, learned, members, num_candidates=4)
    hidden = Candidates(excluded=judged.queries.history.items)
    proposed = np.concatenate(
        [member.recommend(judged.queries, 4, candidates=hidden).item_rows for member in members.values()], axis=1
    )
    answer = model.recommend(judged.queries, 10)
    scored = np.isfinite(model.score(judged.queries))
    for row, items in enumerate(answer.item_rows):
        assert set(items[items != NO_ITEM]) == set(np.flatnonzero(scored[row])) == set(proposed[row])


def test_it_takes_members_that_only_recommend(
    model: Boosted, world: tuple[Dataset, Holdout, dict[str, Recommender]], learned: Holdout, judged: Holdout
) -> None:
    data, _, members = world
    lists = {name: OnlyLists(member) for name, member in members.items() if isinstance(member, Fixed)}
    answer = fit(data, learned, lists).recommend(judged.queries, 10)
    np.testing.assert_array_equal(answer.item_rows, model.recommend(judged.queries, 10).item_rows)


def test_a_source_is_that_of_the_first_named_member_that_scores_the_item(
    world: tuple[Dataset, Holdout, dict[str, Recommender]], learned: Holdout, judged: Holdout
) -> None:
    data, _, members = world
    scores = [member.score(data.queries()).copy() for member in members.values() if isinstance(member, Fixed)]
    scores[0][:, ::2] = -np.inf
    named = {"content": Fixed(scores[0], Source.CONTENT), "popular": Fixed(scores[1], Source.POPULAR)}
    answer = fit(data, learned, named).recommend(judged.queries, 10)
    assert answer.filled.all()
    expected = np.where(answer.item_rows % 2 == 0, Source.POPULAR, Source.CONTENT)
    np.testing.assert_array_equal(answer.sources, expected)
    assert set(answer.sources.ravel()) == {Source.CONTENT, Source.POPULAR}


@pytest.mark.parametrize("hide_seen", [True, False])
def test_items_of_the_history_are_answered_only_where_they_are_not_hidden(
    world: tuple[Dataset, Holdout, dict[str, Recommender]], learned: Holdout, judged: Holdout, hide_seen: bool
) -> None:
    data, _, members = world
    scores = fit(data, learned, members, hide_seen=hide_seen).score(judged.queries)
    seen = judged.queries.history.items
    askable = seen.values < NUM_ASKABLE
    assert np.isfinite(scores[seen.row_of_value, seen.values][askable]).mean() == (not hide_seen)


def test_learning_stops_early_where_there_is_nothing_to_learn() -> None:
    data, holdout, members = make_world(columns=False, decided_by="chance")
    stopped = fit(data, holdout, members, patience=5, num_trees=60)
    through = fit(data, holdout, members, patience=5, num_trees=60, early_stopping_share=1e-9)
    assert stopped.booster.num_trees() < 30
    assert through.booster.num_trees() == 60


def test_the_mean_of_the_members_is_all_where_no_target_is_a_candidate(
    world: tuple[Dataset, Holdout, dict[str, Recommender]], learned: Holdout, judged: Holdout
) -> None:
    data, _, members = world
    targets = Ragged.of([[NUM_ITEMS - 1]] * NUM_LEARNED)
    model = fit(data, Holdout(learned.queries, targets), members, hide_seen=False)
    expected = np.mean(
        [standardised(member.score(judged.queries)) for member in members.values() if isinstance(member, Fixed)], axis=0
    )
    scores = model.score(judged.queries)
    np.testing.assert_allclose(scores[:, :NUM_ASKABLE], expected[:, :NUM_ASKABLE], atol=1e-5)
    assert (scores[:, NUM_ASKABLE:] == -np.inf).all()


@pytest.mark.parametrize("empty", [True, False])
def test_without_validation_events_it_is_an_error_with_a_remedy(
    world: tuple[Dataset, Holdout, dict[str, Recommender]], empty: bool
) -> None:
    data, holdout, members = world
    nothing = holdout.take(np.arange(0)) if empty else None
    message = r"boosted: it is put together on validation events, and there are 0\. Choose a split that keeps"
    with pytest.raises(ModelError, match=message):
        fit(data, nothing, members)


def assert_equal(one: Recommendations, other: Recommendations) -> None:
    np.testing.assert_array_equal(one.item_rows, other.item_rows)
    np.testing.assert_array_equal(one.scores, other.scores)
    np.testing.assert_array_equal(one.sources, other.sources)


def test_a_restored_model_gives_the_same_answers(
    model: Boosted, world: tuple[Dataset, Holdout, dict[str, Recommender]], judged: Holdout
) -> None:
    restored = model.config.build(world[2])
    restored.restore(model.state())
    assert_equal(restored.recommend(judged.queries, 10), model.recommend(judged.queries, 10))


def test_a_model_that_learned_nothing_is_restored_too(
    world: tuple[Dataset, Holdout, dict[str, Recommender]], learned: Holdout, judged: Holdout
) -> None:
    data, _, members = world
    blank = fit(data, Holdout(learned.queries, Ragged.of([[NUM_ITEMS - 1]] * NUM_LEARNED)), members)
    restored = blank.config.build(members)
    restored.restore(blank.state())
    assert_equal(restored.recommend(judged.queries, 10), blank.recommend(judged.queries, 10))


@pytest.mark.slow
def test_the_same_seed_gives_the_same_answers_and_another_seed_does_not(
    model: Boosted, world: tuple[Dataset, Holdout, dict[str, Recommender]], learned: Holdout, judged: Holdout
) -> None:
    data, _, members = world
    again, other = (fit(data, learned, members, seed) for seed in (0, 1))
    assert_equal(again.recommend(judged.queries, 10), model.recommend(judged.queries, 10))
    assert not np.array_equal(other.score(judged.queries), model.score(judged.queries))


def test_no_more_questions_are_learned_from_than_asked_for(
    world: tuple[Dataset, Holdout, dict[str, Recommender]], learned: Holdout, judged: Holdout
) -> None:
    data, _, members = world
    few, all_of_them = (fit(data, learned, members, max_queries=most) for most in (20, NUM_LEARNED))
    assert not np.array_equal(few.score(judged.queries), all_of_them.score(judged.queries))


def test_likes_after_the_question_change_nothing() -> None:
    priced, holdout, members = make_world()
    data = make_world(columns=False)[0]
    rng = np.random.default_rng(6)
    appeal = np.exp(-priced.items.frame["price"].to_numpy() / 20)  # Cheap items are liked, and that is all one knows.
    likes = rng.choice(NUM_ITEMS, (NUM_USERS, 4), p=appeal / appeal.sum())
    log = Interactions.of(Ragged.of(likes), np.tile([1, 2, 3, 4], NUM_USERS) * DAY)
    data = data.with_interactions(log)
    learned = Holdout(data.queries(), holdout.targets).take(np.arange(NUM_LEARNED))
    model = fit(data, learned, members, hide_seen=False)
    before = data.with_interactions(log.where(log.timestamps <= 2 * DAY))
    early, late = (before.queries(times=np.full(NUM_USERS, day * DAY)) for day in (3, 5))
    scores = model.score(early)
    assert not np.array_equal(scores, model.score(late)), "likes matter"
    model.facts = type(model.facts).of(before, model.config.content)
    np.testing.assert_array_equal(model.score(early), scores)
