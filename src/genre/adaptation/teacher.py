"""Asking a teacher: what it would recommend after many histories, how good that is, and its vectors of the items.

Shapes: N histories, k places of a list, I items, E numbers of an item's vector.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from genre.core.errors import ConfigError, DataError, ModelError
from genre.core.files import atomic_file
from genre.core.interactions import Interactions
from genre.core.queries import NO_ITEM, UNKNOWN_USER, Candidates, Queries
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.data.build import build_dataset
from genre.data.columns import ITEM_ID
from genre.data.dataset import Dataset, Entities
from genre.data.readers import FilesConfig, read_tables
from genre.data.sequences import until
from genre.data.tables import Tables
from genre.metrics.ranking import ndcg
from genre.metrics.ranks import list_ranks
from genre.recommenders.base import Recommender
from genre.training.config import CHECKPOINT_FILE

_AT_ONCE = 256
"""Histories that a teacher is asked about at once."""
_SECONDS = 30.0
"""Of asking, that a kill may cost."""
_JUDGED = 10
Lists = tuple[NDArray[np.int32], NDArray[np.float32]]
"""(N, k) items, best first, and what the teacher said of them; see `Recommendations`."""


def unlabelled_histories(files: FilesConfig, items: Entities) -> Interactions:
    """Read histories of which nobody knows how they go on; each event is a like.

    Raises:
        DataError: The file cannot be read, or knows no item of the catalogue.
    """
    log = read_tables(files).interactions
    known = log.filter(pl.col(ITEM_ID).is_in(items.vocabulary.ids.implode()))
    if known.is_empty():
        raise DataError(
            f"none of its {log[ITEM_ID].n_unique()} items is in the catalogue, such as {log[ITEM_ID].first()!r}",
            place=str(files.interactions),
            remedy="A teacher is asked about histories of items that it knows: the ids must be those of the catalogue.",
        )
    built = build_dataset(Tables(known))
    rows = items.vocabulary.rows(built.items.vocabulary.ids)
    found = built.interactions
    return Interactions(found.offsets, rows[found.item_rows], found.timestamps, found.weights)


def questions_for(
    data: Dataset,
    more: Interactions | None,
    most: int,
    rng: np.random.Generator,
    *,
    never: Queries | None = None,
    gaps: bool = False,
) -> tuple[Queries, Ragged]:
    """Return what a teacher is asked about, and what each of these people has liked so far, which is no answer.

    First come histories as they stand, then, if that is wanted, such with one like left out, then beginnings. What
    comes after a beginning is in the log, and a teacher that has learned the log may say it by heart; after a history
    that goes to the end, with a gap or without, it says something that the log does not.

    Args:
        data: The log that was learned from. Histories begin with it.
        more: Histories without an answer.
        most: Questions at most, in this order.
        rng: Draws where there are more.
        never: What a student is judged by: it would answer these better than others if it were taught their answers.
        gaps: Whether to ask about histories with a gap, those of `never` too.
    """
    log = data.interactions if more is None else data.interactions.stacked(more)
    users = np.full(len(log), UNKNOWN_USER)
    users[: len(data.interactions)] = np.arange(len(data.interactions))
    liked = np.flatnonzero(log.weights > 0)
    rows = log.row_of_event[liked]
    newest = np.ones(len(liked), bool)
    newest[:-1] = np.diff(rows) > 0
    last = np.zeros(len(log), np.int64)
    last[rows[newest]] = liked[newest]
    early = ~newest & gaps
    ends, left_out = np.concatenate([liked, last[rows[early]]]), np.concatenate([np.full(len(liked), -1), liked[early]])
    places = np.concatenate([np.where(newest, 0, 2), np.ones(int(early.sum()), int)])
    order = rng.permutation(len(ends))
    order = order[np.argsort(places[order], kind="stable")]
    if never is not None:
        # A question about somebody is known by how much of the history it has.
        size = int(max(log.lengths.max(initial=0), never.history.lengths.max(initial=0))) + 1
        of = log.row_of_event[ends]
        lengths = ends - log.offsets[of] + 1
        judged = np.isin(users[of] * size + lengths, never.user_rows * size + never.history.lengths)
        judged &= (left_out < 0) & (users[of] != UNKNOWN_USER)
        order = order[~judged[order]]
    drawn = np.sort(order[:most])
    ends, left_out = ends[drawn], left_out[drawn]
    of = log.row_of_event[ends]
    seen = until(log, ends)
    events = np.arange(seen.num_events) + np.repeat(log.offsets[:-1][of] - seen.offsets[:-1], seen.lengths)
    histories = seen.where(events != np.repeat(left_out, seen.lengths))
    return data.queries(users[of], history=histories, times=seen.end_times), seen.items


def ask(
    teacher: Recommender, queries: Queries, k: int, run: RunContext, *, name: str, num_items: int, seen: Ragged | None
) -> Lists:
    """Return a teacher's first k after each history, and go on where it was interrupted.

    What it has said is kept in the run's directory. The first block is always asked again, and where the answers are
    others than before, so is all: the teacher is another one.

    Args:
        teacher: A fitted model.
        queries: N histories.
        k: Places.
        run: Shows how far it has come.
        name: Of the teacher.
        num_items: I.
        seen: N rows of items that are no answers.

    Raises:
        ConfigError: The teacher speaks of another catalogue.
    """
    items, scores = np.full((len(queries), k), NO_ITEM, np.int32), np.full((len(queries), k), -np.inf, np.float32)
    kept = None if run.directory is None else _Kept(run.directory, _digest(queries, k, seen))
    done, before = (0, None) if kept is None else kept.load()
    blocks = range(0, len(queries), _AT_ONCE)
    for start in run.progress.track(blocks, f"distilled: ask {name}", len(blocks)):
        rows = slice(start, start + _AT_ONCE)
        if start and start < done and before is not None:
            items[rows], scores[rows] = before[0][rows], before[1][rows]
            continue
        part = queries.take(rows)
        hidden = None if seen is None else seen.take(rows)
        answer = teacher.recommend(part, k, candidates=Candidates(excluded=hidden))
        items[rows], scores[rows] = answer.item_rows, answer.scores
        _check_rows(answer.item_rows, num_items, name)
        if start == 0 and before is not None and not np.array_equal(items[rows], before[0][rows]):
            done = 0
        if kept is not None:
            kept.save(start + len(part), (items, scores), at_last=start == blocks[-1])
    return items, scores


def quality(teacher: Recommender, run: RunContext, *, name: str, num_items: int, hide_seen: bool) -> float | None:
    """Return a teacher's NDCG@10 on the validation questions; None without any. See `ask`."""
    asked = run.validation
    if asked is None or not len(asked):
        return None
    seen = asked.queries.history.items if hide_seen else None
    items, _ = ask(teacher, asked.queries, _JUDGED, run, name=name, num_items=num_items, seen=seen)
    return float(ndcg(list_ranks(items, asked.targets), asked.targets.offsets, _JUDGED).mean())


def vectors_of(model: Recommender, num_items: int, *, name: str) -> NDArray[np.float32]:
    """Return a model's vectors (I, E) of the items, zeros for one that it cannot read.

    Raises:
        ConfigError: It has none of these items.
    """
    found = getattr(model, "table", getattr(model, "vectors", None))
    vectors = None if found is None else np.asarray(found.cpu() if hasattr(found, "cpu") else found, np.float32)
    if vectors is None or vectors.ndim != 2 or len(vectors) != num_items:
        have = "has none" if vectors is None else f"has vectors of {len(vectors)}"
        raise ConfigError(
            f"vectors of {num_items} items are wanted from {name!r} ({model.config.kind}), which {have}",
            place="distilled.align.model",
            remedy=WHAT_CAN_BE_TRANSFERRED,
        )
    return vectors


WHAT_CAN_BE_TRANSFERRED = (
    "Name a fitted `sasrec`, `two_tower`, `llm_sequential` or `als` of the same data, of any dimensions. From every "
    "other model its lists can be transferred: leave `align` out. Tokenizers need not be alike, since words are not."
)


class _Kept:
    """What a teacher has said so far, in a file that is written anew now and then."""

    def __init__(self, directory: Path, digest: str) -> None:
        self.path, self.saved_at = directory / f"lists-{digest}" / CHECKPOINT_FILE, time.monotonic()

    def load(self) -> tuple[int, Lists | None]:
        """Return how many histories are done, and the lists; none where there is no file, or a damaged one."""
        try:
            with safe_open(self.path, "np") as file:
                done = int(file.metadata()["done"])
                return done, (file.get_tensor("items"), file.get_tensor("scores"))
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            return 0, None

    def save(self, done: int, lists: Lists, *, at_last: bool) -> None:
        """Write down what there is, if the last time is long ago or this is the end."""
        if not at_last and time.monotonic() - self.saved_at < _SECONDS:
            return
        with atomic_file(self.path) as path:
            save_file({"items": lists[0], "scores": lists[1]}, path, {"done": str(done)})
        self.saved_at = time.monotonic()


def _digest(queries: Queries, k: int, seen: Ragged | None) -> str:
    digest = hashlib.sha256(f"{k} {seen is not None}".encode())
    history, hidden = queries.history, () if seen is None else (seen.offsets, seen.values)
    for part in (history.offsets, history.item_rows, history.timestamps, history.weights, queries.user_rows, *hidden):
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()[:16]


def _check_rows(rows: NDArray[np.int32], num_items: int, name: str) -> None:
    if int(rows.max(initial=NO_ITEM)) >= num_items:
        raise ModelError(
            f"{name!r} recommends item {int(rows.max())}, and there are {num_items}",
            place="distilled.teacher",
            remedy="It was fitted on another catalogue: fit it on the data that the student learns from.",
        )
