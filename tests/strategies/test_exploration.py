"""Exploration: what is shown, with which probability, and that the probability is told."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError
from scipy import stats

from genre.answers import frame_of
from genre.config import AnswerConfig
from genre.core.errors import ConfigError
from genre.core.interactions import Interactions
from genre.core.queries import NO_ITEM, Queries, Recommendations, Source
from genre.core.run import RunContext
from genre.data.dataset import Dataset, Impressions
from genre.engine import Engine
from genre.recommenders.popularity import PopularityConfig
from genre.strategies.caps import CapConfig
from genre.strategies.exploration import (
    Epsilon,
    EpsilonConfig,
    ItemClicks,
    Thompson,
    ThompsonConfig,
    rng_for,
)
from genre.strategies.rules import HideSeenConfig


def ranked(*rows: list[int]) -> Recommendations:
    items = np.array(rows, np.int32)
    scores = np.where(items == NO_ITEM, -np.inf, -np.arange(items.shape[1], dtype=np.float32)).astype(np.float32)
    return Recommendations(items, scores, np.where(items == NO_ITEM, Source.NONE, Source.PERSONAL).astype(np.int8))


def nobody(count: int = 1) -> Queries:
    return Queries.of(Interactions.empty(count))


def swapped(pool: list[int], epsilon: float) -> dict[tuple[int, ...], float]:
    """Return every list that epsilon can make of a pool with its probability, by following all ways."""
    found = {tuple(pool): 1.0}
    for place in range(len(pool)):
        after: dict[tuple[int, ...], float] = {}
        for way, chance in found.items():
            for other in range(place, len(pool)):
                to = list(way)
                to[place], to[other] = to[other], to[place]
                part = epsilon / (len(pool) - place) + (1 - epsilon) * (other == place)
                after[tuple(to)] = after.get(tuple(to), 0.0) + chance * part
        found = after
    return found


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.7, 1.0])
def test_epsilon_tells_the_probability_of_each_item_at_its_place(epsilon: float) -> None:
    ways = swapped([0, 1, 2, 3], epsilon)
    exact = np.zeros((4, 4))
    for way, chance in ways.items():
        exact[list(way), range(4)] += chance
    told = np.full((4, 4), np.nan)
    pool = ranked(*[[0, 1, 2, 3]] * 2000)
    answer = Epsilon(epsilon)(nobody(2000), pool, np.random.default_rng(0))
    assert answer.propensities is not None
    assert answer.propensities.dtype == np.float32
    told[answer.item_rows, np.arange(4)] = answer.propensities
    seen = ~np.isnan(told)
    assert seen[exact > 0.01].all()
    assert not seen[exact == 0].any()
    np.testing.assert_allclose(told[seen], exact[seen], rtol=1e-6)


def test_lists_of_epsilon_come_as_often_as_they_should() -> None:
    lists = sorted(permutations(range(4)))
    ways = swapped([0, 1, 2, 3], 0.4)
    answer = Epsilon(0.4)(nobody(20_000), ranked(*[[0, 1, 2, 3]] * 20_000), np.random.default_rng(1))
    codes = {one: code for code, one in enumerate(lists)}
    counts = np.bincount([codes[tuple(row)] for row in answer.item_rows.tolist()], minlength=24)
    assert stats.chisquare(counts, [20_000 * ways[one] for one in lists]).pvalue > 0.01


def test_epsilon_mixes_what_is_there_and_leaves_empty_places_last() -> None:
    pool = ranked(*[[7, NO_ITEM, 5, NO_ITEM]] * 50, [NO_ITEM] * 4)
    answer = Epsilon(1.0)(nobody(51), pool, np.random.default_rng(0))
    assert answer.propensities is not None
    assert {tuple(row) for row in answer.item_rows[:50].tolist()} == {(7, 5, -1, -1), (5, 7, -1, -1)}
    assert (answer.propensities[:50, :2] == 0.5).all()
    assert np.isnan(answer.propensities[:, 2:]).all()
    assert answer.item_rows[50].tolist() == [NO_ITEM] * 4
    assert (answer.scores[0][answer.item_rows[0] == 7] == 0).all(), "an item keeps its score"


def test_the_first_places_do_not_depend_on_how_many_are_shown() -> None:
    pool = ranked(list(range(30)))
    whole = Epsilon(0.5)(nobody(), pool, rng_for(3, "list-1"))
    short = Epsilon(0.5)(nobody(), pool, rng_for(3, "list-1")).first(5)
    assert short.item_rows.tolist() == whole.item_rows[:, :5].tolist()
    assert short.propensities is not None
    assert short.propensities.shape == (1, 5)
    other = Epsilon(0.5)(nobody(), pool, rng_for(3, "list-2"))
    assert other.item_rows.tolist() != whole.item_rows.tolist()


def impressions(items: list[int], positions: list[int], clicked: list[bool]) -> Impressions:
    size = len(items)
    return Impressions(
        np.arange(size, dtype=np.int32),
        np.zeros(size, np.int32),
        np.array(items, np.int32),
        np.zeros(size, np.int64),
        np.array(positions, np.int32),
        np.array(clicked),
        np.full(size, np.nan, np.float32),
    )


def test_clicks_are_held_against_those_of_the_place() -> None:
    # Place 0 is clicked three times in four, place 1 once in four.
    shown = impressions(
        [0, 0, 1, 1, 0, 1, 1, 1], [0, 0, 0, 0, 1, 1, 1, 1], [True, True, True, False, False, True, False, False]
    )
    found = ItemClicks.of(shown, 3)
    assert found.clicks.tolist() == [2, 2, 0]
    assert found.expected.tolist() == [2 * 0.75 + 0.25, 2 * 0.75 + 3 * 0.25, 0]
    assert ItemClicks.of(None, 2).expected.tolist() == [0, 0]


def test_thompson_tells_how_often_its_lists_come() -> None:
    clicks = ItemClicks(np.array([2.0, 0, 30, 0]), np.array([10.0, 0, 10, 40]))
    strategy = Thompson(clicks, prior=5, samples=4000)
    pool = ranked([0, 1, 2, 3])
    rng = np.random.default_rng(0)
    answer = strategy(nobody(), pool, rng)
    # Independently: scipy's draws, and a sort for each.
    shape, rate = 5 + clicks.clicks, 5 + clicks.expected
    discount = 1 / np.log2(np.arange(2, 6))
    draws = stats.gamma(shape, scale=1 / rate).rvs((20_000, 4), random_state=7) * discount
    orders = np.array([sorted(range(4), key=lambda item: -row[item]) for row in draws])
    exact = (orders == answer.item_rows[0]).mean(axis=0)
    assert answer.propensities is not None
    np.testing.assert_allclose(answer.propensities[0], exact, atol=0.03)
    shown = np.concatenate([strategy(nobody(), pool, rng).item_rows for _ in range(300)])
    counts = np.bincount(shown[:, 0], minlength=4)
    expected = np.bincount(orders[:, 0], minlength=4) / len(orders) * 300
    several = expected > 5
    wanted = expected[several] * counts[several].sum() / expected[several].sum()
    assert stats.chisquare(counts[several], wanted).pvalue > 0.01


def test_thompson_trusts_what_was_shown_often() -> None:
    known = ItemClicks(np.array([1e6, 2e6, 5e5]), np.array([1e6, 1e6, 1e6]))
    answer = Thompson(known, prior=10, samples=100)(
        nobody(2), ranked([0, 1, 2], [2, 0, NO_ITEM]), np.random.default_rng(0)
    )
    assert answer.item_rows.tolist() == [[1, 0, 2], [0, 2, NO_ITEM]]  # 2 * .63 > 1 > .5 * .5; 1 * .63 > .5.
    assert answer.propensities is not None
    assert answer.propensities[0].tolist() == [1.0, 1.0, 1.0]
    assert np.isnan(answer.propensities[1, 2])


def test_thompson_learns_what_the_model_does_not_know() -> None:
    # The model ranks ten items from the worst to the best; what it shows is clicked by how good it is and where.
    worth, places, rng = np.linspace(0.05, 0.5, 10), 3, np.random.default_rng(0)
    noticed = (1.0 + np.arange(places)) ** -0.7
    pool = ranked(*[list(range(10))] * 100)
    shown, clicked = np.empty((0, places), np.int32), np.empty((0, places), bool)
    earned = []
    for _ in range(40):
        told = impressions(
            shown.ravel().tolist(), np.tile(np.arange(places), len(shown)).tolist(), clicked.ravel().tolist()
        )
        answer = Thompson(ItemClicks.of(told, 10), prior=5, samples=1)(nobody(100), pool, rng).first(places).item_rows
        earned.append(float((noticed * worth[answer]).mean()))
        shown = np.concatenate([shown, answer])
        clicked = np.concatenate([clicked, rng.random(answer.shape) < noticed * worth[answer]])
    model, best = float((noticed * worth[:3]).mean()), float((noticed * worth[[9, 8, 7]]).mean())
    assert earned[0] < 0.6 * best
    assert np.mean(earned[-5:]) > model + 0.8 * (best - model)


def test_thompson_is_built_from_the_impressions_of_the_data(dataset: Dataset) -> None:
    plain = ThompsonConfig(prior=1e9).build(dataset)
    order = list(range(dataset.num_items))
    assert plain(nobody(), ranked(order), np.random.default_rng(0)).item_rows[0].tolist() == order


def test_an_engine_gives_propensities_to_those_who_ask(dataset: Dataset) -> None:
    popularity = PopularityConfig().build({}).fit(dataset, RunContext())
    engine = Engine(dataset, popularity, shaping=(HideSeenConfig(), EpsilonConfig(epsilon=0.5)), pool=8)
    assert engine.explores
    user = str(dataset.users.vocabulary.ids[0])
    first = engine.recommend(user, n=4, rng=rng_for(0, "a"))
    assert first["propensity"].dtype == pl.Float32
    assert first["propensity"].is_between(0, 1).all()
    assert first.equals(engine.recommend(user, n=4, rng=rng_for(0, "a")))
    for rank, item in enumerate(first["item_id"], start=1):
        assert engine.why(user, item, n=4, rng=rng_for(0, "a")).rank == rank
    assert any(not first.equals(engine.recommend(user, n=4, rng=rng_for(0, name))) for name in "bcdef")
    with pytest.raises(ConfigError, match="strategies: 'cap' would move what 'epsilon' has placed"):
        engine.shaped([EpsilonConfig(), CapConfig(column="genres")])
    plain = engine.without_chance()
    assert not plain.explores
    assert "propensity" not in plain.recommend(user, n=4).columns


def test_propensities_stay_with_their_items(dataset: Dataset) -> None:
    answer = ranked([3, 1, NO_ITEM], [2, 4, 5])
    chosen = Recommendations(
        answer.item_rows, answer.scores, answer.sources, np.array([[0.5, 0.25, np.nan], [0.1, 0.2, 0.3]], np.float32)
    )
    assert chosen.propensities is not None
    kept = chosen.compact(np.array([[False, True, True], [True, False, True]])).propensities
    np.testing.assert_allclose(kept, [[0.25, np.nan, np.nan], [0.1, 0.3, np.nan]])
    taken = chosen.take(np.array([1])).propensities
    np.testing.assert_allclose(taken, [[0.1, 0.2, 0.3]])
    joined = chosen.beside(ranked([8], [NO_ITEM])).propensities
    np.testing.assert_allclose(joined, [[0.5, 0.25, np.nan, 1], [0.1, 0.2, 0.3, np.nan]])
    replaced = ranked([7, 8, 9], [7, 8, 9]).with_rows(np.array([1]), chosen.take(np.array([1])))
    np.testing.assert_allclose(replaced.propensities, [[1, 1, 1], [0.1, 0.2, 0.3]])
    assert replaced.item_rows.tolist() == [[7, 8, 9], [2, 4, 5]]
    assert np.isnan(chosen.propensities[0, 2]), "what was given must not change"
    frame = frame_of(dataset, pl.Series(["a", "b"]), chosen)
    np.testing.assert_allclose(frame["propensity"], [0.5, 0.25, 0.1, 0.2, 0.3])


def test_a_config_names_them_and_chance_comes_last() -> None:
    AnswerConfig.model_validate({"strategies": [{"kind": "thompson", "prior": 3}, {"kind": "hide_seen"}]})
    with pytest.raises(ValidationError, match="'cap' would move what 'epsilon' has placed"):
        AnswerConfig(strategies=(EpsilonConfig(), CapConfig(column="genres")))
    with pytest.raises(ValidationError, match="put 'epsilon' last"):
        AnswerConfig(strategies=(EpsilonConfig(), ThompsonConfig()))


def test_the_inverse_of_a_counted_propensity_is_right_on_average() -> None:
    clicks, rng = ItemClicks(np.zeros(3), np.array([0.0, 5, 0])), np.random.default_rng(0)
    told = Thompson(clicks, prior=4, samples=20)(nobody(6000), ranked(*[[0, 1, 2]] * 6000), rng)
    assert told.propensities is not None
    draws = rng.gamma(4, 1 / (4 + clicks.expected), (200_000, 3)) / np.log2(np.arange(2, 5))
    chances = np.bincount(draws.argmax(axis=1), minlength=3) / len(draws)
    for item, chance in enumerate(chances):
        inverse = 1 / told.propensities[told.item_rows[:, 0] == item, 0]
        assert len(inverse) > 100
        wanted = (1 - (1 - chance) ** 21) / chance
        assert inverse.mean() == pytest.approx(wanted, abs=4 * inverse.std() / np.sqrt(len(inverse)))
