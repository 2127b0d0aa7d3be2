"""Rows of several callers that are written in one batch: who has the model writes for those who wait for it.

A step of a small model takes about as long for many rows as for one, so that callers that share a model, as the
scenarios of one service do, all have their answers sooner.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from genre.language.base import Sampling

if TYPE_CHECKING:
    from genre.language.decoding import LoadedModel, Row


class Gathering:
    """Rows that wait for a model."""

    def __init__(self) -> None:
        """Begin with none."""
        self._turn, self._lock = threading.Lock(), threading.Lock()
        self._waiting: list[tuple[Row, Sampling]] = []

    def written(self, loaded: LoadedModel, rows: Sequence[Row], sampling: Sampling, most: int) -> Iterator[Row]:
        """Write all rows; yield each when it is done.

        A caller who is alone has the model for itself. Where others have it, its rows wait, and whoever comes next
        takes them into its own batch if they are drawn alike.

        Args:
            loaded: The model.
            rows: Not begun; in the order in which they are written.
            sampling: How they are drawn; of all that are written together, seeds may differ.
            most: Rows of a batch.
        """
        left = list(rows)
        with self._lock:
            self._waiting += [(row, sampling) for row in rows]
        try:
            while left:
                with self._turn:
                    # Somebody else may have written them meanwhile.
                    if any(row.finish is None for row in left):
                        yield from self._own(self._write(loaded, left, sampling, most), left)
                done = [row for row in left if row.finish is not None]
                left = [row for row in left if row.finish is None]
                yield from done
        finally:
            with self._lock:
                gone = {id(row) for row in left}
                self._waiting = [(row, how) for row, how in self._waiting if id(row) not in gone]

    @staticmethod
    def _own(written: Iterator[Row], left: list[Row]) -> Iterator[Row]:
        for row in written:
            if row in left:
                left.remove(row)
                yield row

    def _write(self, loaded: LoadedModel, own: Sequence[Row], sampling: Sampling, most: int) -> Iterator[Row]:
        from genre.language.decoding import Batch

        batch = Batch(loaded, self._taken(own, sampling, most), sampling)
        others = [row for row in batch.rows if row not in own]
        try:
            while batch.rows:
                yield from batch.step()
        finally:
            # Something went wrong, or its caller went away: what is half written cannot be begun again.
            for row in others:
                if row.finish is None:
                    row.finish, row.error = "error", "what was written together with it came to an end"

    def _taken(self, own: Sequence[Row], sampling: Sampling, most: int) -> list[Row]:
        """Return the rows of the next batch: the first of one's own, and as many of others as there is room for."""
        chosen = [row for row in own if row.finish is None][:most]
        alike = _drawing(sampling, chosen[0])
        with self._lock:
            others = [row for row, how in self._waiting if row not in own and _drawing(how, row) == alike]
            chosen += others[: most - len(chosen)]
            taken = {id(row) for row in chosen}
            self._waiting = [(row, how) for row, how in self._waiting if id(row) not in taken]
        return chosen


def _drawing(sampling: Sampling, row: Row) -> tuple[object, ...]:
    """Return what must be alike in a batch: seeds and lengths are each row's own."""
    return sampling.temperature, sampling.top_p, sampling.stop, row.matcher is not None
