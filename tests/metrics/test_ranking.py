"""Ranking metrics against ir_measures (TREC's own code) and ranx, and against tables worked by hand."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from genre.core.ragged import Ragged, offsets_of
from genre.metrics.ranking import METRICS, only_targets, ranking_metrics
from genre.metrics.ranks import target_ranks

KS = (1, 3, 10)


def one(*ranks: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return a single query whose targets stand at these ranks."""
    return np.array(ranks), np.array([0, len(ranks)])


@pytest.fixture(scope="module")
def judged() -> tuple[NDArray[np.float32], Ragged]:
    """Return scores without equals for 40 queries and 50 items, and 1 to 15 targets each."""
    rng = np.random.default_rng(0)
    scores = rng.permuted(np.tile(np.arange(50, dtype=np.float32), (40, 1)), axis=1)
    return scores, Ragged.of([rng.choice(50, rng.integers(1, 16), replace=False) for _ in range(40)])


@pytest.fixture(scope="module")
def ours(judged: tuple[NDArray[np.float32], Ragged]) -> dict[str, NDArray[np.float64]]:
    scores, targets = judged
    return ranking_metrics(target_ranks(scores, targets), targets.offsets, KS)


def trec_tables(scores: NDArray[np.float32], targets: Ragged) -> tuple[dict, dict]:
    qrels = {f"q{row:02}": {f"d{item}": 1 for item in targets[row]} for row in range(len(targets))}
    run = {
        f"q{row:02}": {f"d{item}": float(score) for item, score in enumerate(scores[row])} for row in range(len(scores))
    }
    return qrels, run


def trec_map(values: NDArray[np.float64], targets: Ragged, k: int) -> NDArray[np.float64]:
    """Turn AP@k over min(k, number of targets) into TREC's, over the number of targets."""
    return values * np.minimum(targets.lengths, k) / targets.lengths


def test_metrics_are_those_of_ir_measures(
    judged: tuple[NDArray[np.float32], Ragged], ours: dict[str, NDArray[np.float64]]
) -> None:
    import ir_measures
    from ir_measures import AP, RR, P, R, Success, nDCG

    qrels, run = trec_tables(*judged)
    theirs = {"NDCG": nDCG, "Recall": R, "Precision": P, "HitRate": Success, "MRR": RR, "MAP": AP}
    measures = {measure @ k: f"{name}@{k}" for name, measure in theirs.items() for k in KS}
    found = {name: np.full(len(run), np.nan) for name in measures.values()}
    for value in ir_measures.iter_calc(list(measures), qrels, run):
        found[measures[value.measure]][int(value.query_id[1:])] = value.value
    for name, expected in found.items():
        mine = trec_map(ours[name], judged[1], int(name.partition("@")[2])) if name.startswith("MAP") else ours[name]
        np.testing.assert_allclose(mine, expected, atol=1e-6, err_msg=name)


@pytest.mark.slow  # What ranx imports takes seconds.
def test_metrics_are_those_of_ranx(
    judged: tuple[NDArray[np.float32], Ragged],
    ours: dict[str, NDArray[np.float64]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from numba import config

    monkeypatch.setattr(config, "DISABLE_JIT", True)  # ranx would compile itself for a minute.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of what ranx imports.
        from ranx import Qrels, Run, evaluate

        theirs = {"ndcg": "NDCG", "f1": "F1", "mrr": "MRR", "map": "MAP"}
        qrels, run = trec_tables(*judged)
        found = evaluate(Qrels(qrels), Run(run), [f"{name}@10" for name in theirs], return_mean=False)
    for name, values in found.items():
        mine = ours[f"{theirs[name.partition('@')[0]]}@10"]
        np.testing.assert_allclose(trec_map(mine, judged[1], 10) if name == "map@10" else mine, values, err_msg=name)


@pytest.mark.parametrize(
    ("name", "ranks", "k", "expected"),
    [
        ("Precision", (1, 3, 7), 5, 2 / 5),
        ("Recall", (1, 3, 7), 5, 2 / 3),
        ("F1", (1, 3, 7), 5, 1 / 2),
        ("HitRate", (1, 3, 7), 5, 1),
        ("HitRate", (6, np.inf), 5, 0),
        ("MRR", (7, 3), 5, 1 / 3),
        ("MRR", (7, 6), 5, 0),
        ("NDCG", (1,), 5, 1),
        ("NDCG", (3,), 5, 1 / 2),
        ("NDCG", (1, 3, 7), 5, 1.5 / (1 + 1 / np.log2(3) + 1 / 2)),
        ("NDCG", (2, 1, 3), 2, 1),
        ("MAP", (1, 3, 7), 5, (1 + 2 / 3) / 3),
        ("MAP", (3, 1, 2), 2, 1),
        ("MAP", (np.inf,), 5, 0),
    ],
)
def test_metrics_worked_by_hand(name: str, ranks: tuple[float, ...], k: int, expected: float) -> None:
    assert METRICS[name](*one(*ranks), k) == pytest.approx([expected])


@pytest.mark.parametrize(
    ("name", "expected"),
    [("NDCG", 1 / np.log2(3.5)), ("MRR", 1 / 2.5), ("MAP", 1 / 2.5), ("Recall", 1), ("HitRate", 1)],
)
def test_a_rank_between_two_places_counts_with_the_weight_at_that_rank(name: str, expected: float) -> None:
    assert METRICS[name](*one(2.5), 3) == pytest.approx([expected])


@pytest.mark.parametrize("name", METRICS)
def test_half_a_rank_beyond_the_cut_off_is_outside(name: str) -> None:
    assert METRICS[name](*one(10.5), 10).tolist() == [0]


@pytest.mark.parametrize("name", METRICS)
def test_a_query_without_targets_counts_as_nothing_found(name: str) -> None:
    assert METRICS[name](np.array([1.0]), np.array([0, 0, 1, 1]), 1).tolist() == [0, 1, 0]


@given(
    st.lists(st.lists(st.integers(1, 60), unique=True, min_size=1, max_size=20), min_size=1, max_size=5),
    st.integers(1, 30),
)
def test_metrics_lie_between_0_and_1_and_do_not_depend_on_the_order_of_targets(lists: list[list[int]], k: int) -> None:
    offsets = offsets_of(np.array([len(row) for row in lists]))
    ranks = np.array([rank for row in lists for rank in row], np.float32)
    backwards = np.array([rank for row in lists for rank in row[::-1]], np.float32)
    for name, values in ranking_metrics(ranks, offsets, [k]).items():
        assert (values >= 0).all()
        assert (values <= 1 + 1e-12).all(), name
        np.testing.assert_allclose(values, METRICS[name.partition("@")[0]](backwards, offsets, k))


@given(st.lists(st.integers(0, 2), min_size=1, max_size=8), st.integers(1, 8))
def test_equal_scores_of_several_targets_give_no_more_than_the_best_value(levels: list[int], k: int) -> None:
    targets = Ragged.of([range(len(levels))])
    ranks = target_ranks(np.array([levels], np.float32), targets)
    for name, values in ranking_metrics(ranks, targets.offsets, [k]).items():
        best = METRICS[name.partition("@")[0]](*one(*range(1, len(levels) + 1)), k)
        assert values[0] <= best[0] + 1e-12, name


def test_only_targets_drops_queries_that_have_none_left() -> None:
    ranks, offsets, rows = only_targets(
        np.array([4.0, 2.0, 9.0, 1.0]), np.array([0, 2, 3, 4]), np.array([True, True, False, True])
    )
    assert ranks.tolist() == [4, 2, 1]
    assert offsets.tolist() == [0, 2, 3]
    assert rows.tolist() == [0, 2]
