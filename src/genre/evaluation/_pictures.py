"""The plots of the report: which of the results are drawn, and how to read them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from genre.evaluation import plots
from genre.evaluation._measures import measure, number, percent
from genre.evaluation._view import POPULARITY, Column, Model, column, interval_of, lengths
from genre.metrics.statistics import Interval

NUM_COMPARED: Final = 4
"""Models in plots of groups beside popularity; more dots a row cannot be told apart."""
_SLICES: Final = {
    "cold_users": "New users",
    "history_length": "Likes in the history",
    "item_popularity": "Popularity of the right item",
}


@dataclass(frozen=True)
class Picture:
    """A plot, what it shows and how to read it."""

    title: str
    svg: str
    caption: str = ""
    legend: tuple[Model, ...] = ()


def overview(
    models: Sequence[Model], results: Mapping[str, Any], beside: Mapping[str, Any] | None = None
) -> list[Picture]:
    """Draw how good the models are, and what that costs and brings.

    Args:
        models: The best first.
        results: The content of `metrics.json`.
        beside: The whole model of a compressed one, and the others of its run, drawn with the time to answer.
    """
    primary = results["primary"]
    confidence, queries = results["protocol"]["confidence"], results["protocol"]["queries"]["test"]
    caption = f"Dots are means over {queries:,} test queries, lines are {percent(confidence)} intervals."
    if any(model.tied for model in models):
        caption += " Hollow dots: perhaps no worse than the best."
    if any(model.kind == POPULARITY for model in models):
        caption += " The dashed line is popularity."
    pictures = [Picture(f"Accuracy: {measure(primary).label}", _accuracy(models, primary), caption)]
    ks = lengths(models)
    if len(ks) > 1:
        name = primary.partition("@")[0]
        lines = [plots.Curve(m.name, ks, [m.test[f"{name}@{k}"].mean for k in ks], m.tone) for m in models]
        svg = plots.curves(lines, x_axis="length of the list", y_axis=measure(name).title, x_ticks=ks)
        pictures.append(
            Picture("At other list lengths", svg, "How the order changes if shorter or longer lists are shown.")
        )
    frontier = "The grey line joins the models that no other beats in both directions."
    seconds = [model.seconds for model in models]
    pictures += _against(models, primary, seconds, "time to fit", frontier, seconds=True)
    answers = [model.answer_seconds for model in models]
    one, more = f"Median time for one question by itself. {frontier}", _from_elsewhere(models, primary, beside or {})
    if beside and more:
        one += (
            f" {_whole(beside)} was measured when it was compressed, the other grey ones when {beside['run']} was run."
        )
    pictures += _against(models, primary, answers, "time to answer", one, seconds=True, more=more)
    for name in ("coverage", "novelty"):
        values = [model.beyond[name].mean if name in model.beyond else math.nan for model in models]
        pictures += _against(models, primary, values, measure(name).label, f"{measure(name).meaning} {frontier}")
    return [*pictures, *_favour(models)]


def _accuracy(models: Sequence[Model], primary: str) -> str:
    rows = [
        plots.Row(
            model.name, (plots.Dot(model.test[primary], model.tone, model.tied),), number(model.test[primary].mean)
        )
        for model in models
    ]
    baseline = next((model.test[primary].mean for model in models if model.kind == POPULARITY), None)
    return plots.dots(rows, axis=measure(primary).label, reference=baseline)


def _against(
    models: Sequence[Model],
    primary: str,
    values: Sequence[float],
    what: str,
    caption: str,
    *,
    seconds: bool = False,
    more: Sequence[plots.Point] = (),
) -> Iterable[Picture]:
    """Draw accuracy against another value of each model, and further points; nothing for fewer than two."""
    points = [
        plots.Point(model.name, value, model.test[primary].mean, model.tone)
        for model, value in zip(models, values, strict=True)
        if math.isfinite(value + model.test[primary].mean)
    ] + list(more)
    if len(points) > 1:
        axis = f"{what} ({'less' if seconds else 'more'} is better)"
        svg = plots.scatter(
            points, x_axis=axis, y_axis=measure(primary).label, more_x_is_better=not seconds, seconds=seconds
        )
        yield Picture(f"Accuracy and {what}", svg, caption)


def _from_elsewhere(models: Sequence[Model], primary: str, beside: Mapping[str, Any]) -> list[plots.Point]:
    """Return what a compressed model stands beside: its whole form, and the models of that run that are not in this."""
    if not beside or beside["metric"] != primary:
        return []
    own = {model.name for model in models}
    found = {_whole(beside): beside["whole"]} | {
        name: told for name, told in beside["others"].items() if name not in own
    }
    return [
        plots.Point(name, told["answer"], told["accuracy"], plots.tone(plots.NUM_TONES))
        for name, told in found.items()
        if told["answer"] and told["accuracy"] is not None
    ]


def _whole(beside: Mapping[str, Any]) -> str:
    return f"{beside['model']}, whole"


def _favour(models: Sequence[Model]) -> Iterable[Picture]:
    """Draw how much each model favours popular items."""
    rows = [
        plots.Row(model.name, (plots.Dot(lift, model.tone),), f"Gini {number(model.beyond['gini'].mean, 2)}")
        for model in models
        if (lift := model.beyond.get("popularity_lift")) and math.isfinite(lift.mean)
    ]
    if rows:
        svg = plots.dots(rows, axis=measure("popularity_lift").label, reference=0)
        caption = (
            f"{measure('popularity_lift').meaning} Gini tells how unequally items are shown: near 1, all get the same."
        )
        yield Picture("How much popular items are favoured", svg, caption)


def slices(models: Sequence[Model], primary: str) -> list[Picture]:
    """Draw the accuracy in each group of each slice, of the best models and popularity."""
    shown = _few(models)
    pictures = []
    for name in models[0].slices:
        rows = [
            plots.Row(
                group,
                tuple(
                    plots.Dot(interval_of(groups[group]["value"]), model.tone)
                    for model in shown
                    if group in (groups := model.slices[name]["groups"])
                ),
                f"n = {found['queries']:,}",
            )
            for group, found in models[0].slices[name]["groups"].items()
        ]
        svg = plots.dots(rows, axis=measure(primary).label)
        pictures.append(Picture(_slice_title(name), svg, legend=shown))
    return pictures


def gaps(models: Sequence[Model]) -> list[Column]:
    """Return a column for each slice: how much worse the worst group is served than the best."""
    columns = []
    for name in models[0].slices:
        found = [model.slices[name]["gap"] for model in models]
        if any(found):
            values = [Interval(gap["value"] if gap else math.nan, math.nan, math.nan) for gap in found]
            plain = column(_slice_title(name), values, "less")
            cells = [
                replace(cell, below=f"{gap['best']} over {gap['worst']}") if gap else cell
                for cell, gap in zip(plain.cells, found, strict=True)
            ]
            columns.append(replace(plain, cells=tuple(cells)))
    return columns


def calibration(models: Sequence[Model]) -> Picture | None:
    """Draw predicted probabilities against what happened, of the best models and popularity."""
    curves = [
        plots.Curve(model.name, model.curve["predicted"], model.curve["observed"], model.tone, model.curve["sizes"])
        for model in _few(models)
        if model.curve["predicted"]
    ]
    if not curves:
        return None
    svg = plots.curves(curves, x_axis="predicted probability", y_axis="Share that was chosen", diagonal=True)
    return Picture(
        "Are the probabilities true?",
        svg,
        "On the dashed line, what is predicted is what happens. Larger dots stand for more shown items.",
    )


def _few(models: Sequence[Model]) -> tuple[Model, ...]:
    """Return the best models and popularity, for plots in which more could not be told apart."""
    return tuple(m for place, m in enumerate(models) if place < NUM_COMPARED or m.kind == POPULARITY)


def _slice_title(name: str) -> str:
    return _SLICES.get(name) or name.removeprefix("user.").replace("_", " ").capitalize()
