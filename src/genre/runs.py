"""From a finished run back to a model that answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from genre.adaptation.adapted import Adapted, AdaptedConfig
from genre.asking import asked_by
from genre.config import Experiment
from genre.config_file import read_experiment
from genre.core.errors import ConfigError
from genre.core.files import atomic_file, sha256
from genre.data.dataset import Dataset
from genre.data.files import load_dataset
from genre.data.privacy import pseudonymiser
from genre.engine import Engine
from genre.recommenders.base import ReadsTexts, Recommender, Similar
from genre.recommenders.store import STATE_FILE, load_model, save_model
from genre.stages import Fitted
from genre.workspace import MANIFEST, STORE, read_manifest, verify

CONFIG = "config.yaml"


def open_run(
    run: str | Path, *, model: str | None = None, able: type | None = None, experiment: Experiment | None = None
) -> Engine:
    """Open a finished run.

    Args:
        run: Its directory.
        model: A model of the run, in place of the one that it chose.
        able: Without `model`, take the best model that can do this: `Similar` or `ReadsTexts`.
        experiment: What was run; needed only where it held config objects that YAML cannot name.

    Raises:
        ArtifactError: There is no finished run, or its files are damaged or newer.
        ConfigError: The run has no such model.
    """
    run = Path(run)
    manifest = read_manifest(run)
    ranked: list[str] = manifest["ranking"]
    if model is not None and model not in ranked:
        raise ConfigError(f"the run has no model {model!r}", place=str(run), remedy=f"Choose from {ranked}.")
    verify(run, CONFIG, "data/all")
    experiment = experiment or read_experiment(run / CONFIG)
    data = load_dataset(run / "data" / "all")
    if model is None and able is not None:
        return _first_able(experiment, run, data, ranked, able)
    return open_engine(experiment, run, data, model or manifest["chosen"], finished=True)


def open_engine(experiment: Experiment, run: Path, data: Dataset, name: str, *, finished: bool = False) -> Engine:
    """Put a model that the run holds together with the experiment's strategies and fallback."""
    models: dict[str, Recommender] = {}
    fallback = [member for member in experiment.answer.fallback if (run / "models" / member).exists()]
    for wanted in (name, *fallback):
        load_into(models, experiment, run, wanted, finished=finished)
    return _engine(experiment, run, data, models[name], tuple(models[member] for member in fallback))


def forget(run: str | Path, users: Sequence[str]) -> list[str]:
    """Take what some users liked in other scenarios out of a finished run's models, and return which models held it.

    Models that were moved answer people of both scenarios by that, too. Their events in this scenario stand in the
    run's data, and what weights have learned stays learned: both go with the next run on a log without them.

    Args:
        run: Its directory.
        users: Ids, as people give them or as they are stored.

    Raises:
        ArtifactError: There is no finished run, or its files are damaged.
    """
    run = Path(run)
    manifest = read_manifest(run)
    experiment = read_experiment(run / CONFIG)
    _, queries = asked_by(load_dataset(run / "data" / "all"), users, None, pseudonymiser(experiment.privacy))
    changed = []
    for name in manifest["ranking"]:
        config, place = experiment.models[name], run / "models" / name
        if not isinstance(config, AdaptedConfig) or not place.exists():
            continue
        model = load_model(place, AdaptedConfig, {})
        if not isinstance(model, Adapted) or not model.holds(queries.user_rows).any():
            continue
        with TemporaryDirectory(dir=run) as made:
            save_model(model.without_users(queries.user_rows), Path(made))
            state = Path(made) / STATE_FILE
            manifest["files"][str((place / STATE_FILE).relative_to(run))] = sha256(state)
            state.replace(place / STATE_FILE)
        with atomic_file(run / MANIFEST) as temporary:
            temporary.write_text(json.dumps(manifest, indent=2), encoding="utf-8")
        changed.append(name)
    return changed


def load_into(
    models: dict[str, Recommender], experiment: Experiment, run: Path, name: str, *, finished: bool = True
) -> None:
    """Load a model of a run, those it asks first, and keep it in `models`; a finished run's files are verified."""
    if name in models:
        return
    config = experiment.models[name]
    for member in config.answers_with:
        if (run / "models" / member).exists():  # A member may have been skipped.
            load_into(models, experiment, run, member, finished=finished)
    if finished:
        verify(run, f"models/{name}")
    models[name] = Fitted.load(run / "models" / name, type(config), models).model


def _engine(
    experiment: Experiment, run: Path, data: Dataset, model: Recommender, fallback: tuple[Recommender, ...]
) -> Engine:
    return Engine(
        data,
        model,
        shaping=experiment.answer.strategies,
        fallback=fallback,
        pool=experiment.answer.pool,
        seed=experiment.seeds[0],
        pseudonym=pseudonymiser(experiment.privacy),
        store=run.parent / STORE,
    )


_ABILITIES: dict[type, tuple[str, str]] = {
    Similar: ("knows the similarity of items", "Add item_knn, graph or ease to the experiment."),
    ReadsTexts: ("reads texts", "Add content to the experiment."),
}


def _first_able(experiment: Experiment, run: Path, data: Dataset, ranked: list[str], able: type) -> Engine:
    for name in ranked:
        models: dict[str, Recommender] = {}
        load_into(models, experiment, run, name)
        if isinstance(models[name], able):
            return _engine(experiment, run, data, models[name], ())
    ability, remedy = _ABILITIES[able]
    raise ConfigError(f"none of the run's models {ranked} {ability}", place=str(run), remedy=remedy)
