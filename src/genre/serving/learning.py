"""The loop back: what has come since a version was made is learned, judged, and goes live or does not.

`learn` takes events as a table, `learn_from_store` those of a service; both are what a background job calls. The
version that is judged is the one that goes live: the newest events, by which it was judged, are learned the next time.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from pydantic import Field

from genre.core.config import Config
from genre.core.errors import ConfigError, DataError, ResourceError
from genre.core.files import atomic_directory
from genre.core.run import Progress, RunContext, Silent
from genre.data.columns import EVENT, ITEM_ID
from genre.data.dataset import Dataset
from genre.data.showing import with_shown
from genre.erasing import erasing_lock
from genre.evaluation.gate import Decision, GateConfig, decide
from genre.evaluation.shadow import Shadow, hold_back
from genre.guarding import over_budget
from genre.serving.candidates import Live, candidate_of, evidence_of, finish, longer_log, write_models
from genre.serving.versions import Version, Versions
from genre.workspace import VERSION_OF, read_manifest

if TYPE_CHECKING:
    from genre.serving.stores.database import Database


class LearnConfig(Config):
    """How new events become a new version."""

    shadow: float = Field(default=0.2, gt=0, lt=1)
    """Share of the new events, the newest, by which the new version is judged and which it does not learn yet."""
    established: int = Field(default=3, ge=1)
    """Events that somebody must have had before, for what they do to count as a question or a reason."""
    questions: int = Field(default=2000, ge=1)
    """Questions at most, and users whose lists are looked at."""
    gate: GateConfig = GateConfig()


@dataclass(frozen=True)
class Learned:
    """What came of it."""

    version: Version | None
    """The new version, rejected ones included; None where there was nothing new, or nothing was to be written."""
    decision: Decision | None = None
    account: dict[str, Any] = field(default_factory=dict)
    """What was read, and how each model came to learn it in how many seconds, as plain values."""


class _RejectedError(Exception):
    """Ends the writing of a version that does not pass."""


def learn(
    run: Path,
    events: pl.DataFrame,
    *,
    items: pl.DataFrame | Sequence[Mapping[str, Any]] = (),
    shown: Iterable[pl.DataFrame] = (),
    config: LearnConfig | None = None,
    versions: Versions | None = None,
    canary: float | None = None,
    seq: int | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
    actor: str = "command line",
    hashed: bool = False,
    valid: Callable[[], bool] | None = None,
) -> Learned:
    """Update the model of a run that answers now, judge the new one, and let it answer if it passes.

    Args:
        run: The run, or one of its versions.
        events: What has happened, as `appended` takes it; what the version knows already is left alone.
        items: Rows of items that may be new.
        shown: What was shown since, as `with_shown` takes it: strategies that explore go by it, and no model takes it
            for liked.
        config: How it is judged.
        versions: Where versions are noted; by default in the file beside the run.
        canary: Share of the users whom the new version answers at first; None lets it answer all.
        seq: Number of the last of the events, where they are numbered.
        dry_run: Decide, and write nothing.
        progress: Shows how far it has come.
        actor: Who does it, for the database's audit log.
        hashed: Whether users are called in the events as in the data, where that hides their ids.
        valid: Says in the end whether what was read may still be learned: not where a user was erased meanwhile.
            Who was erased from the version that was learned on is noticed in any case.

    Raises:
        ArtifactError: There is no finished run, or its files are damaged.
        ConfigError: Users are pseudonyms, and the key is not at hand, or the share is none.
        DataError: The events cannot be read, or a canary is on trial.
        ModelError: A model cannot learn from new events.
        ResourceError: Another update of the run is under way, a user was erased meanwhile, or the disk is full.
    """
    if canary is not None and not 0 < canary < 1:
        raise ConfigError(f"{canary!r} is no share", place="canary", remedy="Give one above 0 and below 1.")
    config, progress = config or LearnConfig(), progress or Silent()
    versions = versions or Versions(run)
    with _alone(versions.run):
        before, trial = versions.on_duty()
        if trial is not None:
            raise DataError(
                f"{trial.version} is a canary",
                place=str(versions.run),
                remedy="Let it answer everybody with `genre promote`, or take it away with `genre rollback`.",
            )
        live = Live.open(versions.directory(before))
        longer = longer_log(live, events, items, hashed=hashed)
        data = longer.data
        account: dict[str, Any] = {"events": longer.account()}
        if not longer.new.any():
            return Learned(None, None, account)
        data, account["shown"] = with_shown(data, shown, events, live.experiment.feedback)
        rng = RunContext(seed=live.experiment.seeds[0]).rng("learning")
        shadow = hold_back(
            data,
            longer.new,
            share=config.shadow,
            established=config.established,
            most=config.questions,
            repeats=live.experiment.split.repeats,
            rng=rng,
        )
        known = _known(data, shadow)
        candidate, how = candidate_of(live, known, progress)
        evidence = evidence_of(live, candidate, data, shadow)
        name, seq = versions.next_name(), before.seq if seq is None else seq
        facts = {"name": versions.directory_of(name).name, "version": name, "parent": before.version, "seq": seq}
        facts[VERSION_OF] = versions.run.name
        account["models"] = how
        decision: Decision | None = None
        try:
            with atomic_directory(versions.directory_of(name)) as directory:
                write_models(live, candidate, directory)
                if live.experiment.answer.budget is not None:
                    over = over_budget(live.experiment, directory, [live.chosen], data, progress)
                    evidence = replace(evidence, breaches=over.get(live.chosen, []))
                decision = decide(evidence, config.gate, rng)
                if dry_run or not decision.promoted:
                    raise _RejectedError
                finish(
                    directory,
                    live,
                    data=data,
                    known=known,
                    shadow=shadow,
                    decision=decision,
                    account=account,
                    facts=facts,
                )
        except _RejectedError:
            pass
        assert decision is not None  # noqa: S101 - whatever else ends the block is raised.
        if dry_run:
            return Learned(None, decision, account)
        with erasing_lock(versions.run):
            # Whoever is erased from the version that was learned on is in what came of it.
            if read_manifest(live.directory) != live.manifest or (valid is not None and not valid()):
                shutil.rmtree(versions.directory_of(name), ignore_errors=True)
                raise ResourceError(
                    "a user was erased while this was learned from", place=str(run), remedy="Update again."
                )
            noted = versions.add(
                name,
                "rejected" if not decision.promoted else "live" if canary is None else "canary",
                reason=decision.reason,
                share=canary if decision.promoted else None,
                seq=seq,
                accuracy=_mean(evidence.candidate.accuracy),
                before=_mean(evidence.live.accuracy),
                actor=actor,
            )
        return Learned(noted, decision, account)


def learn_from_store(
    run: Path,
    database: Database,
    scenario: str,
    *,
    config: LearnConfig | None = None,
    canary: float | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
    actor: str = "background job",
) -> Learned:
    """Update a run's model from the events and items of a service since the version that answers now; see `learn`.

    Impressions up to the last of these events are kept with the data, and are no likes. Events on items that are not
    described by then are left out for good. What the scenario's table of models says of states counts.
    """
    from genre.serving.stores.audit import Audit
    from genre.serving.stores.events import IMPRESSION, SCHEMA, Events
    from genre.serving.stores.items import Items
    from genre.serving.stores.models import Models
    from genre.serving.stores.users import ERASED

    versions = Versions(run, models=Models(database), scenario=scenario)
    erased = Audit(database).last(ERASED, scenario)
    after = versions.on_duty()[0].seq
    frames = list(Events(database).since(scenario, after, impressions=False))
    events = pl.concat([pl.DataFrame(schema=SCHEMA), *frames])
    items = [{ITEM_ID: item.item_id, **item.data} for part in Items(database).since(scenario) for item in part]
    last = int(events["seq"].max() or after) if len(events) else after  # type: ignore[arg-type]

    def shown() -> Iterator[pl.DataFrame]:
        # A second look, part by part: there are many more of them than of anything else.
        for frame in Events(database).since(scenario, after):
            yield frame.filter(pl.col(EVENT) == IMPRESSION, pl.col("seq") <= last)
            if int(frame["seq"][-1]) >= last:
                return

    return learn(
        run,
        events,
        items=items,
        shown=shown(),
        config=config,
        versions=versions,
        canary=canary,
        seq=last,
        dry_run=dry_run,
        progress=progress,
        actor=actor,
        hashed=True,
        valid=lambda: Audit(database).last(ERASED, scenario) == erased,
    )


def _known(data: Dataset, shadow: Shadow) -> Dataset:
    """Return what the new version may learn: without what it is judged by, and without what was shown since then."""
    log, shown = data.interactions, data.impressions
    if shown is not None and shadow.held.any():
        shown = shown.where(shown.timestamps < log.timestamps[shadow.held].min())
    return replace(data, interactions=log.where(~shadow.held), impressions=shown)


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(values.mean()) if len(values) else None


@contextmanager
def _alone(run: Path) -> Iterator[None]:
    """Keep other processes from updating the same run."""
    lock = FileLock(run.with_name(f".{run.name}.learning.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ResourceError(
            "another update is under way", place=str(run), remedy="Wait until it has ended, and try again."
        ) from None
    try:
        yield
    finally:
        lock.release()
