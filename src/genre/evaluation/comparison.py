"""Which model is best, and whether the others are really worse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genre.core.errors import ConfigError
from genre.evaluation.config import EvaluationConfig
from genre.evaluation.results import AgainstBest, Comparison, Results
from genre.metrics.statistics import holm, paired_difference


def compare(
    per_query: Mapping[str, NDArray[np.float64]], config: EvaluationConfig, rng: np.random.Generator
) -> Comparison:
    """Test the model with the highest mean against each other one, on the same queries.

    The p-values say how sure the order is on these queries. They are adjusted for the number of models, but not for
    having looked at the test part to find the best one: choose a model by its validation metric.

    Args:
        per_query: The primary metric on each query (B,) by model, in the same order of queries.
        config: Which test, how many samples.
        rng: For the bootstrap.

    Raises:
        ConfigError: The models were judged on different numbers of queries.
    """
    sizes = {name: len(values) for name, values in per_query.items()}
    if len(set(sizes.values())) > 1:
        raise ConfigError(
            f"the models were judged on different queries: {sizes!r}",
            place="compare",
            remedy="Compare models of the same data, split and evaluation settings.",
        )
    best = max(per_query, key=lambda name: float(per_query[name].mean()))
    differences = {
        name: paired_difference(
            per_query[best],
            values,
            test=config.paired_test,
            samples=config.bootstrap,
            confidence=config.confidence,
            rng=rng,
        )
        for name, values in per_query.items()
        if name != best
    }
    adjusted = holm(np.array([difference.p_value for difference in differences.values()]))
    tests = {
        name: AgainstBest(**asdict(difference), p_adjusted=float(p_value))
        for (name, difference), p_value in zip(differences.items(), adjusted, strict=True)
    }
    return Comparison(best, tests)


def leaderboard(results: Results) -> pl.DataFrame:
    """Return one row for each model, the best first.

    Columns: `model`; the primary metric with its `low` and `high` bound; `worse_by` how much and the adjusted
    `p_value` of the difference from the best (null for the best); `seeds_low` and `seeds_high` where there are several
    seeds; NDCG, recall and MRR at the same list length; coverage; and the seconds of fitting.
    """
    primary = results.primary
    shown = [f"{name}@{primary.partition('@')[2]}" for name in ("NDCG", "Recall", "MRR")]
    rows = []
    for name, model in results.models.items():
        value, test = model.test[primary], results.comparison.tests.get(name)
        row = {"model": name, primary: value.mean, "low": value.low, "high": value.high}
        row |= {"worse_by": test.mean if test else None, "p_value": test.p_adjusted if test else None}
        if seeds := model.seeds.get(primary):
            row |= {"seeds_low": seeds.low, "seeds_high": seeds.high}
        row |= {metric: model.test[metric].mean for metric in shown if metric != primary}
        if "coverage" in model.beyond:
            row["coverage"] = model.beyond["coverage"].mean
        rows.append(row | {"fit_seconds": model.seconds.get("fit")})
    return pl.DataFrame(rows, infer_schema_length=None).sort(primary, descending=True, maintain_order=True)
