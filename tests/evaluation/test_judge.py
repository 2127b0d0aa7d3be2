"""From fitted models to a file of results, and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from genre.core.errors import ArtifactError, ConfigError
from genre.core.run import RunContext
from genre.data.dataset import Dataset, Impressions
from genre.data.splits import LeaveOneOutConfig, Split, split
from genre.evaluation.comparison import compare, leaderboard
from genre.evaluation.config import EvaluationConfig
from genre.evaluation.judge import Judge, Judgement
from genre.evaluation.results import Results
from genre.evaluation.summary import summarize
from genre.recommenders.ease import EaseConfig
from genre.recommenders.popularity import PopularityConfig
from tests.conftest import make_dataset

RUN = RunContext(seed=1)
CONFIG = EvaluationConfig(bootstrap=200)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return make_dataset(num_users=300)


@pytest.fixture(scope="module")
def part(data: Dataset) -> Split:
    return split(data, LeaveOneOutConfig(), RUN.rng("split"))[0]


@pytest.fixture(scope="module")
def judge(data: Dataset, part: Split) -> Judge:
    return Judge.of(data, part, CONFIG, RUN, features=np.eye(data.num_items, dtype=np.float32))


@pytest.fixture(scope="module")
def found(judge: Judge, part: Split) -> dict[str, list[list[Judgement]]]:
    """Return popularity, and EASE with two strengths in the place of two seeds."""
    ease = [EaseConfig(regularization=value).build({}).fit(part.train, RUN) for value in (1, 500)]
    popularity = PopularityConfig().build({}).fit(part.train, RUN)
    return {
        "popularity": [[judge.judge(popularity, fit_seconds=1.0, fit_memory=10)]],
        "ease": [[judge.judge(model, fit_seconds=2.0, fit_memory=20 + place)] for place, model in enumerate(ease)],
    }


@pytest.fixture(scope="module")
def results(found: dict[str, list[list[Judgement]]], judge: Judge) -> Results:
    return summarize(found, [judge], CONFIG, RUN)


def test_the_better_model_leads(results: Results) -> None:
    ease, popularity = results.models["ease"], results.models["popularity"]
    assert ease.test["NDCG@10"].mean > popularity.test["NDCG@10"].mean
    assert results.comparison.best == "ease"
    assert results.comparison.tests["popularity"].p_adjusted < 0.05
    assert leaderboard(results)["model"].to_list() == ["ease", "popularity"]


def test_values_are_means_over_seeds_with_intervals_over_queries(
    results: Results, found: dict[str, list[list[Judgement]]]
) -> None:
    both = [seed[0].test.per_query["Recall@5"] for seed in found["ease"]]
    interval = results.models["ease"].test["Recall@5"]
    assert interval.mean == pytest.approx(np.mean(both))
    assert interval.low < interval.mean < interval.high
    means = np.array([values.mean() for values in both])
    seeds = results.models["ease"].seeds["Recall@5"]
    low, high = stats.t.interval(0.95, 1, loc=means.mean(), scale=stats.sem(means))
    assert (seeds.mean, seeds.low, seeds.high) == pytest.approx((means.mean(), low, high))
    assert results.models["popularity"].seeds == {}
    np.testing.assert_allclose(
        results.per_query["ease"], np.mean([seed[0].test.per_query["NDCG@10"] for seed in found["ease"]], axis=0)
    )


def test_equal_values_get_equal_intervals(results: Results) -> None:
    test = results.models["ease"].test  # With one target a query, both are the same numbers.
    assert test["Recall@10"] == test["HitRate@10"]


def test_costs_slices_beyond_and_clicks_are_there(results: Results, judge: Judge) -> None:
    ease = results.models["ease"]
    assert ease.seconds["fit"] == 2.0
    assert ease.memory["fit"] == 21
    assert ease.seconds["evaluate"] > 0
    assert 0 < ease.seconds["answer"] < 1
    assert set(ease.slices) == {"history_length", "cold_users", "item_popularity", "user.country", "user.age"}
    countries = ease.slices["user.country"]
    assert set(countries.groups) == {"CN", "FR"}
    assert sum(group.queries for group in countries.groups.values()) == len(judge.test.holdout)
    assert countries.gap is not None
    values = {name: group.value.mean for name, group in countries.groups.items()}
    assert countries.gap.value == pytest.approx(values[countries.gap.best] - values[countries.gap.worst])
    assert {"coverage", "gini", "entropy", "novelty", "serendipity", "diversity"} <= set(ease.beyond)
    assert ease.clicks.values["gauc"].mean > 0.6
    assert sum(ease.clicks.curve.sizes) == len(judge.shown.clicked)
    assert results.protocol["clicks_from"] == "sampled"
    assert results.protocol["queries"]["test"] == len(judge.test.holdout)


def test_results_survive_the_disk(results: Results, tmp_path: Path) -> None:
    results.save(tmp_path)
    again = Results.load(tmp_path)
    assert again.to_dict() == results.to_dict()
    assert np.isnan(again.models["ease"].beyond["coverage"].low)
    assert again.comparison == results.comparison
    for name, values in results.per_query.items():
        np.testing.assert_array_equal(again.per_query[name], values)
    plain = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert plain["models"]["ease"]["test"]["NDCG@10"].keys() == {"mean", "low", "high"}
    assert plain["models"]["ease"]["beyond"]["coverage"]["low"] is None
    assert "NaN" not in (tmp_path / "metrics.json").read_text(encoding="utf-8")


def spoil_values(directory: Path) -> None:
    text = (directory / "metrics.json").read_text(encoding="utf-8")
    (directory / "metrics.json").write_text(text.replace('"comparison"', '"comparisons"'), encoding="utf-8")


@pytest.mark.parametrize(
    "damage",
    [
        spoil_values,
        lambda directory: (directory / "metrics.json").write_text("{", encoding="utf-8"),
        lambda directory: (directory / "metrics.json").unlink(),
        lambda directory: (directory / "per_query.npz").unlink(),
        lambda directory: (directory / "per_query.npz").write_bytes(b"PK"),
    ],
)
def test_damaged_results_are_named(results: Results, tmp_path: Path, damage: Callable[[Path], object]) -> None:
    results.save(tmp_path)
    damage(tmp_path)
    with pytest.raises(ArtifactError, match=r"the metrics cannot be read .* Run the experiment again"):
        Results.load(tmp_path)


def test_judgements_survive_the_disk(
    found: dict[str, list[list[Judgement]]], results: Results, judge: Judge, tmp_path: Path
) -> None:
    stored: dict[str, list[list[Judgement]]] = {}
    for name, seeds in found.items():
        for place, seed in enumerate(seeds):
            directory = tmp_path / f"{name}-{place}"
            directory.mkdir()
            seed[0].save(directory)
            stored.setdefault(name, []).append([Judgement.load(directory)])
    assert summarize(stored, [judge], CONFIG, RUN).to_dict() == results.to_dict()


def test_judging_twice_gives_the_same(data: Dataset, part: Split, judge: Judge) -> None:
    again = Judge.of(data, part, CONFIG, RUN)
    model = PopularityConfig().build({}).fit(part.train, RUN)
    first, second = (one.judge(model, fit_seconds=0, fit_memory=0) for one in (judge, again))
    np.testing.assert_array_equal(first.test.per_query["NDCG@10"], second.test.per_query["NDCG@10"])
    assert first.clicks.auc == second.clicks.auc
    assert "diversity" in first.test.beyond
    assert "diversity" not in second.test.beyond
    assert first.validation.beyond == {}


def test_queries_of_several_splits_are_put_together(judge: Judge, found: dict[str, list[list[Judgement]]]) -> None:
    twice = {name: [[seed[0], seed[0]] for seed in seeds] for name, seeds in found.items()}
    results = summarize(twice, [judge, judge], CONFIG, RUN)
    assert len(results.per_query["ease"]) == 2 * len(judge.test.holdout)
    assert results.protocol["queries"]["test"] == 2 * len(judge.test.holdout)
    groups = results.models["ease"].slices["user.country"].groups
    assert sum(group.queries for group in groups.values()) == 2 * len(judge.test.holdout)


def test_impressions_are_used_where_there_are_some(data: Dataset, part: Split) -> None:
    parts = (part.validation, part.test)
    users = np.concatenate([holdout.queries.user_rows for holdout in parts])
    times = np.concatenate([holdout.queries.times for holdout in parts])
    targets = np.concatenate([holdout.targets.values for holdout in parts])
    size = len(users)
    shown = Impressions(
        np.tile(np.arange(size, dtype=np.int32), 2),
        np.tile(users, 2),
        np.concatenate([targets, (targets + 1) % data.num_items]).astype(np.int32),
        np.tile(times, 2),
        np.zeros(2 * size, np.int32),
        np.arange(2 * size) < size,
        np.full(2 * size, np.nan, np.float32),
    )
    judge = Judge.of(replace(data, impressions=shown), part, CONFIG, RUN)
    assert judge.clicks_from == "impressions"
    assert (judge.shown.items.lengths == 2).all()
    assert set(judge.shown.queries.user_rows) == set(part.test.queries.user_rows)
    assert (judge.shown.queries.history.end_times < judge.shown.queries.times).all()


def test_comparing_worked_by_hand() -> None:
    rng = np.random.default_rng(0)
    base = rng.random(100)
    values = {"low": base - 0.3 + rng.normal(0, 0.1, 100), "high": base, "same": base.copy()}
    comparison = compare(values, CONFIG, rng)
    assert comparison.best == "high"
    assert comparison.tests["low"].mean == pytest.approx(np.mean(base - values["low"]))
    assert comparison.tests["low"].p_adjusted == pytest.approx(2 * stats.ttest_rel(base, values["low"]).pvalue)
    assert comparison.tests["same"].p_adjusted == 1
    assert compare({"alone": base}, CONFIG, rng).tests == {}


def test_models_judged_on_different_queries_are_not_compared() -> None:
    with pytest.raises(ConfigError, match=r"the models were judged on different queries: \{'a': 2, 'b': 3\}"):
        compare({"a": np.zeros(2), "b": np.zeros(3)}, CONFIG, np.random.default_rng(0))
