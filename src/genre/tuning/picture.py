"""The plot of a search: what each trial found, and the best value so far."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from genre.core.files import atomic_file
from genre.tuning.trials import Found


def draw_history(found: Sequence[Found], objective: str, path: Path) -> None:
    """Draw the trials in order into a PNG file; those without a value are crosses at the bottom."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot(xlabel="trial", ylabel=f"{objective} on the validation events")
    valued = [(one.number, one.value, one.feasible) for one in found if one.value is not None]
    for feasible, face, label in ((True, "C0", "a trial"), (False, "none", "over a constraint")):
        dots = [(number, value) for number, value, able in valued if able == feasible]
        if dots:
            numbers, values = zip(*dots, strict=True)
            axes.scatter(numbers, values, 24, facecolors=face, edgecolors="C0", label=label)
    able = [(number, value) for number, value, feasible in valued if feasible]
    if able:
        numbers, values = zip(*able, strict=True)
        axes.step(numbers, np.maximum.accumulate(values), where="post", color="C1", label="best so far")
    given_up = [one.number for one in found if one.value is None]
    if given_up:
        heights, bottom = [0.02] * len(given_up), axes.get_xaxis_transform()
        axes.scatter(given_up, heights, 24, marker="x", color="grey", transform=bottom, label="given up")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside upper right", ncols=4)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
