"""Ranking of whole models against rankings made item by item."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray

from genre.core.errors import ModelError
from genre.core.queries import Candidates, Holdout
from genre.core.run import Silent
from genre.evaluation.config import EvaluationConfig, SampledRanking
from genre.evaluation.ranking import RankingTask, evaluate_ranking, make_task, rank_block, rank_scores
from genre.metrics.ranking import ndcg
from tests.evaluation.toys import FixedLists, FixedScores, make_holdout

NUM_QUERIES, NUM_ITEMS = 40, 90
T = TypeVar("T")
POPULARITY = np.arange(NUM_ITEMS, 0, -1).astype(np.float64)


@pytest.fixture(scope="module")
def table() -> NDArray[np.float32]:
    """Return scores with many equals, and some items that nobody scores."""
    rng = np.random.default_rng(3)
    scores = rng.integers(0, 25, (NUM_ITEMS, NUM_ITEMS)).astype(np.float32)
    scores[rng.random((NUM_ITEMS, NUM_ITEMS)) < 0.1] = -np.inf
    return scores


@pytest.fixture(scope="module")
def holdout() -> Holdout:
    return make_holdout(NUM_QUERIES, NUM_ITEMS)


def task_of(holdout: Holdout, **settings: object) -> RankingTask:
    config = EvaluationConfig.model_validate(settings)
    return make_task(holdout, config, popularity=POPULARITY, rng=np.random.default_rng(0))


def naive_ranks(table: NDArray[np.float32], holdout: Holdout, pool: list[set[int]]) -> list[float]:
    """Rank each target among the items of its query's pool."""
    ranks = []
    for row in range(len(holdout)):
        scores = {item: table[row, item] for item in pool[row]}
        for target in holdout.targets[row]:
            own = scores[target]
            higher = sum(score > own for score in scores.values())
            equal = sum(score == own for score in scores.values()) - 1
            ranks.append(1 + higher + equal / 2 if own > -np.inf else np.inf)
    return ranks


def unseen(holdout: Holdout) -> list[set[int]]:
    return [set(range(NUM_ITEMS)) - set(holdout.queries.history.items[row]) for row in range(len(holdout))]


def test_scorers_get_exact_ranks_among_all_unseen_items(table: NDArray[np.float32], holdout: Holdout) -> None:
    result = evaluate_ranking(FixedScores(table), task_of(holdout))
    ranks = np.array(naive_ranks(table, holdout, unseen(holdout)))
    for k in (5, 10, 20):
        expected = ndcg(ranks, holdout.targets.offsets, k)
        np.testing.assert_allclose(result.per_query[f"NDCG@{k}"], expected)
    assert result.per_query["NDCG@20"].mean() > 0


def test_seen_items_compete_where_they_are_not_hidden(table: NDArray[np.float32], holdout: Holdout) -> None:
    result = evaluate_ranking(FixedScores(table), task_of(holdout, hide_seen=False))
    ranks = np.array(naive_ranks(table, holdout, [set(range(NUM_ITEMS))] * NUM_QUERIES))
    np.testing.assert_allclose(result.per_query["NDCG@10"], ndcg(ranks, holdout.targets.offsets, 10))


def test_models_without_scores_are_ranked_by_their_lists(holdout: Holdout) -> None:
    table = np.random.default_rng(4).permuted(np.tile(np.arange(NUM_ITEMS, dtype=np.float32), (NUM_ITEMS, 1)), axis=1)
    by_lists = evaluate_ranking(FixedLists(table), task_of(holdout))
    by_scores = evaluate_ranking(FixedScores(table), task_of(holdout))
    for name, values in by_scores.per_query.items():
        np.testing.assert_array_equal(by_lists.per_query[name], values, err_msg=name)
    np.testing.assert_array_equal(by_lists.beyond["novelty"], by_scores.beyond["novelty"])
    assert by_lists.totals == by_scores.totals


@pytest.mark.parametrize("by", ["uniform", "popularity"])
def test_sampled_ranking_ranks_targets_among_the_drawn_items(
    table: NDArray[np.float32], holdout: Holdout, by: str
) -> None:
    task = task_of(holdout, candidates={"kind": "sampled", "num": 7, "by": by})
    drawn = task.candidates.only
    assert drawn is not None
    pool = [set(drawn[row]) for row in range(NUM_QUERIES)]
    for row in range(NUM_QUERIES):
        assert len(pool[row]) == 2 + 7
        assert set(holdout.targets[row]) <= pool[row] <= unseen(holdout)[row]
    result = evaluate_ranking(FixedScores(table), task)
    ranks = np.array(naive_ranks(table, holdout, pool))
    np.testing.assert_allclose(result.per_query["NDCG@5"], ndcg(ranks, holdout.targets.offsets, 5))
    assert result.beyond == {}
    assert result.totals == {}


def test_samples_are_the_same_for_the_same_seed_and_popular_items_are_drawn_more(holdout: Holdout) -> None:
    settings = EvaluationConfig(candidates=SampledRanking(num=10))
    first, again = (
        make_task(holdout, settings, popularity=POPULARITY, rng=np.random.default_rng(9)).candidates.only
        for _ in range(2)
    )
    assert first is not None
    assert again is not None
    assert first.values.tolist() == again.values.tolist()
    uniform = task_of(holdout, candidates={"kind": "sampled", "num": 10, "by": "uniform"}).candidates.only
    assert uniform is not None
    assert POPULARITY[first.values].mean() > POPULARITY[uniform.values].mean() + 5


def test_blocks_stay_under_the_memory_cap_and_change_nothing(table: NDArray[np.float32]) -> None:
    many = make_holdout(NUM_ITEMS, NUM_ITEMS, seed=1)
    wide = np.hstack([table, np.full((NUM_ITEMS, 8_000), -np.inf, np.float32)])
    popularity = np.append(POPULARITY, np.zeros(8_000))
    config = EvaluationConfig(memory_mib=1)
    task = make_task(many, config, popularity=popularity, rng=np.random.default_rng(0))
    model = FixedScores(wide)
    result = evaluate_ranking(model, task)
    assert 1 < model.asked <= 2**20 // (4 * wide.shape[1]) < NUM_ITEMS
    whole = evaluate_ranking(FixedScores(wide), replace(task, config=EvaluationConfig()))
    for name, values in result.per_query.items():
        np.testing.assert_array_equal(values, whole.per_query[name])


def test_beyond_accuracy_is_measured_on_lists_of_the_primary_length(holdout: Holdout) -> None:
    table = np.tile(np.arange(NUM_ITEMS, dtype=np.float32), (NUM_ITEMS, 1))  # Everybody gets the least popular items.
    task = replace(task_of(holdout, primary="NDCG@5"), features=np.eye(NUM_ITEMS, dtype=np.float32))
    result = evaluate_ranking(FixedScores(table), task)
    lists = [sorted(items, reverse=True)[:5] for items in unseen(holdout)]
    share = (POPULARITY + 1) / (POPULARITY.sum() + NUM_ITEMS)
    np.testing.assert_allclose(result.beyond["novelty"], [-np.log2(share[items]).mean() for items in lists])
    np.testing.assert_allclose(result.beyond["average_popularity"], [POPULARITY[items].mean() for items in lists])
    np.testing.assert_allclose(result.beyond["diversity"], 1)
    assert result.totals["coverage"] == len({item for items in lists for item in items}) / NUM_ITEMS
    assert result.totals["popularity_lift"] < -0.5
    assert result.beyond["answered"].tolist() == [1] * NUM_QUERIES
    hits = [len(set(items) & set(holdout.targets[row])) / 5 for row, items in enumerate(lists)]
    np.testing.assert_allclose(result.beyond["serendipity"], hits)  # Popularity recommends the other end.


def test_what_everybody_knows_is_no_serendipity(holdout: Holdout) -> None:
    table = np.tile(POPULARITY.astype(np.float32), (NUM_ITEMS, 1))
    result = evaluate_ranking(FixedScores(table), task_of(holdout))
    assert result.per_query["Recall@10"].sum() > 0
    assert result.beyond["serendipity"].tolist() == [0] * NUM_QUERIES


def test_a_model_that_knows_nothing_answers_and_finds_nothing(holdout: Holdout) -> None:
    result = evaluate_ranking(FixedScores(np.full((NUM_ITEMS, NUM_ITEMS), -np.inf, np.float32)), task_of(holdout))
    assert result.beyond["answered"].sum() == result.beyond["reachable"].sum() == 0
    assert all((values == 0).all() for values in result.per_query.values())
    assert result.totals["coverage"] == 0
    assert np.isnan(result.beyond["novelty"]).all()


def test_groups_are_judged_on_their_own_targets(table: NDArray[np.float32], holdout: Holdout) -> None:
    result = evaluate_ranking(FixedScores(table), task_of(holdout, primary="Recall@20"))
    ranks = np.array(naive_ranks(table, holdout, unseen(holdout)))
    target_is_head = POPULARITY[holdout.targets.values] >= POPULARITY[16]  # 90 + ... + 74 is a third of the likes.
    expected = []
    for row in range(NUM_QUERIES):
        mine = (holdout.targets.row_of_value == row) & target_is_head
        if mine.any():
            expected.append((ranks[mine] <= 20).mean())
    np.testing.assert_allclose(result.groups["item_popularity"]["head"], expected)


def test_rank_block_hides_ranks_and_lists_from_one_block(table: NDArray[np.float32], holdout: Holdout) -> None:
    scores = table[:NUM_QUERIES].copy()
    ranks, rows = rank_block(scores, Candidates(excluded=holdout.queries.history.items), holdout.targets, 3)
    assert ranks.tolist() == naive_ranks(table, holdout, unseen(holdout))
    assert scores[0, 0] == -np.inf
    for row in range(NUM_QUERIES):
        order = sorted(unseen(holdout)[row], key=lambda item: (-table[row, item], item))[:3]
        assert rows[row].tolist() == order


def test_blocks_of_any_size_give_the_same_ranking(table: NDArray[np.float32], holdout: Holdout) -> None:
    def ranking(sizes: list[int]) -> tuple[list[float], list[list[int]]]:
        cuts = np.cumsum([0, *sizes])
        blocks = (table[start:stop].copy() for start, stop in pairwise(cuts))
        found = rank_scores(blocks, Candidates(), holdout.targets, 4)
        return found.ranks.tolist(), found.item_rows.tolist()

    assert ranking([40]) == ranking([1, 20, 12, 7])


def test_scores_for_too_few_queries_are_an_error(table: NDArray[np.float32], holdout: Holdout) -> None:
    with pytest.raises(ModelError, match="scores for 39 queries where 40 were asked"):
        rank_scores([table[:39].copy()], Candidates(), holdout.targets, 4)


def test_progress_is_told_how_many_blocks_there_are(table: NDArray[np.float32], holdout: Holdout) -> None:
    class Recorder(Silent):
        seen: tuple[str, int | None] | None = None

        def track(self, steps: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
            self.seen = (description, total)
            return super().track(steps, description, total)

    progress = Recorder()
    evaluate_ranking(FixedScores(table), task_of(holdout), progress)
    assert progress.seen == ("evaluate popularity", 1)


def test_lists_shorter_than_asked_keep_their_empty_places(holdout: Holdout) -> None:
    table = np.full((NUM_ITEMS, NUM_ITEMS), -np.inf, np.float32)
    table[:, 5] = 1
    for model in (FixedScores(table), FixedLists(table)):
        result = evaluate_ranking(model, task_of(holdout))
        answered = [5 in items for items in unseen(holdout)]
        assert result.beyond["answered"].tolist() == answered
        assert result.totals["coverage"] == pytest.approx(1 / NUM_ITEMS)
