"""Models that rank in a process of their own: what ranks and what speaks HTTP then do not share one interpreter's lock.

A list depends on nothing but the model, the questions and what may be answered; what has happened since the model
learned stands in the questions, which take some hundred bytes. So the other process follows nothing and keeps nothing
of anybody. While it is not there, or has no copy of a model yet, the model ranks here.
"""

from __future__ import annotations

import gc
import logging
import pickle
import signal
import threading
import time
from collections import deque
from itertools import count
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Final
from weakref import finalize

from genre.core.interactions import Interactions
from genre.core.queries import Candidates, Queries, Recommendations
from genre.recommenders.base import Recommender

_QUIET: Final = 1.0
"""Seconds that a model must have been the same for before it is copied: while a catalogue changes, each copy would be
outdated when it arrives."""
_LOOK: Final = 0.25
"""Seconds between two looks at what is to be copied."""
_PATIENCE: Final = 20.0
"""Seconds after which a process that does not answer is ended."""
_AGAIN: Final = 5.0
"""Seconds between two starts of one that dies, at least."""
log = logging.getLogger("genre.serving")


class Copy:
    """A model, and a copy of it elsewhere that ranks in its place when it can."""

    def __init__(self, aside: Aside, model: Recommender) -> None:
        """Have the model copied."""
        self.model, self._aside, self._key = model, aside, aside.keep(model)
        finalize(self, aside.release, self._key)

    def recommend(self, queries: Queries, n: int, *, candidates: Candidates | None = None) -> Recommendations:
        """Return what the model recommends; what is wrong with a question is said by the model here."""
        found = self._aside.recommend(self._key, queries, n, candidates)
        return self.model.recommend(queries, n, candidates=candidates) if found is None else found

    def drop(self) -> None:
        """Remove the copy: when this returns, it is gone."""
        self._aside.drop(self._key)


class Aside:
    """The other process. Any thread may ask; one question goes there at a time."""

    def __init__(self) -> None:
        """Start it."""
        self._keys = count()
        self._wanted: dict[int, tuple[Recommender, float]] = {}
        """Models that shall have a copy, and since when."""
        self._there: set[int] = set()
        self._released: deque[int] = deque()
        self._asking, self._sending = threading.Lock(), threading.Lock()
        self._stop = threading.Event()
        self._died = 0.0
        self._start()
        self._thread = threading.Thread(target=self._carry, name="genre-copies", daemon=True)
        self._thread.start()

    @property
    def is_up(self) -> bool:
        """Whether the process is there."""
        return self._process.is_alive()

    def has(self, key: int) -> bool:
        """Return whether a copy is there."""
        return key in self._there

    def keep(self, model: Recommender) -> int:
        """Have a model copied soon, and return what the copy is called."""
        key = next(self._keys)
        self._wanted[key] = model, time.monotonic()
        return key

    def release(self, key: int) -> None:
        """Have a copy removed some time: nobody asks for it any more."""
        self._released.append(key)

    def drop(self, key: int) -> None:
        """Remove a copy, also one that is on its way."""
        with self._sending:
            self._wanted.pop(key, None)
            if key in self._there:
                self._there.discard(key)
                self._said((key, None))

    def recommend(self, key: int, queries: Queries, n: int, candidates: Candidates | None) -> Recommendations | None:
        """Return what a copy recommends; None where it is not there, or could not answer."""
        return self._said((key, (queries, n, candidates))) if self.has(key) else None

    def close(self) -> None:
        """End the process."""
        self._stop.set()
        self._there.clear()
        self._process.kill()  # Nobody asks any more, and who waits for it to take a model need not.
        self._thread.join()
        self._end()

    def _start(self) -> None:
        context = get_context("spawn")  # Threads and the locks that they hold cannot be inherited.
        self._asks, asked = context.Pipe()
        self._copies, copied = context.Pipe()
        self._process = context.Process(target=_work, args=(asked, copied), name="genre-ranks", daemon=True)
        self._process.start()
        asked.close()
        copied.close()

    def _end(self) -> None:
        self._asks.close()
        self._copies.close()
        self._process.join(1.0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _said(self, message: tuple[int, Any]) -> Any:
        """Return the answer to a message; None if there is none in time."""
        with self._asking:
            try:
                self._asks.send(message)
                if self._asks.poll(_PATIENCE):
                    return self._asks.recv()
                log.error("the process that ranks does not answer, and is ended")
                self._process.kill()
            except (OSError, EOFError, pickle.PickleError):
                pass
            self._there.clear()
            return None

    def _carry(self) -> None:
        """Bring copies there and take them away, and start the process again when it has died."""
        while not self._stop.wait(_LOOK):
            while self._released:
                self.drop(self._released.popleft())
            if not self.is_up:
                self._restart()
                continue
            for key, (model, since) in list(self._wanted.items()):
                if key not in self._there and time.monotonic() - since >= _QUIET:
                    self._bring(key, model)

    def _restart(self) -> None:
        self._there.clear()
        if time.monotonic() - self._died < _AGAIN:
            return
        log.warning("the process that ranks has died; another one is started, and models rank here until it is there")
        self._died = time.monotonic()
        with self._sending, self._asking:
            self._end()
            self._start()

    def _bring(self, key: int, model: Recommender) -> None:
        with self._sending:
            if key not in self._wanted:
                return
            try:
                content = pickle.dumps(model, pickle.HIGHEST_PROTOCOL)
            except Exception:
                # Some models cannot be taken apart; they rank as they always did.
                log.exception("a model cannot be copied to the process that ranks")
                self._wanted.pop(key)
                return
            try:
                self._copies.send(key)
                self._copies.send_bytes(content)
                if self._copies.poll(10 * _PATIENCE) and self._copies.recv():
                    self._there.add(key)
                else:
                    log.error("a model could not be read by the process that ranks")
                    self._wanted.pop(key)
            except (OSError, EOFError):
                return  # It has died, which is noticed next.


def _work(asks: Connection, copies: Connection) -> None:
    """Rank until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Who asks decides when all is answered.
    there: dict[int, Recommender] = {}
    threading.Thread(target=_take, args=(copies, there), daemon=True).start()
    while True:
        try:
            key, question = asks.recv()
            if question is None:
                there.pop(key, None)
                gc.unfreeze()
                gc.collect()
                gc.freeze()
                asks.send(True)
            else:
                asks.send(_ranked(there, key, *question))
        except (OSError, EOFError):
            return
        # Nothing of a person stays in memory while the next ones are waited for.
        question = None


def _ranked(
    there: dict[int, Recommender], key: int, queries: Queries, n: int, candidates: Candidates | None
) -> Recommendations | None:
    try:
        return there[key].recommend(queries, n, candidates=candidates)
    except Exception:
        return None  # It is asked again where it can be told, and looked into.


def _take(copies: Connection, there: dict[int, Recommender]) -> None:
    """Take models, and say of each whether it can answer."""
    while True:
        try:
            key = copies.recv()
            content = copies.recv_bytes()
            try:
                model: Recommender = pickle.loads(content)  # noqa: S301 - from the process that has started this one
                del content
                model.recommend(Queries.of(Interactions.empty(1)), 1)  # What is made on demand is made now.
            except Exception:
                copies.send(False)
                continue
            there[key] = model
            gc.collect()
            gc.freeze()  # Models are not garbage, and looking through them takes longer than an answer may.
            copies.send(True)
        except (OSError, EOFError):
            return
