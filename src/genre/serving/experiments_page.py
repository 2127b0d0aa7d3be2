"""The page of experiments: what each arm's users did, and whether it may be chance. One HTML file that needs no other.

Its look is the report's, whose style sheet and plots it uses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from genre.evaluation import plots, report
from genre.evaluation._measures import percent
from genre.features.text import Language
from genre.metrics.statistics import Interval
from genre.serving.experiments import Outcomes
from genre.serving.experiments_words import said

Say: TypeAlias = Callable[..., str]
"""Returns the words for a key, with what is given in their places."""
TEMPLATE: Final = "experiments.html.j2"
SIGNIFICANT: Final = 0.05
"""A difference with a smaller p-value is called one."""


def render_experiments(
    found: Sequence[Outcomes],
    *,
    title: str = "Experiments",
    fragment: bool = False,
    language: Language = "en",
) -> str:
    """Return a page about experiments as HTML.

    Args:
        found: In the order in which they are shown.
        title: Of the page.
        fragment: Return only what stands inside `main`, for a page that has the style sheet already.
        language: Of all that is not a name.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    here, there = Path(__file__).parent, Path(report.__file__).parent
    environment = Environment(
        loader=FileSystemLoader([here, there]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    say = partial(said, language=language)
    bounds = partial(_bounds, say=say)
    environment.filters |= {"percent": percent, "rate": _rate, "bounds": bounds, "signed": _signed, "date": _date}
    views = [_view(one, say) for one in found]
    template = environment.get_template(TEMPLATE)
    return template.render(title=title, views=views, whole=not fragment, language=language, say=say)


@dataclass(frozen=True)
class _View:
    """One experiment as the page shows it."""

    outcomes: Outcomes
    verdict: str
    rates: str
    """An `svg` element, as is the next; empty where nothing is to be drawn."""
    differences: str


def _view(found: Outcomes, say: Say) -> _View:
    seen = [(place, arm) for place, arm in enumerate(found.arms) if arm.impressions]
    rates = [plots.Row(arm.name, (plots.Dot(arm.rate, plots.tone(place)),)) for place, arm in seen]
    differences = [
        plots.Row(arm.name, (plots.Dot(arm.difference, plots.tone(place), hollow=not _differs(arm.p_value)),))
        for place, arm in seen
        if arm.difference is not None and arm.difference.mean == arm.difference.mean
    ]
    first = found.arms[0].name
    return _View(
        found,
        _verdict(found, say),
        plots.dots(rates, axis=say("axis_rate")) if rates else "",
        plots.dots(differences, axis=say("axis_difference", first=first), reference=0.0) if differences else "",
    )


def _verdict(found: Outcomes, say: Say) -> str:
    """Return in one sentence what can be concluded."""
    if not found.divided_as_planned:
        return say("not_divided")
    first = found.arms[0]
    better = [arm for arm in found.arms[1:] if _differs(arm.p_value) and arm.rate.mean > first.rate.mean]
    worse = [arm for arm in found.arms[1:] if _differs(arm.p_value) and arm.rate.mean < first.rate.mean]
    differences = [say("more", arm=arm.name, first=first.name) for arm in better]
    differences += [say("less", arm=arm.name, first=first.name) for arm in worse]
    return say("and").join(differences) + say("stop") if differences else say("no_difference")


def _differs(p_value: float | None) -> bool:
    return p_value is not None and p_value < SIGNIFICANT


def _rate(value: float) -> str:
    return "" if value != value else f"{100 * value:.2f} %"


def _signed(value: float) -> str:
    return "" if value != value else f"{100 * value:+.2f}".replace("-", "−")


def _bounds(interval: Interval, *, say: Say, signed: bool = False) -> str:
    if interval.low != interval.low:
        return ""
    form = _signed if signed else (lambda value: f"{100 * value:.2f}")
    return say("bounds", low=form(interval.low), high=form(interval.high))


def _date(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"
