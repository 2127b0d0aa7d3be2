"""Drift: whether what comes in, what is answered and what comes back still look as they did.

A model goes stale quietly. Three things are watched, each as shares of a few bins, in a reference and in the newest
window: the inputs (how popular the items of events are, their categories, how long histories are), the scores of
answers, and the feedback (types of events, clicks by position). Two numbers tell how far they are apart: the population
stability index, by custom "little" below 0.1 and "much" above 0.25, and the Jensen-Shannon divergence, from 0 to 1.

- Siddiqi: Credit Risk Scorecards. 2006 (the index).
- Lin: Divergence Measures Based on the Shannon Entropy. IEEE Transactions on Information Theory 1991.

Shapes: K bins, W observations of a window, B answers of n items, E events.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from genre.data.dataset import Dataset
from genre.evaluation.logged import IMPRESSION

LARGE: Final = 0.25
"""A stability index from which a distribution has changed, by custom."""
_SMALLEST: Final = 0.5
"""Added to each bin: an empty one would make the index infinite."""
_MOST_LABELS: Final = 30
"""Categories and types of event that are told apart; the rest are one."""
_LENGTHS: Final = np.array([1, 2, 4, 8, 16, 32, 64, 128])
"""Lower ends of the bins of history lengths but the first, which is 0."""
_POSITIONS: Final = 20
"""Positions that are told apart; those below are one."""


def stability_index(reference: ArrayLike, newest: ArrayLike) -> float:
    """Return the population stability index ``sum((q - p) * ln(q / p))`` of two sets of counts (K,) in the same bins.

    Half an observation is added to each bin that is not empty on both sides. Without an observation on either side
    there is nothing to compare: 0. By chance alone about ``(K - 1) * (1 / A + 1 / B)`` is to be expected of A and B
    observations.
    """
    before, after = np.asarray(reference, np.float64), np.asarray(newest, np.float64)
    used = before + after > 0
    before, after = before[used], after[used]
    if not before.sum() or not after.sum():
        return 0.0
    p, q = ((counts + _SMALLEST) / (counts + _SMALLEST).sum() for counts in (before, after))
    return float(((q - p) * np.log(q / p)).sum())


def jensen_shannon(reference: ArrayLike, newest: ArrayLike) -> float:
    """Return the Jensen-Shannon divergence of two sets of counts (K,) in bits: 0 if their shares are equal, at most 1.

    Without an observation on either side: 0.
    """
    before, after = np.asarray(reference, np.float64), np.asarray(newest, np.float64)
    if not before.sum() or not after.sum():
        return 0.0
    p, q = before / before.sum(), after / after.sum()
    middle = (p + q) / 2
    bits = (_terms(p, middle) + _terms(q, middle)) / 2
    return float(min(1.0, max(0.0, bits.sum())))


def bins_by_share(values: NDArray[np.floating], num_bins: int = 10) -> NDArray[np.float64]:
    """Return the inner edges of bins that hold about equal shares of the values; equal edges are one."""
    return np.unique(np.quantile(values.astype(np.float64), np.arange(1, num_bins) / num_bins))


class Window:
    """Counts of a reference, and of the newest observations; it holds these as one number each, and no more.

    Without a reference, the first observations are one. They are not in the window, which begins after them.
    """

    def __init__(self, num_bins: int, size: int, reference: ArrayLike | None = None) -> None:
        """Take the number of bins, the observations that the window holds, and the counts (K,) of a reference."""
        self.reference = np.zeros(num_bins) if reference is None else np.asarray(reference, np.float64)
        self.newest = np.zeros(num_bins)
        self._missing = size if reference is None else 0
        self._ring = np.zeros(size, np.int32)
        self._next = self._held = 0

    @property
    def held(self) -> int:
        """How many observations the window holds."""
        return self._held

    def add(self, bins: NDArray[np.integer]) -> None:
        """Take observations (E,), the oldest first."""
        if self._missing:
            first, bins = bins[: self._missing], bins[self._missing :]
            self.reference += np.bincount(first, minlength=len(self.reference))
            self._missing -= len(first)
        size = len(self._ring)
        bins = bins[-size:]
        if not len(bins):
            return
        places = (self._next + np.arange(len(bins))) % size
        gone = max(0, self._held + len(bins) - size)
        # The oldest observation lies where the next one goes, once the ring is full.
        oldest = (self._next - self._held) % size
        leaving = self._ring[(oldest + np.arange(gone)) % size]
        self.newest -= np.bincount(leaving, minlength=len(self.newest))
        self.newest += np.bincount(bins, minlength=len(self.newest))
        self._ring[places] = bins
        self._next = (self._next + len(bins)) % size
        self._held = min(size, self._held + len(bins))

    def gauges(self, name: str, least: int) -> dict[str, float]:
        """Return both measures under a signal's name; nothing until window and reference hold enough."""
        if self._held < least or self.reference.sum() < least:
            return {}
        return {
            f"drift_psi_{name}": stability_index(self.reference, self.newest),
            f"drift_js_{name}": jensen_shannon(self.reference, self.newest),
        }


class DriftWatch:
    """Watches one scenario: a service tells it of answers and events, and reads its gauges. Any thread may.

    How popular items are and which categories they have is compared with the log that the model has learned from;
    everything else with the first observations after the start, so a service that is started anew has a new reference.
    Memory is bounded: some windows of `size` numbers, and two numbers for each item of the catalogue.
    """

    def __init__(self, data: Dataset, *, size: int = 5_000, least: int = 500) -> None:
        """Watch.

        Args:
            data: What the model has learned from; which items there are, and how often each was taken.
            size: Observations that windows hold, and references that are taken from the first ones.
            least: Observations below which a window says nothing. With 10 bins, chance alone gives an index of 0.04 at
                500 on both sides.
        """
        self._lock = threading.Lock()
        self._size, self._least = size, least
        self._items = {str(name): row for row, name in enumerate(data.items.vocabulary.ids)}
        taken = np.bincount(data.interactions.item_rows, minlength=data.num_items)
        self._popularity, popular = _popularity_bins(taken)
        self._category, categories = _category_bins(data, taken)
        self._windows = {
            "item_popularity": Window(len(popular), size, popular),
            "item_category": Window(len(categories), size, categories),
            "history_length": Window(len(_LENGTHS) + 1, size),
            "event_type": Window(_MOST_LABELS + 1, size),
            "clicks_by_position": Window(2 * _POSITIONS, size),  # What was shown at each, then what was clicked.
        }
        self._types: dict[str, int] = {}
        self._scores = _Scores(size)

    def answered(self, scores: NDArray[np.floating], history_lengths: NDArray[np.integer]) -> None:
        """Take answers.

        Args:
            scores: (B, n) of what was recommended; those of the first places are watched. Not finite where empty.
            history_lengths: (B,) events that each was answered from.
        """
        lengths = np.searchsorted(_LENGTHS, history_lengths, side="right")
        first = np.asarray(scores, np.float64)[:, :1].ravel()
        with self._lock:
            self._windows["history_length"].add(lengths)
            self._scores.add(first[np.isfinite(first)])

    def happened(
        self,
        item_ids: Sequence[str],
        types: Sequence[str | None],
        positions: Sequence[int | None],
    ) -> None:
        """Take events (E,), in the order in which they came.

        Args:
            item_ids: What each is about; an item that the model does not know counts as never taken.
            types: "impression" or what was done; None where that is not told. What is not an impression and has a
                position is taken for a click.
            positions: Where the item stood, from 0; None where that is not told.
        """
        shown = np.array([kind == IMPRESSION for kind in types], bool)
        rows = np.array([self._items.get(item, -1) for item in item_ids], np.int64)
        places = np.array([-1 if place is None else min(place, _POSITIONS - 1) for place in positions], np.int64)
        with self._lock:
            self._windows["item_popularity"].add(self._popularity[rows[~shown]])
            self._windows["item_category"].add(self._category[rows[~shown]])
            self._windows["event_type"].add(np.array([self._type(kind) for kind in types], np.int64))
            placed = np.where(shown, places, places + _POSITIONS)[places >= 0]
            self._windows["clicks_by_position"].add(placed)

    def gauges(self) -> dict[str, float]:
        """Return what is known so far, by name: `drift_psi_...` and `drift_js_...` of each signal, and click rates.

        `click_rate` is clicks for each shown item in the window, `click_rate_reference` the same in the reference, and
        `click_rate_position_K` in the window at a position, from 0.
        """
        with self._lock:
            found: dict[str, float] = {}
            for name, window in self._windows.items():
                found |= window.gauges(name, self._least)
            found |= self._scores.gauges(self._least)
            found |= self._rates()
        return found

    def _rates(self) -> dict[str, float]:
        window = self._windows["clicks_by_position"]
        found: dict[str, float] = {}
        for name, counts in (("click_rate_reference", window.reference), ("click_rate", window.newest)):
            shown, clicked = counts[:_POSITIONS].sum(), counts[_POSITIONS:].sum()
            if shown >= self._least:
                found[name] = float(clicked / shown)
        shown, clicked = window.newest[:_POSITIONS], window.newest[_POSITIONS:]
        # A rate of few is noise.
        enough = np.flatnonzero(shown >= self._least / 10)
        return found | {f"click_rate_position_{place}": float(clicked[place] / shown[place]) for place in enough}

    def _type(self, kind: str | None) -> int:
        """Return the bin of a type of event; later ones share the last when all others are taken."""
        label = "" if kind is None else kind
        if label not in self._types and len(self._types) < _MOST_LABELS:
            self._types[label] = len(self._types)
        return self._types.get(label, _MOST_LABELS)


class _Scores:
    """Scores in ten bins that hold equal shares of the first ones."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._first: list[NDArray[np.float64]] = []
        self._edges = np.empty(0)
        self._window: Window | None = None

    def add(self, scores: NDArray[np.float64]) -> None:
        """Take scores (B,); the first `size` of them make the bins."""
        if self._window is None:
            self._first.append(scores)
            together = np.concatenate(self._first)
            if len(together) < self._size:
                self._first = [together]
                return
            reference, scores = together[: self._size], together[self._size :]
            self._first = []
            self._edges = bins_by_share(reference)
            bins = np.searchsorted(self._edges, reference, side="right")
            self._window = Window(len(self._edges) + 1, self._size, np.bincount(bins, minlength=len(self._edges) + 1))
        self._window.add(np.searchsorted(self._edges, scores, side="right"))

    def gauges(self, least: int) -> dict[str, float]:
        """Return both measures of the scores."""
        return {} if self._window is None else self._window.gauges("score", least)


def _popularity_bins(taken: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the bin of each item (I + 1,), the last one for an unknown item, and what was taken (K,) in each bin.

    Bin 0 is for what was never taken; the others, from the most popular on, hold about a tenth of the events each.
    """
    order = np.argsort(-taken, kind="stable")
    passed = np.cumsum(taken[order]) - taken[order]
    bins = np.zeros(len(taken) + 1, np.int64)
    bins[order] = 1 + np.minimum(9, 10 * passed // max(1, int(taken.sum())))
    bins[:-1][taken == 0] = 0
    return bins, np.bincount(bins[:-1], taken, minlength=11).astype(np.int64)


def _category_bins(data: Dataset, taken: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the bin of each item (I + 1,) by its first label, and what was taken (K,) in each bin.

    Bin 0 is for items without a label and for unknown ones; labels of which little was taken share the last.
    """
    bins = np.zeros(data.num_items + 1, np.int64)
    if data.items.roles.category:
        column = data.items.frame[data.items.roles.category[0]]
        labels = column.list.first() if isinstance(column.dtype, pl.List) else column
        counted = pl.DataFrame({"label": labels.cast(pl.String), "taken": taken}).drop_nulls("label")
        ranked = counted.group_by("label").sum().sort(pl.col("taken"), pl.col("label"), descending=[True, False])
        known = {label: min(place + 1, _MOST_LABELS) for place, label in enumerate(ranked["label"])}
        bins[:-1] = [known.get(label, 0) for label in labels.cast(pl.String)]
    return bins, np.bincount(bins[:-1], taken, minlength=_MOST_LABELS + 1).astype(np.int64)


def _terms(share: NDArray[np.float64], middle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the terms (K,) of the divergence of shares from their middle, in bits; 0 for an empty bin."""
    some = share > 0
    terms = np.zeros(len(share))
    terms[some] = share[some] * np.log2(share[some] / middle[some])
    return terms
