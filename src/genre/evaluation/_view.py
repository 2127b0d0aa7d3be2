"""What the report shows of each model, made from the plain values of `metrics.json`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from genre.evaluation._labels import duration
from genre.evaluation._measures import decimals, measure, number, percent, size
from genre.evaluation.plots import NUM_TONES, tone
from genre.evaluation.results import Intervals
from genre.metrics.statistics import Interval

POPULARITY: Final = "popularity"
"""Kind of the model that others should beat."""
SIGNIFICANT: Final = 0.05
"""A p-value from here on may be chance."""
_BESIDE: Final = ("NDCG", "Recall", "HitRate", "MRR", "MAP")
"""Ranking metrics that are told beside the primary one."""


@dataclass(frozen=True)
class Model:
    """One model's results."""

    name: str
    kind: str
    tone: str
    """Its colour, the same in every plot."""
    test: Intervals
    validation: Intervals
    seeds: Intervals
    beyond: Intervals
    clicks: Intervals
    curve: Mapping[str, list[float]]
    """predicted, observed, sizes."""
    slices: Mapping[str, Any]
    seconds: float
    """To fit."""
    answer_seconds: float
    """To answer one question by itself; NaN where it was not measured."""
    memory: int
    """Bytes to fit."""
    p_value: float | None
    """How likely a difference from the best model this large is by chance; None for the best."""

    @property
    def best(self) -> bool:
        """Return whether it is the best by the primary metric."""
        return self.p_value is None

    @property
    def tied(self) -> bool:
        """Return whether the best is perhaps no better."""
        return self.p_value is not None and not self.p_value < SIGNIFICANT


def read_models(results: Mapping[str, Any], plan: Sequence[Mapping[str, Any]]) -> tuple[Model, ...]:
    """Return the judged models, the best by the primary metric first."""
    primary, comparison = results["primary"], results["comparison"]
    kinds = {planned["name"]: planned["kind"] for planned in plan}
    means = {name: _known(found["test"][primary]["mean"]) for name, found in results["models"].items()}
    order = sorted(means, key=lambda name: (name != comparison["best"], -means[name]))
    coloured = [name for name in order if kinds.get(name) != POPULARITY]
    return tuple(
        _model(
            name,
            results["models"][name],
            kind=kinds.get(name, ""),
            tone=tone(coloured.index(name) if name in coloured else NUM_TONES),
            p_value=None if name == comparison["best"] else _known(comparison["tests"][name]["p_adjusted"]),
        )
        for name in order
    )


def _model(name: str, found: Mapping[str, Any], *, kind: str, tone: str, p_value: float | None) -> Model:
    return Model(
        name=name,
        kind=kind,
        tone=tone,
        test=_intervals(found["test"]),
        validation=_intervals(found["validation"]),
        seeds=_intervals(found["seeds"]),
        beyond=_intervals(found["beyond"]),
        clicks=_intervals(found["clicks"]["values"]),
        curve=found["clicks"]["curve"],
        slices=found["slices"],
        seconds=found["seconds"]["fit"],
        answer_seconds=_known(found["seconds"].get("answer")),
        memory=found["memory"]["fit"],
        p_value=p_value,
    )


def interval_of(plain: Mapping[str, float | None]) -> Interval:
    """Return an interval that was written as plain values, in which None stands for NaN."""
    return Interval(*(_known(plain[name]) for name in ("mean", "low", "high")))


def _intervals(plain: Mapping[str, Mapping[str, float | None]]) -> Intervals:
    return {name: interval_of(value) for name, value in plain.items()}


def _known(value: float | None) -> float:
    return math.nan if value is None else float(value)


def lengths(models: Sequence[Model]) -> list[int]:
    """Return the list lengths at which models were measured."""
    return sorted({int(name.partition("@")[2]) for name in models[0].test})


@dataclass(frozen=True)
class Cell:
    """A number in a table, and what stands small below it."""

    text: str
    below: str = ""
    value: float = math.nan
    """What the table is sorted by."""
    best: bool = False


@dataclass(frozen=True)
class Column:
    """A column of a table with one row for each model."""

    label: str
    cells: tuple[Cell, ...]
    descending: bool = True
    """Which way the first click sorts it."""


def column(label: str, values: Sequence[Interval], better: Literal["more", "less", "neither"] = "more") -> Column:
    """Return a column of values with their intervals, the best ones marked."""
    places = decimals(value.mean for value in values)
    texts = [number(value.mean, places) for value in values]
    known = [value.mean for value in values if math.isfinite(value.mean)]
    best = number({"more": max, "less": min}[better](known), places) if known and better != "neither" else ""
    cells = tuple(
        Cell(text, bounds(value, places), value.mean, best=text == best)
        for text, value in zip(texts, values, strict=True)
    )
    return Column(label, cells, descending=better != "less")


def measured(names: Sequence[str], of_models: Sequence[Intervals]) -> list[Column]:
    """Return a column for each measure that is known of any model."""
    unknown = Interval(math.nan, math.nan, math.nan)
    rows = {name: [values.get(name, unknown) for values in of_models] for name in names}
    return [
        column(measure(name).title, values, measure(name).better)
        for name, values in rows.items()
        if any(math.isfinite(value.mean) for value in values)
    ]


def leaderboard(models: Sequence[Model], primary: str) -> list[Column]:
    """Return the columns that tell the models apart at a glance; `every_metric` has the rest."""
    k = primary.partition("@")[2]
    of_test = [model.test for model in models]
    beside = [f"{name}@{k}" for name in _BESIDE if f"{name}@{k}" != primary]
    seconds = [Cell(duration(model.seconds), value=model.seconds) for model in models]
    answers = [
        Cell(duration(model.answer_seconds), value=model.answer_seconds) if model.answer_seconds > 0 else Cell("")
        for model in models
    ]
    memory = [Cell(size(model.memory), value=model.memory) for model in models]
    validation = [{primary: model.validation[primary]} for model in models]
    return [
        *measured([primary], of_test),
        *(Column("Validation", found.cells) for found in measured([primary], validation)),
        *(Column("Over seeds", found.cells) for found in measured([primary], [model.seeds for model in models])),
        *_different(measured([primary, *beside], of_test))[1:],
        *measured(["coverage", "novelty"], [model.beyond for model in models]),
        Column("Time to fit", tuple(seconds), descending=False),
        *([Column("Time to answer", tuple(answers), descending=False)] if any(cell.text for cell in answers) else []),
        Column("Memory", tuple(memory), descending=False),
    ]


def _different(columns: Sequence[Column]) -> list[Column]:
    """Leave out columns that repeat an earlier one, as hit rates repeat recalls where queries have one right item."""
    first = {tuple(cell.text for cell in column.cells): column for column in reversed(columns)}
    return [column for column in columns if column in first.values()]


def bounds(value: Interval, places: int) -> str:
    """Return the ends of an interval, or nothing where there is none."""
    if not math.isfinite(value.low + value.high):
        return ""
    return f"{number(value.low, places)}–{number(value.high, places)}"


@dataclass(frozen=True)
class Headline:
    """What the run found, to be said in a few sentences."""

    best: str
    primary: str
    value: str
    bounds: str
    baseline: str | None
    """Name of the popularity model, if one was judged."""
    gain: str
    """How much better the best is than it, as `45 % above` or `2.1 times`; empty if it is best or finds nothing."""
    baseline_value: str
    baseline_tied: bool
    tied: tuple[str, ...]
    """Models that the best is perhaps no better than."""
    elsewhere: tuple[tuple[str, tuple[str, ...]], ...]
    """Models that are best by other measures, and which."""


def headline(models: Sequence[Model], primary: str) -> Headline:
    """Sum up the models, given best first."""
    best = models[0]
    value = best.test[primary]
    places = decimals([value.mean])
    baseline = next((model for model in models if model.kind == POPULARITY), None)
    return Headline(
        best=best.name,
        primary=measure(primary).label,
        value=number(value.mean, places),
        bounds=bounds(value, places),
        baseline=baseline.name if baseline else None,
        gain=_gain(value.mean, baseline.test[primary].mean) if baseline and baseline is not best else "",
        baseline_value=number(baseline.test[primary].mean, places) if baseline else "",
        baseline_tied=baseline is not None and baseline.tied,
        tied=tuple(model.name for model in models if model.tied),
        elsewhere=_best_elsewhere(models, primary),
    )


def _gain(value: float, baseline: float) -> str:
    if not baseline > 0:
        return ""
    ratio = value / baseline
    return f"{ratio:.1f} times" if ratio >= 2 else f"{percent(ratio - 1)} above"


def _best_elsewhere(models: Sequence[Model], primary: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return by model the measures, at the primary list length, that it is best by; those that repeat are left out."""
    k = primary.partition("@")[2]
    found: dict[str, list[str]] = {}
    told = [{model.name: model.test[primary].mean for model in models}]
    every = [{**model.test, **model.beyond, **model.clicks} for model in models]
    for name in [*(f"{name}@{k}" for name in _BESIDE), "coverage", "novelty", "diversity", "serendipity", "gauc"]:
        means = {
            model.name: values[name].mean
            for model, values in zip(models, every, strict=True)
            if name in values and math.isfinite(values[name].mean)
        }
        if means not in told and len(means) > 1:
            told.append(means)
            best = max(means, key=means.__getitem__)
            found.setdefault(best, []).append(measure(name).label)
    return tuple((name, tuple(labels)) for name, labels in found.items())
