"""Sums up what was found of models over seeds and splits: means, intervals, gaps and tests.

Over splits, queries are put together; over seeds, each query's values are averaged. So the bootstrap over queries tells
how far other users might change a number, and Student's t over seeds how far another seed might.

Shapes: B queries of all splits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from genre.core.run import RunContext
from genre.evaluation.comparison import compare
from genre.evaluation.config import EvaluationConfig
from genre.evaluation.judge import Judge, Judgement
from genre.evaluation.results import Clicks, Curve, GroupResult, Intervals, ModelResult, Results, SliceResult
from genre.evaluation.slices import gap_of
from genre.metrics.beyond import PerQuery
from genre.metrics.statistics import Interval, bootstrap_interval, seeds_interval

Judgements: TypeAlias = Sequence[Sequence[Judgement]]
"""Of one model: for each seed, one for each split."""


def summarize(
    models: Mapping[str, Judgements], judges: Sequence[Judge], config: EvaluationConfig, run: RunContext
) -> Results:
    """Sum up an experiment.

    Args:
        models: What was found of each model; all on the same splits, with any number of seeds each.
        judges: One for each split.
        config: How it was judged.
        run: Gives the seed of the bootstrap.
    """
    per_query = {
        name: _over_seeds(judgements, lambda found: found.test.per_query)[config.primary]
        for name, judgements in models.items()
    }
    protocol = config.model_dump(mode="json") | {
        "queries": {
            "validation": sum(len(judge.validation.holdout) for judge in judges),
            "test": sum(len(judge.test.holdout) for judge in judges),
        },
        "splits": len(judges),
        "seeds": {name: len(judgements) for name, judgements in models.items()},
        "clicks_from": judges[0].clicks_from,
        "probabilities": "Platt scaling of scores, fitted on the validation part",
    }
    return Results(
        config.primary,
        protocol,
        {name: summarize_model(judgements, config, run) for name, judgements in models.items()},
        compare(per_query, config, run.rng("comparison")),
        per_query,
    )


def summarize_model(judgements: Judgements, config: EvaluationConfig, run: RunContext) -> ModelResult:
    """Sum up one model."""

    def interval(values: PerQuery) -> Interval:
        rng = run.rng("bootstrap")  # Anew each time: equal values get equal intervals.
        return bootstrap_interval(values, samples=config.bootstrap, confidence=config.confidence, rng=rng)

    def intervals(part: Callable[[Judgement], Mapping[str, PerQuery]]) -> Intervals:
        return {name: interval(values) for name, values in _over_seeds(judgements, part).items()}

    every = [found for seed in judgements for found in seed]
    answer = float(np.mean([found.answer_seconds for found in every]))
    totals = {name: _mean([found.test.totals[name] for found in every]) for name in every[0].test.totals}
    return ModelResult(
        test=intervals(lambda found: found.test.per_query),
        validation=intervals(lambda found: found.validation.per_query),
        beyond=intervals(lambda found: found.test.beyond) | totals,
        clicks=_clicks(every),
        slices=_slices(judgements, config, interval),
        seeds=_seeds(judgements, config.confidence),
        seconds={
            "fit": float(np.mean([found.fit_seconds for found in every])),
            "evaluate": float(np.mean([found.test.seconds for found in every])),
            **({"answer": answer} if math.isfinite(answer) else {}),
        },
        memory={
            "fit": max(found.fit_memory for found in every),
            "evaluate": max(found.test.memory for found in every),
        },
    )


def _over_seeds(judgements: Judgements, part: Callable[[Judgement], Mapping[str, PerQuery]]) -> dict[str, PerQuery]:
    """Return by name the values (B,) of the queries of all splits, the mean over seeds."""
    pooled: dict[str, list[PerQuery]] = {}
    for seed in judgements:
        found = [part(split) for split in seed]
        for name in dict.fromkeys(name for values in found for name in values):
            of_seed = [values[name] for values in found if name in values]
            pooled.setdefault(name, []).append(np.concatenate(of_seed))
    return {name: np.mean(seeds, axis=0) for name, seeds in pooled.items()}


def _seeds(judgements: Judgements, confidence: float) -> Intervals:
    """Return the means over seeds, empty for a single one."""
    if len(judgements) < 2:
        return {}
    means = [{name: values.mean() for name, values in _over_seeds([seed], _accuracy).items()} for seed in judgements]
    return {name: seeds_interval(np.array([mean[name] for mean in means]), confidence) for name in means[0]}


def _accuracy(found: Judgement) -> Mapping[str, PerQuery]:
    return found.test.per_query


def _slices(
    judgements: Judgements, config: EvaluationConfig, interval: Callable[[PerQuery], Interval]
) -> dict[str, SliceResult]:
    def groups_of(name: str) -> dict[str, GroupResult]:
        pooled = _over_seeds(judgements, lambda found: found.test.groups.get(name, {}))
        return {group: GroupResult(interval(values), len(values)) for group, values in pooled.items()}

    slices = {}
    for name in dict.fromkeys(name for found in judgements[0] for name in found.test.groups):
        groups = groups_of(name)
        sized = {group: (found.value, found.queries) for group, found in groups.items()}
        slices[name] = SliceResult(groups, gap_of(sized, config.slices.min_queries))
    return slices


def _clicks(every: Sequence[Judgement]) -> Clicks:
    """Average the numbers; the curve is that of the first seed on the first split."""
    names = ("auc", "gauc", "log_loss", "calibration_error")
    values = {name: _mean([getattr(found.clicks, name) for found in every]) for name in names}
    curve = every[0].clicks.curve
    return Clicks(values, Curve(curve.predicted.tolist(), curve.observed.tolist(), curve.sizes.tolist()))


def _mean(values: Sequence[float]) -> Interval:
    """Return the mean of what has no value for a single query, and so no interval over queries."""
    return Interval(float(np.mean(values)), float("nan"), float("nan"))
