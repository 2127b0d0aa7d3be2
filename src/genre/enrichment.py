"""Enrichment as a part of a run, and on its own: `genre enrich`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from genre.config import Experiment
from genre.core.errors import ConfigError
from genre.core.files import atomic_directory
from genre.core.run import Progress
from genre.features.enrich.config import EnrichConfig
from genre.features.enrich.enrich import enrich
from genre.features.enrich.estimate import StageEstimate, estimate
from genre.features.enrich.result import Enrichment
from genre.features.store import ContentStore
from genre.features.versions import REWRITTEN
from genre.stages import Prepared, prepare
from genre.workspace import ACCOUNT, STORE, Stages

STAGE = "enrichment"
"""Directory of what was written, in that of a run."""
ITEMS, USERS, WRITTEN = "items.parquet", "users.parquet", "written"


def enriched(prepared: Prepared, experiment: Experiment, work: Stages, progress: Progress) -> Prepared:
    """Return the prepared data with what the experiment has written of it; as it is where nothing is wanted."""
    config = experiment.enrich
    if config is None:
        return prepared
    found = work.stage(
        STAGE, lambda: _enrich(prepared, config, work.store, progress), save=Enrichment.save, load=Enrichment.load
    )
    return replace(
        prepared,
        data=found.apply(prepared.data),
        splits=tuple(found.apply_split(part, place) for place, part in enumerate(prepared.splits)),
        account=prepared.account | {"enrichment": found.account},
    )


def write_tables(experiment: Experiment, runs: Path, progress: Progress) -> Path:
    """Load, clean, split and enrich, write the tables, and return their directory, `NAME-enriched`.

    `items.parquet` and `users.parquet` are the tables with the new columns, profiles being those of the first split;
    `account.json` says what was done, and `written` holds all that was written of each split. A directory that is there
    is replaced.

    Raises:
        ConfigError: The experiment has no section `enrich`.
    """
    config = _section(experiment)
    prepared = prepare(experiment)
    found = _enrich(prepared, config, runs / STORE, progress)
    data = found.apply(prepared.data)
    final = runs / f"{experiment.name}-enriched"
    with atomic_directory(final) as path:
        # Whoever reads this table would take the versions, which are for training, for labels: they are in `written`.
        data.items.frame.drop(REWRITTEN, strict=False).write_parquet(path / ITEMS)
        data.users.frame.write_parquet(path / USERS)
        (path / ACCOUNT).write_text(json.dumps(found.account, indent=2, ensure_ascii=False), encoding="utf-8")
        (path / WRITTEN).mkdir()
        found.save(path / WRITTEN)
    return final


def estimated(experiment: Experiment, runs: Path, progress: Progress) -> list[StageEstimate]:
    """Load, clean and split, and say what each stage would take.

    Raises:
        ConfigError: The experiment has no section `enrich`.
    """
    config = _section(experiment)
    prepared = prepare(experiment)
    store = ContentStore.open(runs / STORE)
    return estimate(prepared.data, prepared.splits, config, store=store, progress=progress)


def _section(experiment: Experiment) -> EnrichConfig:
    if experiment.enrich is None:
        raise ConfigError(
            "the experiment says nothing of enrichment",
            place="enrich",
            remedy="Add a section, for instance `enrich: {stages: [{kind: summarise}]}`.",
        )
    experiment.enrich.check_installed()
    return experiment.enrich


def _enrich(prepared: Prepared, config: EnrichConfig, store: Path, progress: Progress) -> Enrichment:
    return enrich(prepared.data, prepared.splits, config, store=ContentStore.open(store), progress=progress)
