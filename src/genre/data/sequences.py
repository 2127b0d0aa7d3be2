"""From a log to the sequences that a model is trained on, and to altered copies of them.

Shapes: B sequences, E events in all, I items.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genre.core.interactions import Interactions
from genre.core.ragged import offsets_of, positions_of
from genre.data._parts import running_times


def windows(log: Interactions, length: int) -> Interactions:
    """Return the likes of every row in windows of at most `length + 1`, from which `length` steps can be learned.

    Windows are cut from the end and share one event with the one before, so that every like but a row's first is the
    next of another exactly once, however long the history. Rows with fewer than two likes give nothing.
    """
    likes = log.liked()
    steps = np.maximum(likes.lengths - 1, 0)
    counts = -(-steps // length)
    row = np.repeat(np.arange(len(likes)), counts)
    number = np.arange(len(row)) - np.repeat(offsets_of(counts)[:-1], counts)  # 0 for the oldest window.
    ends = likes.offsets[1:][row] - (counts[row] - 1 - number) * length
    starts = np.maximum(likes.offsets[:-1][row], ends - length - 1)
    return _cut(likes, starts, ends)


def windows_to_learn(
    log: Interactions, new: NDArray[np.bool_], length: int, *, context: int, replay: float, rng: np.random.Generator
) -> Interactions:
    """Return the windows that hold new likes, with some likes before them, and old windows drawn at random.

    Args:
        log: Events of both times.
        new: (E,) which are new.
        length: Steps of a window.
        context: Likes before a user's first new one.
        replay: Old windows for each that holds something new.
        rng: Draws the old windows.
    """
    fresh = new & (log.weights > 0)
    likes = log.liked()
    fresh = fresh[log.weights > 0]
    rows = likes.row_of_event
    first = np.full(len(likes), likes.num_events + length)  # Rows without anything new hold no event that is so late.
    np.minimum.at(first, rows[fresh], np.flatnonzero(fresh))
    latest = windows(likes.where(np.arange(likes.num_events) >= first[rows] - min(context, length)), length)
    old = windows(log.where(~new), length)
    number = min(len(old), round(replay * len(latest)))
    return stacked([latest, old.take(np.sort(rng.choice(len(old), number, replace=False)))])


def stacked(parts: Sequence[Interactions]) -> Interactions:
    """Return the rows of all parts, one below the other."""
    return Interactions(
        offsets_of(np.concatenate([part.lengths for part in parts])),
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("item_rows", "timestamps", "weights")),
    )


def crop(sequences: Interactions, rng: np.random.Generator, share: float) -> Interactions:
    """Keep a random stretch of every sequence: `share` of its events, two at least.

    Zhou et al.: S3-Rec. CIKM 2020; Xie et al.: Contrastive Learning for Sequential Recommendation. ICDE 2022.
    """
    kept = np.minimum(sequences.lengths, np.maximum(2, np.round(share * sequences.lengths))).astype(np.int64)
    starts = sequences.offsets[:-1] + rng.integers(0, sequences.lengths - kept + 1)
    return _cut(sequences, starts, starts + kept)


def prefix(sequences: Interactions, rng: np.random.Generator) -> Interactions:
    """Keep a beginning of every sequence, of random length, two events at least."""
    kept = rng.integers(np.minimum(2, sequences.lengths), sequences.lengths + 1)
    return _cut(sequences, sequences.offsets[:-1], sequences.offsets[:-1] + kept)


def mask(sequences: Interactions, rng: np.random.Generator, share: float) -> Interactions:
    """Leave out a random `share` of the events; two of each sequence always stay.

    The papers put a mask token in place of an event. To leave it out needs no token that answering never sees.
    """
    order = rng.random(sequences.num_events)
    keep = order >= share
    # Of each sequence, the two events with the highest draws stay.
    rows = sequences.row_of_event
    by_draw = np.lexsort((-order, rows))
    place = np.arange(len(rows)) - np.repeat(sequences.offsets[:-1], sequences.lengths)
    keep[by_draw[place < 2]] = True
    return sequences.where(keep)


def reorder(sequences: Interactions, rng: np.random.Generator, share: float) -> Interactions:
    """Shuffle a random stretch of every sequence, `share` of its events."""
    lengths = sequences.lengths
    size = np.round(share * lengths).astype(np.int64)
    start = rng.integers(0, lengths - size + 1)
    place = np.arange(sequences.num_events) - np.repeat(sequences.offsets[:-1], lengths)
    first, last = np.repeat(start, lengths), np.repeat(start + size, lengths)
    inside = (place >= first) & (place < last)
    # Events outside sort by their place, those inside at random within the stretch.
    key = np.where(inside, first + rng.random(len(place)) * np.maximum(last - first, 1), place)
    order = np.lexsort((key, sequences.row_of_event))
    return Interactions(sequences.offsets, sequences.item_rows[order], sequences.timestamps, sequences.weights[order])


def substitute(
    sequences: Interactions, rng: np.random.Generator, share: float, similar: NDArray[np.int32]
) -> Interactions:
    """Put a similar item in place of a random `share` of the events.

    Liu et al.: Contrastive Self-supervised Sequential Recommendation with Robust Augmentation. arXiv 2108.06479.

    Args:
        sequences: B sequences.
        rng: Chooses the events and the substitutes.
        share: Of the events that are replaced.
        similar: (I, k) similar items; negative where there are fewer, and then nothing is replaced.
    """
    chosen = np.flatnonzero(rng.random(sequences.num_events) < share)
    found = similar[sequences.item_rows[chosen], rng.integers(0, similar.shape[1], len(chosen))]
    items = sequences.item_rows.copy()
    items[chosen] = np.where(found < 0, items[chosen], found)
    return Interactions(sequences.offsets, items, sequences.timestamps, sequences.weights)


def _cut(sequences: Interactions, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Interactions:
    """Return the stretches of the flat arrays between `starts` and `ends` (B,)."""
    bounds = np.stack([starts, ends], axis=1).ravel()
    where = positions_of(bounds, np.arange(0, len(bounds), 2))
    return Interactions(
        offsets_of(ends - starts), sequences.item_rows[where], sequences.timestamps[where], sequences.weights[where]
    )


def before(log: Interactions, events: NDArray[np.int64], most: int) -> Interactions:
    """Return the history (B rows) of each event: at most so many that went before it in its row."""
    starts = log.offsets[:-1][np.searchsorted(log.offsets, events, side="right") - 1]
    lengths = np.minimum(events - starts, most)
    offsets = offsets_of(lengths)
    where = np.repeat(events - lengths - offsets[:-1], lengths) + np.arange(offsets[-1])
    return Interactions(offsets, log.item_rows[where], log.timestamps[where], log.weights[where])


def until(log: Interactions, events: NDArray[np.int64]) -> Interactions:
    """Return the history (B rows) that ends with each event: all of its row up to it."""
    return _cut(log, log.offsets[:-1][np.searchsorted(log.offsets, events, side="right") - 1], events + 1)


def merged(first: Interactions, second: Interactions) -> Interactions:
    """Return both (B rows each) row by row in the order of time, those of `first` before others of the same time.

    Neither changes its own order: an event that is older than the one before it counts as no older.
    """
    times = np.concatenate([running_times(first), running_times(second)])
    order = np.lexsort((times, np.concatenate([first.row_of_event, second.row_of_event])))
    return Interactions(
        offsets_of(first.lengths + second.lengths),
        np.concatenate([first.item_rows, second.item_rows])[order],
        np.concatenate([first.timestamps, second.timestamps])[order],
        np.concatenate([first.weights, second.weights])[order],
    )
