"""Plots for the report, as SVG that stands inside an HTML page.

Text stays text and colours become variables of the page's style sheet (`var(--ink)`), so that the reader's fonts draw
any script, a dark page gets light lines, and a plot is a few kilobytes. One unit of a plot is one CSS pixel.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from io import StringIO
from typing import TYPE_CHECKING, Any, Final, ParamSpec

import numpy as np

from genre.evaluation._labels import FONT_SIZE, duration, label_ends, label_points, shorten, width
from genre.metrics.statistics import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")
NUM_TONES: Final = 8
"""Colours that the style sheet tells models apart by; further models share the grey one."""
WIDTH: Final = 440
"""Pages enlarge it a little; on a phone, where they shrink it, text can still be read."""
HEIGHT: Final = 240
"""Of the inside of a plot; rows of dots take what they need, and a few spread to this."""
ROW, LARGEST_ROW, DOT = 22, 40, 8
"""Heights of a row, of one with much room, and of each further dot in it."""
_CELL: Final = 28
"""Height of a cell with a number."""
# fmt: off
_TIMES: Final = (
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5,
    1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 18_000, 36_000, 86_400,
)
# fmt: on
"""Seconds that a time axis may be labelled at."""
# Matplotlib takes no variables: each has a colour of its own until the SVG is written.
_VARIABLES: Final = ("ink", "muted", "line", "paper", "tone-rest", *(f"tone-{place}" for place in range(NUM_TONES)))
_COLORS: Final = {name: f"#0000{number:02x}" for number, name in enumerate(_VARIABLES, 1)}
_TO_VARIABLE: Final = {color: f"var(--{name})" for name, color in _COLORS.items()}
_DASHED: Final[dict[str, Any]] = {"color": _COLORS["muted"], "linestyle": (0, (4, 3)), "linewidth": 1}


def tone(place: int) -> str:
    """Return the colour variable of the model at this place, from 0."""
    return f"tone-{place}" if place < NUM_TONES else "tone-rest"


@dataclass(frozen=True)
class Dot:
    """A value, with a line from low to high unless these are NaN."""

    value: Interval
    tone: str
    hollow: bool = False


@dataclass(frozen=True)
class Row:
    """The dots of one label, one below the other."""

    label: str
    dots: tuple[Dot, ...]
    note: str = ""
    """Stands at the right end."""


@dataclass(frozen=True)
class Point:
    """A labelled place in a plane."""

    label: str
    x: float
    y: float
    tone: str


@dataclass(frozen=True)
class Curve:
    """A labelled line through places of rising x."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    tone: str
    sizes: Sequence[float] = ()
    """Weights of the places, which the areas of their dots show."""


def _as_svg(draw: Callable[P, Figure]) -> Callable[P, str]:
    """Let a function that draws a figure return the text of an `svg` element."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> str:
        from matplotlib import rc_context

        file = StringIO()
        style = rc_context(
            {
                "svg.fonttype": "none",
                "svg.hashsalt": repr((draw.__name__, args, kwargs)),  # Plots of one page must not share element ids.
                "text.parse_math": False,
                "text.color": _COLORS["ink"],
                "font.family": "DejaVu Sans",
                "font.size": FONT_SIZE,
                "axes.edgecolor": _COLORS["line"],
                "axes.facecolor": "none",
                "axes.formatter.limits": (-4, 6),
                "axes.formatter.useoffset": False,
                "axes.labelcolor": _COLORS["muted"],
                "axes.spines.right": False,
                "axes.spines.top": False,
                "axes.unicode_minus": False,
                "grid.color": _COLORS["line"],
                "grid.linewidth": 1,
                "figure.facecolor": "none",
                "xtick.labelcolor": _COLORS["muted"],
                "ytick.labelcolor": _COLORS["muted"],
            }
        )
        with style, warnings.catch_warnings():
            # The reader's browser draws the letters: matplotlib, whose font lacks most scripts, only measures them.
            warnings.filterwarnings("ignore", r"Glyph .* missing from")
            draw(*args, **kwargs).savefig(file, format="svg", metadata={"Date": None})
        return _for_page(file.getvalue())

    return drawn


@_as_svg
def dots(rows: Sequence[Row], *, axis: str, reference: float | None = None) -> Figure:
    """Draw values with their intervals, labels on the left and notes on the right.

    Args:
        rows: What to draw, from top to bottom; at least one.
        axis: What the values are.
        reference: Where a dashed line goes from top to bottom.
    """
    room = min(LARGEST_ROW, HEIGHT / len(rows))
    heights = [max(room, ROW + DOT * (len(row.dots) - 1)) for row in rows]
    left = 14 + max(width(shorten(row.label)) for row in rows)
    right = 14 + max(width(row.note) for row in rows)
    figure, axes = _axes(sum(heights), left=left, right=right)
    axes.set(ylim=(sum(heights), 0), yticks=[], xlabel=axis)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.margins(x=0.06)
    if reference is not None:
        axes.axvline(reference, **_DASHED)
    for row, height, bottom in zip(rows, heights, np.cumsum(heights), strict=True):
        middle = bottom - height / 2
        _beside(axes, 0, middle, shorten(row.label), -10, horizontalalignment="right")
        _beside(axes, 1, middle, row.note, 10, color=_COLORS["muted"])
        for place, dot in enumerate(row.dots):
            _dot(axes, dot, middle + DOT * (place - (len(row.dots) - 1) / 2))
    axes.locator_params(axis="x", nbins=5)
    return figure


@_as_svg
def scatter(
    points: Sequence[Point], *, x_axis: str, y_axis: str, more_x_is_better: bool, seconds: bool = False
) -> Figure:
    """Draw labelled points, more y being better, and a line through those that no other beats in both directions.

    Args:
        points: What to draw; at least one.
        x_axis: What x is.
        y_axis: What y is.
        more_x_is_better: Which way x is better.
        seconds: Whether x is a time, drawn on a logarithmic axis.
    """
    figure, axes = _axes(HEIGHT, left=44, right=20, above=30)
    _name(axes, x_axis, y_axis)
    axes.margins(x=0.12, y=0.12)
    if seconds:
        points = [replace(point, x=max(point.x, _TIMES[0])) for point in points]
        axes.set_xscale("log")
    best = _frontier(points, more_x_is_better)
    axes.plot([point.x for point in best], [point.y for point in best], color=_COLORS["line"], linewidth=3)
    for point in points:
        axes.plot(point.x, point.y, "o", color=_COLORS[point.tone], markersize=8, markeredgecolor=_COLORS["paper"])
    axes.locator_params(axis="y", nbins=5)
    if seconds:
        low, high = axes.get_xlim()
        times = [time for time in _TIMES if low <= time <= high] or [point.x for point in points]
        times = times[:: max(1, math.ceil(len(times) / 6))]
        axes.set_xticks(times, [duration(time) for time in times])
        axes.minorticks_off()
    label_points(axes, [(point.x, point.y) for point in points], [point.label for point in points])
    return figure


@_as_svg
def curves(
    curves: Sequence[Curve], *, x_axis: str, y_axis: str, x_ticks: Sequence[float] = (), diagonal: bool = False
) -> Figure:
    """Draw lines with their labels at the right end.

    Args:
        curves: What to draw, the most important first; at least one.
        x_axis: What x is.
        y_axis: What y is.
        x_ticks: Where x has its labels; the x axis is then logarithmic. 0 stands at its left edge, where a dot marks
            what is there, and the line from it to the next is dotted: how far it is away cannot be shown.
        diagonal: Whether to draw the dashed line on which x and y are equal.
    """
    right = 34 + max(width(shorten(curve.label, 14)) for curve in curves)
    figure, axes = _axes(HEIGHT, left=44, right=right, above=30)
    _name(axes, x_axis, y_axis)
    if diagonal:
        axes.axline((0, 0), slope=1, **_DASHED)
    edge = _edge(x_ticks)
    for curve in reversed(curves):
        color, begins = _COLORS[curve.tone], int(bool(x_ticks) and curve.x[0] == 0)
        axes.plot(curve.x[begins:], curve.y[begins:], color=color, linewidth=2)
        if begins:
            axes.plot([edge, *curve.x[1:2]], curve.y[:2], color=color, linewidth=2, linestyle=(0, (1, 2)))
            axes.plot(edge, curve.y[0], "o", color=color, markersize=6, markeredgecolor=_COLORS["paper"])
        if curve.sizes:
            areas = 20 + 100 * np.asarray(curve.sizes) / max(curve.sizes)
            axes.scatter(curve.x, curve.y, areas, color=color, linewidths=0, zorder=2)
    if x_ticks:
        axes.set_xscale("log")
        axes.set_xticks([tick or edge for tick in x_ticks], [f"{tick:g}" for tick in x_ticks])
        axes.minorticks_off()
    else:
        axes.locator_params(axis="x", nbins=5)
    axes.locator_params(axis="y", nbins=5)
    label_ends(
        axes,
        [(curve.x[-1] or edge, curve.y[-1]) if x_ticks else (curve.x[-1], curve.y[-1]) for curve in curves],
        [shorten(curve.label, 14) for curve in curves],
        [_COLORS[curve.tone] for curve in curves],
    )
    return figure


@_as_svg
def heat(rows: Sequence[str], columns: Sequence[str], values: Sequence[Sequence[float]], *, axis: str) -> Figure:
    """Draw a table of numbers, more being better, each the darker the nearer it is to the largest of its column.

    Args:
        rows: Labels on the left; at least one.
        columns: Labels above; at least one.
        values: For each row one of each column; NaN is a dash on nothing.
        axis: What the values are.
    """
    left = 14 + max(width(shorten(row)) for row in rows)
    figure, axes = _axes(_CELL * len(rows), left=left, right=10, above=26)
    axes.set(xlim=(0, len(columns)), ylim=(len(rows), 0), xticks=[], yticks=[], xlabel=axis)
    for spine in axes.spines.values():
        spine.set_visible(False)
    letters = max(4, int((WIDTH - left - 10) / len(columns) / width("x")) - 1)
    style: dict[str, Any] = {"horizontalalignment": "center", "verticalalignment": "center"}
    for at, name in enumerate(columns):
        axes.text(at + 0.5, -13 / _CELL, shorten(name, letters), color=_COLORS["muted"], **style)
        largest = max((line[at] for line in values if math.isfinite(line[at])), default=math.nan)
        for row, line in enumerate(values):
            known = math.isfinite(line[at])
            if known:
                share = line[at] / largest if largest > 0 else 0.0
                box: Any = (
                    (at + 0.02, at + 0.98, at + 0.98, at + 0.02),
                    (row + 0.06, row + 0.06, row + 0.94, row + 0.94),
                )
                axes.fill(*box, color=_COLORS[tone(0)], alpha=0.05 + 0.5 * max(0.0, share), linewidth=0)
            axes.text(at + 0.5, row + 0.5, f"{line[at]:.4f}" if known else "-", **style)
    for row, name in enumerate(rows):
        _beside(axes, 0, row + 0.5, shorten(name), -10, horizontalalignment="right")
    return figure


def _edge(ticks: Sequence[float]) -> float:
    """Return where 0 stands on a logarithmic axis: a step before the first of the others."""
    first, *others = [tick for tick in ticks if tick > 0] or [1.0]
    return first / min(10.0, others[0] / first if others else 10.0)


def _axes(height: float, *, left: float, right: float, above: float = 10) -> tuple[Figure, Axes]:
    """Return a figure whose axes are this high, with these margins, in pixels."""
    from matplotlib.figure import Figure

    below = 40
    total = height + below + above
    figure = Figure(figsize=(WIDTH / 72, total / 72), dpi=72)
    axes = figure.add_axes((left / WIDTH, below / total, 1 - (left + right) / WIDTH, height / total))
    axes.tick_params(length=0)
    axes.set_axisbelow(True)
    return figure, axes


def _name(axes: Axes, x_axis: str, y_axis: str) -> None:
    """Name x below and y above the axes, where it reads without turning the head, and draw the grid."""
    axes.set_xlabel(x_axis)
    axes.set_title(y_axis, loc="left", fontsize=FONT_SIZE, color=_COLORS["muted"], x=-36 / axes.bbox.width)
    axes.grid()


def _dot(axes: Axes, dot: Dot, y: float) -> None:
    if not math.isfinite(dot.value.mean):
        return
    color = _COLORS[dot.tone]
    if math.isfinite(dot.value.low + dot.value.high):
        axes.plot([dot.value.low, dot.value.high], [y, y], color=color, linewidth=2, solid_capstyle="round")
    fill = _COLORS["paper"] if dot.hollow else color
    axes.plot(dot.value.mean, y, "o", color=color, markersize=7, markerfacecolor=fill, markeredgewidth=2)


def _beside(axes: Axes, side: float, y: float, text: str, offset: float, **style: Any) -> None:
    """Write text at a height of the data, some pixels off the left (0) or right (1) edge."""
    axes.annotate(
        text,
        (side, y),
        xycoords=axes.get_yaxis_transform(),
        xytext=(offset, 0),
        textcoords="offset points",
        verticalalignment="center_baseline",
        annotation_clip=False,
        **style,
    )


def _frontier(points: Sequence[Point], more_x_is_better: bool) -> list[Point]:
    """Return the points, by rising goodness of x, that no other beats in x and in y."""
    sign = 1 if more_x_is_better else -1
    best: list[Point] = []
    for point in sorted(points, key=lambda point: (sign * point.x, point.y), reverse=True):
        if not best or point.y > best[-1].y:
            best.append(point)
    return best


def _for_page(svg: str) -> str:
    """Keep what draws, drop what belongs to a file of its own, and put the style sheet's variables in."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<[^>]+>", lambda tag: _tag_for_page(tag[0]), svg)  # In text, < and > are escaped.
    return re.sub(r"\s*\n\s*", "\n", svg).strip()


def _tag_for_page(tag: str) -> str:
    for pattern, text in (
        (r'<svg [^>]*(viewBox="[^"]*")[^>]*>', r'<svg \1 aria-hidden="true">'),
        (r'<g id="[^"]*"', "<g"),
        (r' transform="rotate\(-0 [^"]*"', ""),
        (r" font-family: [^;\"]*;?", ""),
        (r"xlink:href", "href"),
        (r"\s*\n\s*", " "),
        (r"(\.\d\d)\d+", r"\1"),
    ):
        tag = re.sub(pattern, text, tag)
    return re.sub(r"#0000[0-9a-f]{2}", lambda color: _TO_VARIABLE.get(color[0], color[0]), tag)
