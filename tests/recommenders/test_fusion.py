"""Fusion against sums worked by hand, and against its members where it chooses their weights."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from genre.core.errors import ConfigError, ModelError
from genre.core.interactions import Interactions
from genre.core.queries import NO_ITEM, Candidates, Holdout, Queries, Source
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.recommenders import fusion
from genre.recommenders.base import Recommender
from genre.recommenders.fusion import Fusion, FusionConfig, choose_weights
from genre.recommenders.members import Judged, Pool
from tests.conftest import make_dataset
from tests.recommenders.fixed import Fixed, OnlyLists

NONE = -np.inf
# Mean 2, deviation 1: the scored items are at -1, 1, -1, 1; the worst is -1.
PERSONAL = [1, 3, 1, 3, NONE, NONE, NONE]
# Mean 1, deviation 2: the scored items are at -1/2, 2, -1/2, -1/2, -1/2; the worst is -1/2.
POPULAR = [NONE, 0, 5, 0, 0, 0, NONE]
NUM_USERS, NUM_ITEMS = 300, 30


def questions(num_users: int, history: list[list[int]] | None = None) -> Queries:
    """Let each of the users ask once."""
    events = Interactions.empty(num_users) if history is None else Interactions.of(Ragged.of(history))
    return Queries(events, np.arange(num_users, dtype=np.int32), np.zeros(num_users, np.int64))


def fit(
    members: dict[str, Recommender], num_items: int, validation: Holdout | None = None, **settings: object
) -> Fusion:
    config = FusionConfig(members=tuple(members), **settings)
    return config.build(members).fit(make_dataset(num_users=2, num_items=num_items), RunContext(validation=validation))


def toy(weights: dict[str, float]) -> Fusion:
    """Return one user's fusion of the two rows above, and of a member that scores everything."""
    tables = {"personal": (PERSONAL, Source.PERSONAL), "popular": (POPULAR, Source.POPULAR)}
    members: dict[str, Recommender] = {
        name: Fixed(np.array([row]), source) for name, (row, source) in tables.items() if name in weights
    }
    if "other" in weights:
        members["other"] = Fixed(np.arange(7.0)[None], Source.CONTENT)
    return fit(members, 7, weights=weights)


def tables(num_tables: int, seed: int) -> NDArray[np.float64]:
    """Return (num_tables, NUM_USERS, NUM_ITEMS) scores that have nothing to do with each other."""
    return np.random.default_rng(seed).normal(size=(num_tables, NUM_USERS, NUM_ITEMS))


def best_of(scores: NDArray[np.float64]) -> Holdout:
    """Return a question for each user, to which the item with the highest score is the answer."""
    return Holdout(questions(len(scores)), Ragged.of(scores.argmax(axis=1)[:, None]))


def quality(model: Recommender, holdout: Holdout) -> float:
    """Return NDCG@10 with one answer to each question, read from the lists."""
    found = model.recommend(holdout.queries, 10).item_rows == holdout.targets.values[:, None]
    return float((found / np.log2(np.arange(2, 12))).sum(axis=1).mean())


def test_scores_are_the_weighted_sums_of_standardised_scores() -> None:
    scores = toy({"personal": 3, "popular": 2}).score(questions(1))
    # Item 0 counts as the worst of `popular`, items 4 and 5 as the worst of `personal`; nobody scores item 6.
    np.testing.assert_allclose(scores, [[-3 - 1, 3 - 1, -3 + 4, 3 - 1, -3 - 1, -3 - 1, NONE]], atol=1e-6)


def test_an_item_that_only_a_member_without_weight_scores_is_no_answer() -> None:
    model = toy({"personal": 3, "popular": 2, "other": 0})
    without = toy({"personal": 3, "popular": 2})
    np.testing.assert_array_equal(model.score(questions(1)), without.score(questions(1)))
    assert model.recommend(questions(1), 7).item_rows.tolist() == [[1, 3, 2, 0, 4, 5, NO_ITEM]]


def test_a_member_that_scores_nothing_for_a_query_has_no_say_in_it() -> None:
    silent = np.array([[NONE] * 7, [2, 0, 2, 0, 2, 0, 1]])
    members = {"personal": Fixed(np.array([PERSONAL, PERSONAL])), "silent": Fixed(silent)}
    scores = fit(members, 7, weights={"personal": 1, "silent": 100}).score(questions(2))
    np.testing.assert_allclose(scores[0], [-1, 1, -1, 1, NONE, NONE, NONE], atol=1e-6)
    assert scores[1].argmax() in (0, 2, 4)


def test_the_heaviest_member_that_scores_an_item_gives_its_source() -> None:
    personal, popular, nothing = Source.PERSONAL, Source.POPULAR, Source.NONE
    answer = toy({"personal": 3, "popular": 2, "other": 0}).recommend(questions(1), 7)
    assert answer.item_rows.tolist() == [[1, 3, 2, 0, 4, 5, NO_ITEM]]
    assert answer.sources.tolist() == [[personal, personal, personal, personal, popular, popular, nothing]]
    answer = toy({"personal": 2, "popular": 3, "other": 0}).recommend(questions(1), 7)
    assert answer.item_rows.tolist() == [[2, 1, 3, 0, 4, 5, NO_ITEM]]
    assert answer.sources.tolist() == [[popular, popular, popular, personal, popular, popular, nothing]]


def test_candidates_choose_answers_and_do_not_change_scores() -> None:
    only = Candidates(only=Ragged.of([[4, 2, 6]]))
    answer = toy({"personal": 3, "popular": 2}).recommend(questions(1), 3, candidates=only)
    assert answer.item_rows.tolist() == [[2, 4, NO_ITEM]]
    np.testing.assert_allclose(answer.scores, [[1, -4, NONE]], atol=1e-6)


def test_a_member_that_only_recommends_says_the_same() -> None:
    scoring = {"a": Fixed(np.array([PERSONAL])), "b": Fixed(np.array([POPULAR]), Source.POPULAR)}
    listing = {name: OnlyLists(model) for name, model in scoring.items()}
    expected, answer = (
        fit(members, 7, weights={"a": 3, "b": 2}).recommend(questions(1), 7) for members in (scoring, listing)
    )
    np.testing.assert_array_equal(answer.item_rows, expected.item_rows)
    np.testing.assert_array_equal(answer.scores, expected.scores)
    np.testing.assert_array_equal(answer.sources, expected.sources)


def test_given_weights_belong_to_names_and_need_no_validation_events() -> None:
    members = {name: Fixed(np.array([PERSONAL])) for name in "abc"}
    config = FusionConfig(members=("c", "a"), weights={"a": 0.25, "c": 4})
    model = config.build(members).fit(make_dataset(num_users=2, num_items=7), RunContext())
    assert model.weights.tolist() == [4, 0.25]
    assert model.members == [members["c"], members["a"]]


def test_members_that_know_different_things_are_better_together() -> None:
    one, other = tables(2, seed=1)
    holdout, unseen = best_of((one + other)[:200]), best_of(one + other)
    members = {"one": Fixed(one), "other": Fixed(1000 * other + 7)}  # How large a member's scores are does not matter.
    model = fit(members, NUM_ITEMS, holdout)
    assert model.weights.max() == 1
    assert model.weights.min() > 0.6, "both know half of it"
    # Users that no weight was chosen on.
    last = unseen.take(np.arange(200, NUM_USERS))
    assert quality(model, last) > 1.2 * max(quality(member, last) for member in members.values())


def test_a_member_that_knows_nothing_gets_almost_no_weight() -> None:
    truth, noise, useless = tables(3, seed=2)
    members = {"useless": Fixed(useless), "helpful": Fixed(truth)}
    weights = fit(members, NUM_ITEMS, best_of(truth + 0.7 * noise)).weights
    assert weights[1] == 1
    assert weights[0] < 0.1


@pytest.mark.parametrize("useless", ["constant", "silent", "the same again"])
def test_a_member_that_changes_no_order_gets_no_weight(useless: str) -> None:
    truth, noise = tables(2, seed=3)
    said = {"constant": np.full_like(truth, 5), "silent": np.full_like(truth, NONE), "the same again": truth}[useless]
    model = fit({"helpful": Fixed(truth), "useless": Fixed(said)}, NUM_ITEMS, best_of(truth + noise))
    assert model.weights.tolist() == [1, 0]


@pytest.mark.parametrize("seed", range(6))
def test_on_the_validation_questions_it_is_never_worse_than_its_best_member(seed: int) -> None:
    one, other, third = tables(3, seed=10 + seed)
    share = seed / 5
    holdout = best_of(share * one + (1 - share) * other + third)
    members = {"one": Fixed(one), "other": Fixed(other)}
    model = fit(members, NUM_ITEMS, holdout)
    best = max(quality(member, holdout) for member in members.values())
    assert quality(model, holdout) >= best - 1e-9
    assert model.weights.max() == 1, "however the search went up and down"


def test_the_quality_counts_targets_that_are_no_candidates() -> None:
    pool = Pool(np.array([[2, 5, 7, NO_ITEM], [0, 1, 2, 3]], np.int32), np.zeros((2, 2, 4), np.float32))
    pool.says[0] = [[3, 2, 1, 9], [0, 0, 0, 0]]
    pool.says[1] = [[1, 2, 3, 9], [0, 0, 0, 0]]
    judged = Judged.of(pool, Ragged.of([[7, 4], [9]]))  # Nothing can be won in the second question.
    assert len(judged.pool.items) == 1
    best = 1 + 1 / np.log2(3)
    assert judged.quality(np.array([1.0, 0.0])) == pytest.approx(1 / np.log2(4) / best)
    assert judged.quality(np.array([0.0, 1.0])) == pytest.approx(1 / best)
    assert choose_weights(judged).tolist() == [0, 1]


def test_one_member_keeps_its_order() -> None:
    (truth,) = tables(1, seed=4)
    model = fit({"only": Fixed(truth)}, NUM_ITEMS, best_of(truth))
    assert model.weights.tolist() == [1]
    expected = Fixed(truth).recommend(questions(NUM_USERS), 10)
    np.testing.assert_array_equal(model.recommend(questions(NUM_USERS), 10).item_rows, expected.item_rows)


def test_without_a_target_among_the_candidates_the_first_member_answers_alone() -> None:
    scored = np.array([[3.0, 2, 1, NONE]])
    holdout = Holdout(questions(1), Ragged.of([[3]]))
    assert fit({"a": Fixed(scored), "b": Fixed(scored)}, 4, holdout).weights.tolist() == [1, 0]


def test_items_of_the_history_are_hidden_where_weights_are_chosen_unless_they_may_come_again() -> None:
    # One puts the answer first, the other behind nine items that the user has seen and one more.
    first, behind_seen = np.zeros((2, 1, NUM_ITEMS))
    first[0, [29, 28, 27]] = [2, 3, 1]
    behind_seen[0, :9], behind_seen[0, 29] = 5, 4
    members = {"first": Fixed(first), "behind_seen": Fixed(behind_seen)}
    holdout = Holdout(questions(1, [[*range(9)]]), Ragged.of([[29]]))
    assert fit(members, NUM_ITEMS, holdout).weights.tolist() == [0, 1]
    assert fit(members, NUM_ITEMS, holdout, hide_seen=False).weights[0] > 0


def test_weights_are_chosen_on_no_more_questions_than_asked_for() -> None:
    asked = []

    class Counting(Fixed):
        def score(self, queries: Queries) -> NDArray[np.float32]:
            asked.extend(queries.user_rows.tolist())
            return super().score(queries)

    (truth,) = tables(1, seed=5)
    fit({"a": Counting(truth)}, NUM_ITEMS, best_of(truth), max_queries=7)
    assert len(asked) == len(set(asked)) == 7


def test_small_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = tables(2, seed=6)
    members, holdout = {"one": Fixed(one), "other": Fixed(other)}, best_of(one + other)
    whole = fit(members, NUM_ITEMS, holdout)
    monkeypatch.setattr(fusion, "_BLOCK_BYTES", 4 * 7 * NUM_ITEMS)
    parts = fit(members, NUM_ITEMS, holdout)
    np.testing.assert_array_equal(parts.weights, whole.weights)
    scores = parts.score(holdout.queries)
    monkeypatch.undo()
    np.testing.assert_array_equal(scores, whole.score(holdout.queries))


def test_a_restored_fusion_answers_as_before() -> None:
    one, other = tables(2, seed=7)
    members = {"one": Fixed(one), "other": Fixed(other, Source.POPULAR)}
    model = fit(members, NUM_ITEMS, best_of(2 * one + other))
    again = model.config.build(members)
    again.restore(model.state())
    expected, answer = (found.recommend(questions(NUM_USERS), 10) for found in (model, again))
    np.testing.assert_array_equal(answer.item_rows, expected.item_rows)
    np.testing.assert_array_equal(answer.scores, expected.scores)
    np.testing.assert_array_equal(answer.sources, expected.sources)


@pytest.mark.parametrize("validation", [None, Holdout(questions(0), Ragged.of([]))], ids=["none", "empty"])
def test_without_validation_events_there_is_an_error_with_a_remedy(validation: Holdout | None) -> None:
    with pytest.raises(ModelError, match=r"^fusion: .* validation events, and there are 0\. Choose a split that keeps"):
        fit({"a": Fixed(np.array([PERSONAL]))}, 7, validation)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (("a", "c"), "fusion.members: there is no member 'c' among ['a', 'b']. Name a model of the same experiment."),
        (("a", "b", "a"), "fusion.members: the member 'a' stands twice. Name it once."),
    ],
)
def test_members_that_cannot_be_combined_are_an_error(members: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        FusionConfig(members=members).build({name: Fixed(np.array([PERSONAL])) for name in "ab"})


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"a": 1}, "`weights` are of ['a'], `members` are ['a', 'b']"),
        ({"a": 1, "c": 1}, "`weights` are of ['a', 'c'], `members` are ['a', 'b']"),
        ({"a": 1, "b": -0.5}, "`weights` {'a': 1.0, 'b': -0.5} must be 0 or more, and not all 0"),
        ({"a": 0, "b": 0}, "`weights` {'a': 0.0, 'b': 0.0} must be 0 or more, and not all 0"),
    ],
)
def test_weights_that_make_no_sense_are_an_error(weights: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        FusionConfig(members=("a", "b"), weights=weights)


def test_members_are_needed() -> None:
    with pytest.raises(ValidationError, match="members"):
        FusionConfig(members=())


def test_every_target_of_a_question_counts() -> None:
    one, other = np.zeros((2, 1, NUM_ITEMS))
    one[0, [20, 5, 6, 7]] = [9, 3, 2, 1]  # One of the three targets at the first place.
    other[0, [5, 21, 22, 20]] = [9, 8, 7, 1]  # Two at the second and third, the other at the fourth.
    holdout = Holdout(questions(1), Ragged.of([[20, 21, 22]]))
    weights = fit({"one": Fixed(one), "other": Fixed(other)}, NUM_ITEMS, holdout).weights
    assert weights[1] > 0
    alone = fit({"one": Fixed(one), "other": Fixed(other)}, NUM_ITEMS, Holdout(questions(1), Ragged.of([[20]])))
    assert alone.weights.tolist() == [1, 0]


def test_a_fusion_may_be_a_member() -> None:
    inner = toy({"personal": 3, "popular": 2})
    outer = fit(
        {"inner": inner, "other": Fixed(np.arange(7.0)[None], Source.CONTENT)}, 7, weights={"inner": 5, "other": 1}
    )
    said = np.array([-4, 2, 1, 2, -4, -4])  # Worked out above; the worst stands for item 6.
    expected = 5 * (np.append(said, -4) - said.mean()) / said.std() + (np.arange(7) - 3) / 2
    np.testing.assert_allclose(outer.score(questions(1)), [expected], rtol=1e-5)
    answer = outer.recommend(questions(1), 7)
    assert answer.sources[answer.item_rows == 6].tolist() == [Source.CONTENT]
    assert answer.sources[answer.item_rows == 4].tolist() == [Source.POPULAR]
