"""Who works on what, so that two processes never do the same work, and the work of a dead one is taken over."""

from __future__ import annotations

import platform
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

import psutil

from genre.core.errors import GenreError
from genre.features._index import Index, Table, select_contents

_POLL: Final = 0.25
"""Seconds between two looks at what another worker has in hand."""
_BEAT: Final = 15.0
_LEASE: Final = 120.0
"""Seconds without a beat after which a worker counts as dead, whatever has become of its process."""
_CLOCK: Final = 2.0
"""Seconds by which the start of one process may seem to differ: it is counted from the start of the machine, which
moves when the clock is set."""


class Worker:
    """One call's share in the work: it claims what is free, and leaves alone what a living worker has claimed."""

    def __init__(self, index: Index, table: Table, model: int, owner: int) -> None:
        """Use a row of `owners`; `enlisted` makes one."""
        self._index, self._table, self._model, self._owner = index, table, model, owner

    @classmethod
    @contextmanager
    def enlisted(cls, index: Index, table: Table, model: int) -> Iterator[Worker]:
        """Enter the list of workers, and leave it with all claims however the block ends."""
        with index.transaction() as db:
            owner = int(db.execute(f"INSERT INTO owners {_SELF}", _self(None)).lastrowid or 0)
        gone = threading.Event()
        heart = threading.Thread(target=_beat, args=(index, owner, gone), daemon=True)
        heart.start()
        try:
            yield cls(index, table, model, owner)
        finally:
            gone.set()
            heart.join()
            # An error here would hide the one that ended the block, and without a beat the claims lapse anyway.
            with suppress(GenreError), index.transaction() as db:
                _dismiss(db, owner)

    def settle(self, contents: Sequence[bytes], size: int, work: Callable[[list[bytes]], None]) -> Iterator[bytes]:
        """Yield each content once it has been worked on, here or by another process.

        Claims are made batch by batch and nobody waits while holding one, so that workers share what is left and
        never wait for each other in a circle.

        Args:
            contents: What is not known yet, in the order in which to take it.
            size: Contents of a batch.
            work: Makes a batch known; what it leaves unknown counts as settled all the same.
        """
        left = list(contents)
        while left:
            mine, known = self._claim(left, size)
            if mine:
                work(mine)
                self._release()
            elif not known:
                time.sleep(_POLL)
            settled = known.union(mine)
            yield from (content for content in left if content in settled)
            left = [content for content in left if content not in settled]

    def _claim(self, wanted: Sequence[bytes], size: int) -> tuple[list[bytes], set[bytes]]:
        """Return up to `size` contents that are ours now, and those found to be known on the way."""
        mine: list[bytes] = []
        known: set[bytes] = set()
        with self._index.transaction() as db:
            # Anew each time: a worker that has slept so long that others took it for dead lives again.
            db.execute(f"INSERT OR REPLACE INTO owners {_SELF}", _self(self._owner))
            _dismiss_the_dead(db)
            for at in range(0, len(wanted), size):
                chunk = wanted[at : at + size]
                done = {row[0] for row in select_contents(db, "content", self._table, self._model, chunk)}
                taken = {row[0] for row in select_contents(db, "content", "claims", self._model, chunk)}
                known |= done
                mine += [content for content in chunk if content not in done and content not in taken]
                if len(mine) >= size:
                    break
            del mine[size:]
            db.executemany("INSERT INTO claims VALUES (?, ?, ?)", [(self._model, one, self._owner) for one in mine])
        return mine, known

    def _release(self) -> None:
        with self._index.transaction() as db:
            db.execute("DELETE FROM claims WHERE owner = ?", (self._owner,))


_SELF: Final = "(owner, machine, pid, started, beat) VALUES (?, ?, ?, ?, ?)"


def _self(owner: int | None) -> tuple[int | None, str, int, float, float]:
    """Return this process's row of `owners`; the database gives a number where there is none yet."""
    process = psutil.Process()
    return owner, platform.node(), process.pid, process.create_time(), time.time()


def _beat(index: Index, owner: int, gone: threading.Event) -> None:
    """Show every few seconds that a worker lives."""
    while not gone.wait(_BEAT):
        # A beat that fails is made up for by the next one; what is really wrong the worker itself will meet.
        with suppress(GenreError), Index.opened(index.path) as mine, mine.transaction() as db:
            db.execute("UPDATE owners SET beat = ? WHERE owner = ?", (time.time(), owner))


def _dismiss(db: sqlite3.Connection, owner: int) -> None:
    db.execute("DELETE FROM claims WHERE owner = ?", (owner,))
    db.execute("DELETE FROM owners WHERE owner = ?", (owner,))


def _dismiss_the_dead(db: sqlite3.Connection) -> None:
    for owner, *about in db.execute("SELECT owner, machine, pid, started, beat FROM owners").fetchall():
        if not _lives(*about):
            _dismiss(db, owner)


def _lives(machine: str, pid: int, started: float, beat: float) -> bool:
    """Return whether a worker is still there; the processes of another container can only be heard, not seen."""
    if time.time() - beat > _LEASE:
        return False
    if machine != platform.node():
        return True
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - started) < _CLOCK
    except psutil.NoSuchProcess:
        return False
