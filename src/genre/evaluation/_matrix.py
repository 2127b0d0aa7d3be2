"""What each model is worth on each scenario: where it came from, and where it was moved to. For the report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final

from genre.evaluation import plots
from genre.evaluation._measures import measure, number
from genre.evaluation._pictures import Picture

_METRIC: Final = "NDCG@10"
"""By which moved models are compared on both scenarios, whatever the run's primary metric is."""
_SCRATCH: Final = "from_scratch"
_PLACES: Final = 4


@dataclass(frozen=True)
class Matrix:
    """A line for each scenario, and a cell for each model; "-" where a model cannot answer."""

    picture: Picture
    heads: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]


def matrix(
    accounts: Mapping[str, Mapping[str, Any]], results: Mapping[str, Any], few_users: Mapping[str, Any], here: str
) -> Matrix | None:
    """Return what the sources' own models, the one from scratch and the moved ones are worth on each scenario.

    Args:
        accounts: What models tell of how they came about; some, that they were moved.
        results: The content of `metrics.json`.
        few_users: The first of its models is the one that begins anew; without, one of the name `from_scratch`.
        here: Name of this scenario.

    Returns:
        None where nothing was moved.
    """
    told = {name: account["moved"] for name, account in accounts.items() if "moved" in account}
    if not told:
        return None
    places = list(dict.fromkeys(one["source"] for one in told.values()))
    # (heading, by scenario); the last scenario is this one.
    columns = [*_as_it_was(told, results, places), *_from_scratch(told, results, few_users, places)]
    for name, one in told.items():
        there = [_kept(one)["source"] if place == one["source"] else None for place in places]
        columns.append((name, [*there, _here(name, told, results)]))
    scenarios = [*(PurePath(place).name for place in places), here]
    values = [[math.nan if value is None else value for value in cells] for _, cells in columns]
    label = measure(_METRIC).label
    svg = plots.heat([head for head, _ in columns], scenarios, values, axis=label)
    caption = "On each scenario's validation questions. Darker is nearer to the best there."
    lines = [
        (scenario, *(number(cells[at], _PLACES) if math.isfinite(cells[at]) else "-" for cells in values))
        for at, scenario in enumerate(scenarios)
    ]
    picture = Picture("Each model on each scenario", svg, caption)
    return Matrix(picture, (label, *(head for head, _ in columns)), tuple(lines))


Column = tuple[str, list[float | None]]


def _as_it_was(told: Mapping[str, Any], results: Mapping[str, Any], places: Sequence[str]) -> list[Column]:
    """Return the sources' own models, there before anything was learned here, and here as they came."""
    found: dict[tuple[str, str], Column] = {}
    # What learned nothing is the model as it came; of others, that was measured before they learned.
    for name, one in sorted(told.items(), key=lambda item: len(item[1]["points"])):
        place, model, first = one["source"], one["model"], one["points"][0]
        if (place, model) not in found:
            here = _here(name, told, results) if len(one["points"]) == 1 else first["target"]
            there = [first["source"] if place == other else None for other in places]
            found[place, model] = f"{model} as it was ({PurePath(place).name})", [*there, here]
    return [found[key] for key in sorted(found, key=lambda key: places.index(key[0]))]


def _from_scratch(
    told: Mapping[str, Any], results: Mapping[str, Any], few_users: Mapping[str, Any], places: Sequence[str]
) -> list[Column]:
    named = few_users.get("models", [])[:1] or [_SCRATCH]
    return [
        (name, [*(None for _ in places), _judged(name, results)])
        for name in named
        if name in results["models"] and name not in told
    ]


def _here(name: str, told: Mapping[str, Any], results: Mapping[str, Any]) -> float | None:
    """Return what a moved model is worth here: on all questions, or on those that its shares were compared on."""
    found = _judged(name, results)
    return _kept(told[name])["target"] if found is None else found


def _judged(name: str, results: Mapping[str, Any]) -> float | None:
    judged = results["models"].get(name, {"validation": {}})["validation"]
    value: float | None = judged.get(_METRIC, {"mean": None})["mean"]
    return value


def _kept(one: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the share of what was learned that counts."""
    found: Mapping[str, Any] = next(point for point in one["points"] if point["share"] == one["share"])
    return found
