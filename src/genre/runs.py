"""From a finished run back to a model that answers."""

from __future__ import annotations

from pathlib import Path

from genre.config import Experiment
from genre.config_file import read_experiment
from genre.core.errors import ConfigError
from genre.data.dataset import Dataset
from genre.data.files import load_dataset
from genre.engine import Engine
from genre.recommenders.base import Recommender, Similar
from genre.stages import Fitted
from genre.strategies.base import Rule, Strategy
from genre.workspace import read_manifest, verify

CONFIG = "config.yaml"


def build_engine(experiment: Experiment, data: Dataset, models: dict[str, Recommender], name: str) -> Engine:
    """Put the model called `name` together with the strategies and the fallback of an experiment."""
    parts = [config.build(data) for config in experiment.answer.strategies]
    return Engine(
        data,
        models[name],
        rules=tuple(part for part in parts if isinstance(part, Rule)),
        strategies=tuple(part for part in parts if isinstance(part, Strategy)),
        fallback=tuple(models[member] for member in experiment.answer.fallback if member in models),
        pool=experiment.answer.pool,
        seed=experiment.seeds[0],
    )


def open_run(run: str | Path, *, model: str | None = None, similar: bool = False) -> Engine:
    """Open a finished run.

    Args:
        run: Its directory.
        model: A model of the run, in place of the one that it chose.
        similar: Without `model`, take the best model that knows the similarity of items.

    Raises:
        ArtifactError: There is no finished run, or its files are damaged or newer.
        ConfigError: The run has no such model.
    """
    run = Path(run)
    manifest = read_manifest(run)
    ranked: list[str] = manifest["ranking"]
    if model is not None and model not in ranked:
        raise ConfigError(f"the run has no model {model!r}", place=str(run), remedy=f"Choose from {ranked}.")
    verify(run, "data/all")
    experiment = read_experiment(run / CONFIG)
    data = load_dataset(run / "data" / "all")
    if model is None and similar:
        return _first_similar(experiment, run, data, ranked)
    chosen = model or manifest["chosen"]
    wanted = [chosen, *(name for name in experiment.answer.fallback if (run / "models" / name).exists())]
    models: dict[str, Recommender] = {}
    for name in wanted:
        load_into(models, experiment, run, name)
    return build_engine(experiment, data, models, chosen)


def load_into(
    models: dict[str, Recommender], experiment: Experiment, run: Path, name: str, *, finished: bool = True
) -> None:
    """Load a model of a run, its members first, and keep it in `models`; a finished run's files are verified."""
    if name in models:
        return
    for member in experiment.models[name].member_names:
        load_into(models, experiment, run, member, finished=finished)
    if finished:
        verify(run, f"models/{name}")
    models[name] = Fitted.load(run / "models" / name, models).model


def _first_similar(experiment: Experiment, run: Path, data: Dataset, ranked: list[str]) -> Engine:
    for name in ranked:
        models: dict[str, Recommender] = {}
        load_into(models, experiment, run, name)
        if isinstance(models[name], Similar):
            return Engine(data, models[name])
    raise ConfigError(
        f"none of the run's models {ranked} knows the similarity of items",
        place=str(run),
        remedy="Add item_knn, graph or ease to the experiment.",
    )
