"""What fine-tuning cost a language model: recommendation against writing, a point for each way that was tried."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from genre.evaluation import plots
from genre.evaluation._measures import number, percent
from genre.evaluation._pictures import Picture

_MEASURE: Final = "bits_per_byte"


@dataclass(frozen=True)
class Line:
    """One way to fine-tune, as the table has it."""

    label: str
    accuracy: str
    rise: str
    """Of the bits per byte over the base's."""
    verdict: str
    kept: bool


@dataclass(frozen=True)
class Frontier:
    """One guarded model."""

    name: str
    sentence: str
    picture: Picture
    learning: tuple[Picture, ...]
    """How each training went: recommendation and writing after each epoch."""
    lines: tuple[Line, ...]
    samples: tuple[Mapping[str, Any], ...]
    """Prompts with what the base and the kept model answer."""


def frontiers(accounts: Mapping[str, Mapping[str, Any]]) -> list[Frontier]:
    """Return what is to be shown of each guarded model: one whose account tells of a search."""
    return [_frontier(name, account) for name, account in accounts.items() if "points" in account]


def _frontier(name: str, account: Mapping[str, Any]) -> Frontier:
    points: Sequence[Mapping[str, Any]] = account["points"]
    choice, base = account["choice"], points[0]["writing"][_MEASURE]
    rises = [point["writing"][_MEASURE] / base - 1 for point in points]
    labels = [_label(point) for point in points]
    kept = [point["protection"] == choice["protection"] and point["share"] == choice["share"] for point in points]
    marks = [
        plots.Point(label, 100 * rise, point["NDCG@10"], plots.tone(0) if is_kept else plots.tone(plots.NUM_TONES))
        for label, rise, point, is_kept in zip(labels, rises, points, kept, strict=True)
    ]
    svg = plots.scatter(
        marks, x_axis="bits per byte over the base's, % (less is better)", y_axis="NDCG@10", more_x_is_better=False
    )
    caption = "On validation questions and held-out text. The grey line joins what nothing else beats in both."
    lines = tuple(
        Line(
            label,
            number(point["NDCG@10"], 4),
            f"{100 * rise:+.1f} %",
            "; ".join(point["breaches"]) or "inside the budget",
            is_kept,
        )
        for label, rise, point, is_kept in zip(labels, rises, points, kept, strict=True)
    )
    picture = Picture(f"Recommendation and writing: {name}", svg, caption)
    learning = tuple(_learning(name, account.get("curves", {})))
    return Frontier(name, _sentence(choice), picture, learning, lines, tuple(account.get("samples", ())))


def _learning(name: str, told: Mapping[str, Mapping[str, Sequence[float]]]) -> Iterator[Picture]:
    """Yield a picture of what the trainings gained, and one of what they cost, by epoch; none of a single epoch."""
    shown = {
        "NDCG@10": (f"Learning to recommend: {name}", "NDCG@10", 1, "On validation questions. More is better."),
        "rise": (
            f"Forgetting to write: {name}",
            "loss on held-out text over the base's, %",
            100,
            "On passages that nothing is learned from. Less is better.",
        ),
    }
    for measure, (title, axis, factor, caption) in shown.items():
        lines = [
            plots.Curve(label, range(1, len(values) + 1), [factor * value for value in values], plots.tone(place))
            for place, (label, curves) in enumerate(told.items())
            if len(values := curves.get(measure, ())) > 1
        ]
        if lines:
            yield Picture(title, plots.curves(lines, x_axis="epoch", y_axis=axis), caption)


def _label(point: Mapping[str, Any]) -> str:
    if point["protection"] is None:
        return "frozen base"
    share = "" if point["share"] == 1 else f", {percent(point['share'])} of it"
    return f"{point['protection']}{share}"


def _sentence(choice: Mapping[str, Any]) -> str:
    """Say which was kept, what it is worth, and what more would cost."""
    nearest = choice["nearest"]
    more = (
        f" More accurate outside the budget: {_label(nearest)}, {number(nearest['NDCG@10'], 4)}, with "
        f"{'; '.join(nearest['breaches'])}."
        if nearest
        else ""
    )
    if choice["protection"] is None:
        return f"No fine-tuned model inside the budget recommends better than the frozen one, which was kept.{more}"
    share = choice["share_of_free_gain"]
    part = "" if share is None else f", {percent(share)} of what fine-tuning without protection gains"
    gain = choice["gain"]
    interval = f"[{gain['low']:+.4f}, {gain['high']:+.4f}]"
    return f"Kept: {_label(choice)}. It gains {gain['mean']:+.4f} NDCG@10 {interval} over the frozen base{part}.{more}"
