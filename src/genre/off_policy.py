"""What the models of a run would have been clicked, by what a service has shown and logged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from genre.config_file import read_experiment
from genre.core.errors import DataError
from genre.evaluation.logged import LoggedLists
from genre.evaluation.off_policy import LEAST, OffPolicy, Order, judge_policy
from genre.runs import CONFIG, open_run
from genre.workspace import read_manifest


def judge_run(
    run: str | Path,
    shown: pl.DataFrame,
    events: pl.DataFrame | None = None,
    *,
    models: Sequence[str] = (),
    order: Order = "placed",
    also_learned: bool = False,
    least: float = LEAST,
    limit: float | None = None,
) -> dict[str, OffPolicy]:
    """Estimate the click-through of models of a run, with its rules, strategies and fallback, but without exploration.

    Args:
        run: Its directory.
        shown: What was shown; see `LoggedLists.of`, and `shown_of_events` for a service's log.
        events: What people did; what happened after the run's newest event joins their histories.
        models: By default the one that the run chose.
        order: What the propensities are; see `judge_policy`.
        also_learned: Also judge by lists from before the run's newest event.
        least: Smallest effective number of shown items.
        limit: Largest weight of the clipped estimate.

    Raises:
        ArtifactError: There is no finished run, or its files are damaged.
        ConfigError: The run has no such model.
        DataError: Nothing was shown since, a propensity is missing, or a model has too little in common with what was
            shown.
    """
    run = Path(run)
    experiment = read_experiment(run / CONFIG) if (run / CONFIG).exists() else None
    names = list(dict.fromkeys(models)) or [str(read_manifest(run)["chosen"])]
    found: dict[str, OffPolicy] = {}
    lists: LoggedLists | None = None
    for name in names:
        engine = open_run(run, model=name).without_chance()
        if lists is None:
            lists = LoggedLists.of(
                engine.data,
                shown,
                events,
                feedback=None if experiment is None else experiment.feedback,
                pseudonym=engine.pseudonym,
                also_learned=also_learned,
            )
        try:
            found[name] = judge_policy(lists, engine.answer, order=order, least=least, limit=limit)
        except DataError as error:
            raise DataError(error.problem, place=f"{error.place}, model {name!r}", remedy=error.remedy) from None
    return found
