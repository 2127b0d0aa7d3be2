"""What composite recommenders share, on rows worked by hand."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numpy.typing import NDArray

from genre.core.errors import ConfigError, ModelError
from genre.core.interactions import Interactions
from genre.core.queries import NO_ITEM, Candidates, Holdout, Queries, Source
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.recommenders.members import (
    Pool,
    named_members,
    questions_to_learn_from,
    scores_of,
    sources_of,
    standardised,
    validator,
    with_sources,
)
from tests.recommenders.fixed import Fixed, FixedConfig, OnlyLists

NONE = -np.inf


def table(rows: list[list[float]]) -> NDArray[np.float32]:
    return np.array(rows, np.float32)


def questions(num_users: int, history: list[list[int]] | None = None) -> Queries:
    """Let each of the users ask once."""
    events = Interactions.empty(num_users) if history is None else Interactions.of(Ragged.of(history))
    return Queries(events, np.arange(num_users, dtype=np.int32), np.zeros(num_users, np.int64))


def holdout_of(num_users: int) -> Holdout:
    """Each user has seen the item of the own row, and liked the next one."""
    return Holdout(
        questions(num_users, [[row] for row in range(num_users)]), Ragged.of([[row + 1] for row in range(num_users)])
    )


def test_members_come_in_the_order_of_their_names() -> None:
    members = {name: Fixed(table([[0]])) for name in "abc"}
    found = named_members(("c", "a"), members, "fusion")
    assert list(found) == ["c", "a"]
    assert found["c"] is members["c"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("a", "x"), "stack.members: there is no member 'x' among ['a', 'b']. Name a model of the same experiment."),
        (("b", "b"), "stack.members: the member 'b' stands twice. Name it once."),
    ],
)
def test_unknown_and_doubled_members_are_an_error(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        named_members(names, {name: Fixed(table([[0]])) for name in "ba"}, "stack")


def test_all_validation_questions_are_asked_without_what_was_seen() -> None:
    holdout = holdout_of(9)
    for most in (None, 9, 100):
        asked, candidates = questions_to_learn_from(RunContext(validation=holdout), "stack", most=most)
        assert asked is holdout
        assert candidates.excluded is not None
        np.testing.assert_array_equal(candidates.excluded.values, np.arange(9))
    _, candidates = questions_to_learn_from(RunContext(validation=holdout), "stack", hide_seen=False)
    assert candidates.excluded is None


def test_some_validation_questions_are_drawn_by_the_seed() -> None:
    holdout = holdout_of(50)
    drawn = []
    for seed in (0, 0, 1):
        asked, candidates = questions_to_learn_from(RunContext(seed, holdout), "stack", most=10)
        rows = asked.queries.user_rows
        assert len(set(rows.tolist())) == 10
        assert (np.diff(rows) > 0).all(), "in the order of the log"
        np.testing.assert_array_equal(asked.targets.values, rows + 1)
        assert candidates.excluded is not None
        np.testing.assert_array_equal(candidates.excluded.values, rows)
        drawn.append(rows.tolist())
    assert drawn[0] == drawn[1] != drawn[2]


def test_each_look_at_the_validation_questions_is_told_to_whom_the_run_names() -> None:
    told: list[float] = []
    model = Fixed(table([[9, 3, 2, 1], [1, 9, 2, 3]]))  # The first ranks its target first, the second one second.
    look = validator(model, RunContext(validation=holdout_of(2), watch=told.append))
    assert look is not None
    assert [look(), look()] == told == pytest.approx([(1 + 1 / np.log2(3)) / 2] * 2)


@pytest.mark.parametrize("validation", [None, holdout_of(0)], ids=["none", "empty"])
def test_without_validation_questions_there_is_an_error_with_a_remedy(validation: Holdout | None) -> None:
    message = (
        "stack: it is put together on validation events, and there are 0. "
        "Choose a split that keeps validation events, or leave this model out."
    )
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        questions_to_learn_from(RunContext(validation=validation), "stack")


def test_lists_become_scores() -> None:
    said = table([[3, NONE, 1, 2], [NONE, NONE, NONE, NONE]])
    np.testing.assert_array_equal(scores_of(Fixed(said), questions(2), 4), said)
    scores = scores_of(OnlyLists(Fixed(said)), questions(2), 4)
    np.testing.assert_array_equal(scores, said)
    assert scores.dtype == np.float32


def test_standardised_scores_have_mean_0_and_deviation_1_and_the_others_are_the_lowest() -> None:
    scores = table([[NONE, 0, 5, 0, 0, 0, NONE], [-9, -3, -9, -3, NONE, -9, -3]])  # Deviation 2, and 3.
    result = standardised(scores)
    np.testing.assert_allclose(result, [[-0.5, -0.5, 2, -0.5, -0.5, -0.5, -0.5], [-1, 1, -1, 1, -1, -1, 1]], rtol=1e-6)
    assert result is scores, "in place: these blocks are the largest arrays there are"


def test_standardised_rows_that_say_nothing_are_0() -> None:
    rows = table([[0.1] * 5, [NONE] * 5, [NONE, 7, NONE, 7, NONE], [NONE, NONE, 4, NONE, NONE]])
    np.testing.assert_array_equal(standardised(rows), np.zeros((4, 5)))
    assert standardised(np.empty((0, 3), np.float32)).shape == (0, 3)
    assert standardised(np.empty((3, 0), np.float32)).shape == (3, 0)


def test_standardising_undoes_scale_and_shift() -> None:
    scores = np.random.default_rng(0).normal(size=(20, 30)).astype(np.float32)
    expected = (scores - scores.mean(axis=1, keepdims=True)) / scores.std(axis=1, keepdims=True)
    np.testing.assert_allclose(standardised(1000 * scores + 300), expected, atol=1e-4)


def test_the_source_of_an_item_is_the_models_wherever_it_stands() -> None:
    said = table([[1, NONE, 3, 2], [4, 5, NONE, 6]])
    asked = np.array([[0, 1, NO_ITEM], [3, 0, 2]], np.int32)
    personal, nothing = Source.PERSONAL, Source.NONE
    found = sources_of(Fixed(said), questions(2), asked)
    assert found.tolist() == [[personal, nothing, nothing], [personal, personal, nothing]]
    assert found.dtype == np.int8


def test_each_item_keeps_the_source_that_its_model_gives_it() -> None:
    class Mixed(Fixed):
        """Even items come from a segment, odd ones from what is popular."""

        def recommend(self, queries: Queries, n: int, *, candidates: Candidates | None = None):
            answer = super().recommend(queries, n, candidates=candidates)
            answer.sources[answer.filled] = np.where(
                answer.item_rows[answer.filled] % 2, Source.POPULAR, Source.SEGMENT
            )
            return answer

    asked = np.array([[1, 2, 3], [2, 0, NO_ITEM]], np.int32)
    found = sources_of(Mixed(table([[1, 2, 3, 4], [4, 3, 2, 1]])), questions(2), asked)
    popular, segment = Source.POPULAR, Source.SEGMENT
    assert found.tolist() == [[popular, segment, popular], [segment, segment, Source.NONE]]


def test_the_first_model_that_can_score_an_item_gives_its_source() -> None:
    everything = Fixed(table([[4, 3, 2, NONE], [1, 2, 3, 4]]))
    first = Fixed(table([[NONE, 1, NONE, NONE], [NONE] * 4]), Source.CONTENT)
    second = Fixed(table([[1, 1, 1, NONE], [1, 1, 1, NONE]]), Source.POPULAR)
    answer = everything.recommend(questions(2), 4)
    result = with_sources(answer, questions(2), [first, second])
    content, popular, nothing = Source.CONTENT, Source.POPULAR, Source.NONE
    np.testing.assert_array_equal(result.item_rows, [[0, 1, 2, NO_ITEM], [3, 2, 1, 0]])
    assert result.sources.tolist() == [[popular, content, popular, nothing], [nothing, popular, popular, popular]]
    np.testing.assert_array_equal(result.scores, answer.scores)
    assert (answer.sources[answer.filled] == Source.PERSONAL).all(), "the answer itself stays as it was"


def test_models_are_asked_only_while_a_source_is_missing() -> None:
    class Broken(Fixed):
        def recommend(self, queries: Queries, n: int, *, candidates: Candidates | None = None):
            raise AssertionError("was asked")

    said = table([[1, 2]])
    answer = Fixed(said).recommend(questions(1), 2)
    with_sources(answer, questions(1), [Fixed(said), Broken(said)])
    with pytest.raises(AssertionError, match="was asked"):
        with_sources(answer, questions(1), [Broken(said)])


def pool_of_two(candidates: Candidates | None = None, n: int = 2) -> Pool:
    one = table([[5, 4, 3, 2, 1], [NONE, NONE, NONE, 1, 3]])
    other = table([[0, 4, 0, 0, 1], [1, 3, NONE, NONE, NONE]])
    return Pool.ask([Fixed(one), OnlyLists(Fixed(other))], questions(2), candidates, n, 5)


def listed(pool: Pool) -> list[list[int]]:
    return [row[kept].tolist() for row, kept in zip(pool.items, pool.filled, strict=True)]


def test_a_pool_holds_each_members_best_once() -> None:
    assert listed(pool_of_two()) == [[0, 1, 4], [0, 1, 3, 4]]
    assert listed(pool_of_two(n=1)) == [[0, 1], [1, 4]]
    assert listed(pool_of_two(n=99)) == [[0, 1, 2, 3, 4], [0, 1, 3, 4]]


def test_a_pool_holds_what_may_be_returned_and_standardises_over_all_items() -> None:
    candidates = Candidates(excluded=Ragged.of([[0, 1], [4]]))
    hidden, whole = pool_of_two(candidates), pool_of_two(n=5)
    assert listed(hidden) == [[2, 3, 4], [0, 1, 3]]
    for row in range(2):
        says = {item: whole.says[:, row, column].tolist() for column, item in enumerate(whole.items[row])}
        for column in np.flatnonzero(hidden.filled[row]):
            assert hidden.says[:, row, column].tolist() == says[hidden.items[row, column]]


def test_a_pool_tells_what_each_member_says() -> None:
    pool = pool_of_two()
    deviation = np.sqrt(2)  # Of 5, 4, 3, 2, 1, whose mean is 3.
    first, second = (pool.says[0, row][pool.filled[row]] for row in range(2))
    np.testing.assert_allclose(first, [2 / deviation, 1 / deviation, -2 / deviation], rtol=1e-6)
    np.testing.assert_allclose(second, [-1, -1, -1, 1], rtol=1e-6)  # It does not score items 0 and 1.
    np.testing.assert_allclose(pool.says[1, 1][pool.filled[1]], [-1, 1, -1, -1], rtol=1e-6)


def test_targets_are_found_in_the_columns_of_a_pool() -> None:
    pool = pool_of_two()
    targets = Ragged.of([[4, 2, 0], [3]])
    columns = pool.columns_of(targets)
    assert columns.lengths.tolist() == [2, 1]
    assert pool.items[columns.row_of_value, columns.values].tolist() == [4, 0, 3]
    assert pool.columns_of(Ragged.of([[2], []])).lengths.tolist() == [0, 0]


def test_pools_are_joined_and_taken_query_by_query() -> None:
    pool = pool_of_two()
    parts = [pool.take(np.array([row])) for row in (0, 1)]
    whole = Pool.joined(parts)
    np.testing.assert_array_equal(whole.items, pool.items)
    np.testing.assert_array_equal(whole.says, pool.says)
    turned = pool.take(np.array([1, 0]))
    np.testing.assert_array_equal(turned.items, pool.items[::-1])
    np.testing.assert_array_equal(turned.says, pool.says[:, ::-1])


class BriefConfig(FixedConfig):
    """Of a model that ranks two items."""

    @property
    def num_ranked(self) -> int:
        return 2


def test_a_model_that_ranks_few_items_tells_of_these_alone() -> None:
    model = OnlyLists(Fixed(table([[1, 4, 3, 2]])))
    model.config = BriefConfig()
    np.testing.assert_array_equal(scores_of(model, questions(1), 4), table([[NONE, 4, 3, NONE]]))


@pytest.mark.parametrize("kind", [Fixed, lambda scores: OnlyLists(Fixed(scores))], ids=["scores", "lists"])
def test_an_epoch_is_judged_by_ndcg(kind: type[Fixed]) -> None:
    # The targets are the items 1 and 2; the items 0 and 1 were seen.
    model = kind(table([[9, 2, 1, 0], [1, 9, 2, 3]]))
    run = RunContext(validation=holdout_of(2))
    hidden, shown = validator(model, run), validator(model, run, hide_seen=False)
    assert hidden is not None
    assert shown is not None
    assert hidden() == pytest.approx((1 + 1 / np.log2(3)) / 2)
    assert shown() == pytest.approx((1 / np.log2(3) + 1 / np.log2(4)) / 2)
    assert validator(model, RunContext()) is None


def test_an_epoch_may_be_judged_by_some_questions_always_the_same() -> None:
    asked: list[int] = []

    class Counting(Fixed):
        def score(self, queries: Queries) -> NDArray[np.float32]:
            asked.extend(queries.user_rows.tolist())
            return super().score(queries)

    value = validator(Counting(np.eye(9)), RunContext(validation=holdout_of(8)), most=3)
    assert value is not None
    value()
    value()
    assert len(set(asked)) == 3
    assert asked[:3] == asked[3:]
