"""Text in plots: cut to a width, measured, and placed where it covers nothing."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FONT_SIZE: Final = 12.0
"""In pixels."""
LINE: Final = 15.0
"""From one line of text to the next, in pixels."""
_LETTER: Final = 0.6 * FONT_SIZE
"""Width of a Latin letter in a wide font, in pixels: which font the reader has is not known."""


def shorten(text: str, letters: int = 24) -> str:
    """Return the text as one line, cut at a width in Latin letters; a Chinese character is two letters wide."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    ends = np.cumsum([_letters(character) for character in line])
    if not line or ends[-1] <= letters:
        return line
    return line[: int(np.searchsorted(ends, letters - 1, side="right"))] + "…"


def width(text: str) -> float:
    """Return about how wide a text is, in pixels."""
    return sum(map(_letters, text)) * _LETTER


def _letters(character: str) -> int:
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def duration(seconds: float) -> str:
    """Return a time as a person would say it: 80 ms, 4.2 s, 3 min, 2 h."""
    unit, size = next(
        ((unit, size) for unit, size in (("h", 3600.0), ("min", 60.0), ("s", 1.0)) if seconds >= size), ("ms", 1e-3)
    )
    number = seconds / size
    return f"{number:.0f} {unit}" if number >= 10 or number == round(number) else f"{number:.1f} {unit}"


def label_ends(axes: Axes, ends: Sequence[tuple[float, float]], labels: Sequence[str], colors: Sequence[str]) -> None:
    """Write labels to the right of the axes, beside the ends of lines, moved apart as little as needed."""
    ends_in_pixels = _in_pixels(axes, ends)
    y, box = ends_in_pixels[:, 1], axes.bbox
    order = np.argsort(y, kind="stable")
    steps = LINE * np.arange(len(y))
    # Labels LINE apart that move least: the isotonic regression of the heights without the steps between them.
    spread = isotonic_regression(y[order] - steps).x.clip(box.y0, max(box.y0, box.y1 - steps[-1])) + steps
    for index, height in zip(order, spread, strict=True):
        axes.annotate(
            labels[index],
            tuple(ends_in_pixels[index]),
            xycoords="figure pixels",
            xytext=(box.x1 + 18, height),
            textcoords="figure pixels",
            color=colors[index],
            verticalalignment="center_baseline",
            arrowprops={"arrowstyle": "-", "color": colors[index], "linewidth": 0.8, "shrinkA": 0, "shrinkB": 5},
            annotation_clip=False,
        )


Box = tuple[float, float, float, float]
"""Left, bottom, right and top, in pixels."""
_SPOTS: Final = [("left", 9, 0), ("right", -9, 0), ("center", 0, 13), ("center", 0, -13)] + [
    (side, right * sign, up * LINE)
    for up in (0.8, -0.8, 1.6, -1.6)
    for side, sign, right in (("left", 1, 9), ("right", -1, 9))
]
"""Where a label may stand beside its point, the best spot first: alignment, pixels to the right and up."""


def label_points(axes: Axes, points: Sequence[tuple[float, float]], labels: Sequence[str]) -> None:
    """Write each label beside its point, one after the other, where it covers least of what is there already."""
    centres = _in_pixels(axes, points)
    taken: list[Box] = [(x - 6, y - 6, x + 6, y + 6) for x, y in centres]
    bounds: Box = (axes.bbox.x0, axes.bbox.y0, axes.bbox.x1 + 16, axes.bbox.y1 + 8)
    for (x, y), label in zip(centres, map(shorten, labels), strict=True):
        boxes = [_box(x + right, y + up, width(label), side) for side, right, up in _SPOTS]
        covered = [sum(_overlap(box, other) for other in taken) + _area(box) - _overlap(box, bounds) for box in boxes]
        best = int(np.argmin(covered))
        side, right, up = _SPOTS[best]
        taken.append(boxes[best])
        style: dict[str, Any] = {"horizontalalignment": side, "verticalalignment": "center_baseline"}
        axes.annotate(label, (x, y), (right, up), xycoords="figure pixels", textcoords="offset points", **style)


def _in_pixels(axes: Axes, points: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
    axes.get_xlim()  # Limits are set when somebody asks.
    axes.get_ylim()
    pixels: NDArray[np.float64] = axes.transData.transform(np.asarray(points, float))
    return pixels


def _box(x: float, y: float, wide: float, side: str) -> Box:
    left = x - wide * {"left": 0.0, "center": 0.5, "right": 1.0}[side]
    return left, y - LINE / 2, left + wide, y + LINE / 2


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _overlap(box: Box, other: Box) -> float:
    wide = min(box[2], other[2]) - max(box[0], other[0])
    high = min(box[3], other[3]) - max(box[1], other[1])
    return max(0.0, wide) * max(0.0, high)
