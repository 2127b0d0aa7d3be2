"""What came of models that were moved between scenarios, and how models do with few users, for the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final

from genre.evaluation import plots
from genre.evaluation._measures import number, percent
from genre.evaluation._pictures import Picture

_PLACES: Final = 4
_BITS: Final = "bits_per_byte"


@dataclass(frozen=True)
class Row:
    """A model, on both scenarios."""

    label: str
    here: str
    there: str
    kept: bool
    writes: str = ""
    """Bits a byte, and where it is over the budget."""


@dataclass(frozen=True)
class Moved:
    """One model that was moved."""

    name: str
    sentence: str
    source: str
    rows: tuple[Row, ...]
    base: str = ""
    """Bits a byte of the base, where it is a language model."""


@dataclass(frozen=True)
class FewUsers:
    """Models by the share of the users that they have learned from."""

    picture: Picture | None
    heads: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]


def moved(accounts: Mapping[str, Mapping[str, Any]]) -> list[Moved]:
    """Return what is to be shown of each model whose account tells where it comes from."""
    return [_moved(name, account["moved"]) for name, account in accounts.items() if "moved" in account]


def few_users(found: Mapping[str, Any]) -> FewUsers | None:
    """Return the curves and the table; nothing where nobody asked for them."""
    if not found:
        return None
    points, names, metric = found["points"], found["models"], found["metric"]
    ticks = [100 * point["share"] for point in points]
    lines = []
    for place, name in enumerate(names):
        # With nobody's events, some models cannot be fitted.
        known = [
            (x, point["models"][name]["mean"])
            for x, point in zip(ticks, points, strict=True)
            if name in point["models"]
        ]
        lines.append(plots.Curve(name, [x for x, _ in known], [y for _, y in known], plots.tone(place)))
    picture = None
    if len(points) > 1:
        svg = plots.curves(lines, x_axis="users, %", y_axis=metric, x_ticks=ticks)
        caption = "On the same test questions of everybody. More is better."
        if 0 in ticks:
            caption += " At 0, nobody's events were known."
        picture = Picture("With few users", svg, caption)
    heads = ("users", *names)
    return FewUsers(picture, heads, tuple(_line(point, names) for point in points))


def _line(point: Mapping[str, Any], names: Sequence[str]) -> tuple[str, ...]:
    cells = [_with_gain(point["models"].get(name), compared=name != names[0]) for name in names]
    return (f"{percent(point['share'])} ({point['users']:,})", *cells)


def _with_gain(found: Mapping[str, Any] | None, *, compared: bool) -> str:
    """Return a value, and what it is over the first model; nothing of one that could not be fitted."""
    if found is None:
        return "-"
    value, over = number(found["mean"], _PLACES), found["over"]
    if not compared or over is None:
        return value
    mean, low, high = (f"{over[part]:+.4f}" for part in ("mean", "low", "high"))
    return f"{value} ({mean} [{low}, {high}])"


def _moved(name: str, told: Mapping[str, Any]) -> Moved:
    source = PurePath(told["source"]).name
    points = told["points"]
    rows = [
        Row(
            _label(point["share"]),
            _cell(point["target"]),
            _cell(point["source"]),
            point["share"] == told["share"],
            _writes(point),
        )
        for point in points
    ]
    same = f" {told['same_items']:,} items are in both." if told["same_items"] else ""
    strange = told["same_ids"] - told["same_items"]
    other = f" {strange:,} ids stand in both and mean different items." if strange else ""
    sentence = f"From {told['model']} of {source}. Kept: {_label(told['share'])}.{same}{other}{_people(told)}"
    base = number(told["writing"]["base"][_BITS], _PLACES) if "writing" in told else ""
    return Moved(name, sentence, source, tuple(rows), base)


def _people(told: Mapping[str, Any]) -> str:
    """Return who of the users is in both scenarios, and what became of that."""
    ids = told.get("same_user_ids", 0)  # Runs of earlier versions do not tell.
    if not ids:
        return ""
    judged = told.get("people_judged")
    if told["people"]:
        said = f" {told['people']:,} people are in both, and are answered by what they liked there, too"
        return f"{said}." if judged is None else f"{said}: {_judged(judged)}"
    said = f" {ids:,} ids of users stand in both"
    if judged is not None:
        return f"{said}. What they liked there is not read: {_judged(judged)}"
    return f"{said} and are not used."


def _judged(found: Mapping[str, Any]) -> str:
    """Return what the validation questions said of people by their own likes, by those of others, and by none."""
    own, others, none = (percent(found[name]) for name in ("own", "others", "none"))
    over = found["over_others"]
    mean, low, high = (f"{100 * over[part]:+.1f}" for part in ("mean", "low", "high"))
    return (
        f"of {found['questions']:,} questions, the answer stands above {own} of all items by it, {others} by what "
        f"others of them liked ({mean} points [{low}, {high}]), {none} by neither."
    )


def _writes(point: Mapping[str, Any]) -> str:
    if "writing" not in point:
        return ""
    return "; ".join([number(point["writing"][_BITS], _PLACES), *point["breaches"]])


def _label(share: float) -> str:
    if not share:
        return "as it came"
    return "all that it learned here" if share == 1 else f"{percent(share)} of what it learned here"


def _cell(value: float | None) -> str:
    return "-" if value is None else number(value, _PLACES)
