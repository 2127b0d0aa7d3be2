"""A version of a run's model, what it becomes by learning on, and how that is judged and written down.

Shapes: I items, E events.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genre.config import BASELINE, Experiment
from genre.config_file import read_experiment, to_yaml
from genre.core.errors import ConfigError
from genre.core.interactions import Interactions
from genre.core.meter import Meter
from genre.core.queries import Candidates, Queries, Recommendations
from genre.core.run import Progress, RunContext
from genre.data.appending import Appended, appended
from genre.data.dataset import Dataset
from genre.data.files import load_dataset, load_split
from genre.data.privacy import pseudonymiser
from genre.data.splits import Split
from genre.evaluation.gate import Decision, Evidence
from genre.evaluation.shadow import Shadow, ask, time_both
from genre.recommenders.base import Recommender
from genre.recommenders.growth import grown
from genre.recommenders.updating import updated
from genre.runs import CONFIG, load_into
from genre.stages import MODELS, Fitted, Prepared
from genre.strategies.fallback import fill
from genre.workspace import ACCOUNT, STORE, described, read_manifest, seal, verify

DECISION = "decision.json"


@dataclass(frozen=True, eq=False)
class Live:
    """The version that answers now, loaded."""

    directory: Path
    manifest: Mapping[str, Any]
    experiment: Experiment
    data: Dataset
    learned: Interactions
    """The events that its models have learned from."""
    models: Mapping[str, Recommender]
    """The model that answers, its fallbacks, and what these are made of, members first."""
    chosen: str
    fallback: tuple[str, ...]

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Load a version.

        Raises:
            ArtifactError: There is no finished run, or its files are damaged.
        """
        manifest = read_manifest(directory)
        verify(directory, CONFIG, "data/all", "data/split-0")
        experiment, chosen = read_experiment(directory / CONFIG), manifest["chosen"]
        fallback = tuple(name for name in experiment.answer.fallback if (directory / MODELS / name).exists())
        models: dict[str, Recommender] = {}
        baseline = (BASELINE,) if (directory / MODELS / BASELINE).exists() else ()  # An experiment always names it.
        for name in (chosen, *fallback, *baseline):
            load_into(models, experiment, directory, name)
        learned = load_split(directory / "data" / "split-0").train.interactions
        data = load_dataset(directory / "data" / "all")
        return cls(directory, manifest, experiment, data, learned, models, chosen, fallback)

    @property
    def store(self) -> Path:
        """Where texts that were read are kept."""
        return self.directory.parent / STORE


class _Answering:
    """A model with its fallbacks: what somebody is shown."""

    def __init__(self, model: Recommender, fallback: Sequence[Recommender]) -> None:
        self.model, self.fallback, self.config = model, fallback, model.config

    def recommend(self, queries: Queries, n: int, *, candidates: Candidates | None = None) -> Recommendations:
        answer = self.model.recommend(queries, n, candidates=candidates)
        return fill(queries, answer, self.fallback, candidates or Candidates())


def longer_log(
    live: Live, events: pl.DataFrame, items: pl.DataFrame | Sequence[Mapping[str, Any]], *, hashed: bool = False
) -> Appended:
    """Return the version's data with the events; columns that the catalogue does not have are left out.

    Args:
        live: The version.
        events: What has happened.
        items: Rows of items that may be new.
        hashed: Whether users are called in the events as in the data, as a service stores them, where that hides them.
    """
    privacy = live.experiment.privacy
    pseudonym = None if hashed else pseudonymiser(privacy)
    if privacy.hash_users and pseudonym is None and not hashed:
        raise ConfigError(
            f"users are pseudonyms, and the environment variable {privacy.key_env!r} is not set",
            place=str(live.directory),
            remedy="Set it to the key with which the run was made.",
        )
    columns = live.data.items.frame.columns
    rows = items.to_dicts() if isinstance(items, pl.DataFrame) else items
    known = [{name: value for name, value in row.items() if name in columns} for row in rows]
    return appended(live.data, events, live.experiment.feedback, items=known, pseudonym=pseudonym)


def _unlearned(log: Interactions, learned: Interactions) -> NDArray[np.bool_]:
    """Return which events (E,) of a log are not among those that were learned, each of which stands for one."""

    def keys(some: Interactions) -> pl.DataFrame:
        frame = pl.DataFrame({"user": some.row_of_event, "item": some.item_rows, "time": some.timestamps})
        return frame.with_columns(number=pl.int_range(pl.len()).over("user", "item", "time"))

    there = keys(learned).with_columns(there=pl.lit(value=True))
    joined = keys(log).join(there, on=["user", "item", "time", "number"], how="left", maintain_order="left")
    found: NDArray[np.bool_] = ~joined["there"].fill_null(value=False).to_numpy()
    return found


def candidate_of(live: Live, known: Dataset, progress: Progress) -> tuple[dict[str, Fitted], dict[str, dict[str, Any]]]:
    """Return all models of the version, updated, and how each was."""
    new = _unlearned(known.interactions, live.learned)
    run = RunContext(seed=live.experiment.seeds[0], progress=progress, store=live.store)
    done: dict[str, Fitted] = {}
    account = {}
    for name, model in live.models.items():
        answers_with = model.config.answers_with
        members = {member: done[member].model for member in answers_with} if answers_with else None
        with Meter() as meter:
            found, how = updated(model, known, new, run, members)
        done[name] = Fitted(found, meter.seconds, meter.memory)
        account[name] = {"how": how, "seconds": meter.seconds}
    return done, account


def evidence_of(live: Live, candidate: Mapping[str, Fitted], data: Dataset, shadow: Shadow) -> Evidence:
    """Ask both versions the shadow questions."""
    run = RunContext(store=live.store)
    before = {name: grown(model, data.items, live.data.num_items, run) for name, model in live.models.items()}
    after = {name: fitted.model for name, fitted in candidate.items()}
    config = live.experiment.evaluation
    models = [
        _Answering(some[live.chosen], [some[name] for name in live.fallback if name != live.chosen])
        for some in (before, after)
    ]
    asked = [ask(one, shadow, data.num_items, config, scorer=one.model) for one in models]  # type: ignore[arg-type]
    return Evidence(
        config.primary,
        asked[0],
        asked[1],
        shadow.backing,
        shadow.newcomers,
        shadow.num_newcomers,
        time_both(models[0], models[1], shadow.questions, config),  # type: ignore[arg-type]
        items=data.items.vocabulary.ids.to_list(),
    )


def write_models(live: Live, candidate: Mapping[str, Fitted], directory: Path) -> None:
    """Write the settings and the models of a new version into a directory."""
    # A composite model names the members that were left when it was fitted; one that another taught names that one.
    carried = {name: live.experiment.models[name] for name in live.experiment.fitting_order(live.models)}
    carried |= {
        name: model.config for name, model in live.models.items() if "members" in type(model.config).model_fields
    }
    changes: dict[str, Any] = {
        "models": carried,
        "seeds": live.experiment.seeds[:1],
        "answer": live.experiment.answer.model_copy(update={"model": live.chosen, "fallback": live.fallback}),
        "few_users": None,
        "teach": None,
        "tune": None,
    }
    experiment = live.experiment.model_copy(update=changes)
    (directory / CONFIG).write_text(to_yaml(experiment), encoding="utf-8")
    for name, fitted in candidate.items():
        place = directory / MODELS / name
        place.mkdir(parents=True)
        fitted.save(place)


def finish(
    directory: Path,
    live: Live,
    *,
    data: Dataset,
    known: Dataset,
    shadow: Shadow,
    decision: Decision,
    account: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> None:
    """Write the rest of a new version, so that it opens like any run.

    What it has learned stands as the training part of its split, and the shadow questions as the others: they were
    asked before they were learned.

    Args:
        directory: Holds the models.
        live: The version that it comes from.
        data: All events.
        known: Those that it has learned.
        shadow: The others, as questions.
        decision: Why it may answer.
        account: How it came about.
        facts: What the manifest says of it beside that.
    """
    part = Split(known, shadow.questions, shadow.questions, np.zeros(data.num_items, bool))
    sizes = {"users": data.num_users, "items": data.num_items, "events": data.num_events}
    (directory / "data").mkdir()
    Prepared(data, (part,), {**sizes, "fingerprint": data.fingerprint()}).save(directory / "data")
    (directory / ACCOUNT).write_text(json.dumps({"data": sizes, "learning": account}, indent=2), encoding="utf-8")
    (directory / DECISION).write_text(json.dumps(decision.to_dict(), indent=2), encoding="utf-8")
    manifest = described(
        live.manifest["key"],
        chosen=live.chosen,
        ranking=[name for name in live.manifest["ranking"] if name in live.models],
        over_budget={},
        skipped={},
        seeds=live.experiment.seeds[:1],
        **facts,
    )
    seal(directory, manifest)
