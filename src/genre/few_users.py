"""How models do with the events of a few users: each is fitted again on a share of them, and asked what all are asked.

Shapes: U users, B questions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genre.config import Experiment
from genre.core.errors import DataError, ModelError
from genre.core.queries import Holdout
from genre.core.run import RunContext
from genre.data.splits import Split
from genre.evaluation.judge import Judge, Judgement
from genre.evaluation.ranking import evaluate_ranking
from genre.metrics.statistics import bootstrap_interval, paired_difference
from genre.recommenders.base import Recommender
from genre.stages import Planned, Trial, fit_on

STAGE = "few_users"
"""Below which stages of a run that is not done are kept."""
_FILE = "points.json"


def few_users(
    experiment: Experiment, plan: Sequence[Planned], trial: Trial, judge: Judge, whole: Mapping[str, Judgement]
) -> dict[str, Any]:
    """Return, as plain values, what each model is worth at each share of the users.

    Args:
        experiment: With a section `few_users`.
        plan: What is fitted.
        trial: The first one, whose training part is thinned out.
        judge: Asks the test questions of everybody.
        whole: What was found of the models with all users.
    """
    config = experiment.few_users
    if config is None:
        return {}
    metric = experiment.evaluation.primary
    fitted = {planned.name for planned in plan if planned.fitted}
    names = [name for name in config.models if name in fitted]
    if not names:
        return {}
    every = {name: whole[name].test.per_query[metric] for name in names}
    points = [_point(1.0, trial.part, every, names[0], trial)]

    def at(share: float) -> dict[str, Any]:
        part = with_users(trial.part, share, trial.run)
        return _point(share, part, _judged(names, plan, trial, part, judge, metric), names[0], trial)

    shares = trial.run.progress.track(config.shares, "few users", len(config.shares))
    points += [trial.work.stage(f"{STAGE}/{share:g}", partial(at, share), save=_save, load=_load) for share in shares]
    return {"metric": metric, "models": names, "points": sorted(points, key=lambda point: float(point["share"]))}


def _save(point: Mapping[str, Any], directory: Path) -> None:
    (directory / _FILE).write_text(json.dumps(point), encoding="utf-8")


def _load(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / _FILE).read_text(encoding="utf-8"))
    return found


def with_users(part: Split, share: float, run: RunContext) -> Split:
    """Return a split with the training and validation events of a share of the users; all are asked in the test."""
    train = part.train
    order = run.rng("few users").permutation(train.num_users)
    kept = np.zeros(train.num_users, bool)
    kept[order[: round(share * train.num_users)]] = True
    log = train.interactions
    events = np.repeat(kept, log.lengths)
    validation = part.validation.take(np.flatnonzero(_kept(part.validation, kept)))
    return replace(part, train=train.with_interactions(log.where(events)), validation=validation)


def _kept(holdout: Holdout, kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
    rows = holdout.queries.user_rows
    return (rows >= 0) & kept[rows]


def _judged(
    names: Sequence[str], plan: Sequence[Planned], trial: Trial, part: Split, judge: Judge, metric: str
) -> dict[str, NDArray[Any]]:
    """Fit the models, members first, and return what each is worth (B,) by the test questions.

    With the events of nobody, those that cannot be fitted are left out: nobody asked for more than to see what answers.
    """
    by_name = {planned.name: planned for planned in plan if planned.fitted}
    run = replace(trial.run, validation=part.validation)
    models: dict[str, Recommender] = {}

    def fitted(name: str) -> Recommender:
        if name not in models:
            members = {member: fitted(member) for member in by_name[name].config.member_names}
            models[name] = fit_on(part, by_name[name].config, members, run).model
        return models[name]

    found = {}
    for name in names:
        try:
            model = fitted(name)
        except (DataError, ModelError):
            if part.train.interactions.num_events:
                raise
            continue
        found[name] = evaluate_ranking(model, judge.test, run.progress, beyond=False).per_query[metric]
    return found


def _point(share: float, part: Split, values: Mapping[str, NDArray[Any]], first: str, trial: Trial) -> dict[str, Any]:
    """Return what was found at a share, with intervals, and what models have over the first, where that has a value."""
    found: dict[str, Any] = {}
    for name, own in values.items():
        rng = trial.run.rng(f"few users, {name}")
        one = bootstrap_interval(own, rng=rng)
        found[name] = {"mean": one.mean, "low": one.low, "high": one.high, "over": None}
        if first in values:
            over = paired_difference(own, values[first], rng=rng)
            found[name]["over"] = {"mean": over.mean, "low": over.low, "high": over.high}
    log = part.train.interactions
    return {"share": share, "users": int((log.lengths > 0).sum()), "events": log.num_events, "models": found}
