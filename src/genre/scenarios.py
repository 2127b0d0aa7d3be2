"""Several scenarios beside each other: which there are and in what state, and one process that answers for all.

Shapes: I items of a scenario.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import polars as pl

from genre import pipeline
from genre.adaptation.compression.measuring import ACCOUNT as COMPRESSION
from genre.adaptation.compression.measuring import RUN
from genre.config import Experiment
from genre.config_file import read_experiment
from genre.core.errors import ArtifactError, ConfigError, GenreError
from genre.core.run import Progress
from genre.data.dataset import Dataset, Entities, Vocabulary
from genre.data.files import load_dataset
from genre.engine import Engine
from genre.evaluation.results import Results
from genre.features.text import TextConfig, item_texts
from genre.generation.write_config import WriteConfig
from genre.language.base import Generator
from genre.language.hashing import HashingEncoderConfig
from genre.language.local import LocalGenerator, LocalSettings
from genre.runs import CONFIG, open_run
from genre.workspace import MANIFEST, VERSIONS, read_manifest

State: TypeAlias = Literal["done", "changed", "begun", "new", "damaged"]
_YAML: Final = (".yaml", ".yml")
_ALIKE: Final = 0.5
"""Cosine of the texts above which items of the same id are taken for the same."""


@dataclass(frozen=True)
class Standing:
    """One scenario, and what has become of it."""

    name: str
    run: Path
    """Where it is, or will be."""
    state: State
    """`done`; `changed`, where config or data are others than those of the run; `begun`, a run that was interrupted;
    `new`, where none was begun; `damaged`."""
    problem: str = ""
    """What is wrong with a damaged one, or with the data of one that is changed."""
    items: int | None = None
    users: int | None = None
    model: str = ""
    """Which answers."""
    metric: str = ""
    """What `accuracy` is."""
    accuracy: float | None = None
    """Of that model, on the test events."""
    rules: tuple[str, ...] = ()
    """What is done to its answers."""
    writes: tuple[str, ...] = ()
    """Kinds of texts."""
    generator: str = ""
    """Which language model writes them; nothing where they are put together from the facts."""
    adapter: Path | None = None
    """What that model was taught for this scenario."""
    budget: dict[str, str | float] | None = None
    """What the writing of a language model that answers may lose, as its config says it."""
    taught_budget: dict[str, str | float] | None = None
    """What that of the language model that `genre teach` teaches for it may lose."""
    over_budget: tuple[str, ...] = ()
    """Models that lose more, and so may not answer."""


@dataclass(frozen=True)
class Overlap:
    """Ids that two scenarios have in common."""

    first: str
    second: str
    users: int
    items: int
    same_items: int
    """Of `items`, those of which the texts say about the same; the others have an id in common and nothing else."""


@dataclass(frozen=True)
class Asked:
    """What somebody wants written in one scenario; see `Engine.write`."""

    scenario: str
    users: tuple[str, ...] = ()
    histories: tuple[tuple[str, ...], ...] | None = None
    items: tuple[str, ...] | None = None
    n: int | None = None
    kinds: tuple[str, ...] | None = None


def standings(places: Sequence[Path], runs: Path) -> list[Standing]:
    """Return what has become of scenarios. Those of one name, as copies of a run have, are called by their directories.

    Args:
        places: Configs, and directories of runs; by default all runs in `runs`.
        runs: Where the runs of configs are.

    Raises:
        ArtifactError: There is nothing at one of the places.
        ConfigError: A config cannot be read, or two scenarios have one name, and directories of one name.
    """
    found = _told_apart([_standing(place, runs) for place in places or _runs_in(runs)])
    if doubled := next(iter(_doubled(found)), None):
        raise ConfigError(
            f"two scenarios are called {doubled!r}",
            place="scenarios",
            remedy="Give one of them another `name`, or leave one out.",
        )
    return found


def overlaps(datasets: Mapping[str, Dataset]) -> list[Overlap]:
    """Return which scenarios have ids in common, and whether those of items mean the same in both."""
    found = []
    for (first, one), (second, other) in combinations(datasets.items(), 2):
        users = _common(one.users, other.users)
        items = _common(one.items, other.items)
        if users or items:
            found.append(Overlap(first, second, len(users), len(items), _same(one.items, other.items, items)))
    return found


def overlaps_of(found: Sequence[Standing]) -> list[Overlap]:
    """Return which of the scenarios that have been run have ids in common."""
    return overlaps(
        {one.name: load_dataset(one.run / "data" / "all") for one in found if one.state in {"done", "changed"}}
    )


class Scenarios:
    """Finished runs that answer beside each other, each for its own users and of its own items.

    Nothing goes from one to another: a user of one is unknown in the others, whatever they have in common; only a model
    that was moved brought along what people of both liked (see `Adapted`). What they do share is a language model:
    generators of the same base have its weights once, with an adapter for each scenario that has taught it something,
    and texts of all scenarios are written in the same batches.
    """

    def __init__(self, engines: Mapping[str, Engine], write: Mapping[str, WriteConfig | None]) -> None:
        """Keep the engines, and how each scenario writes."""
        self._engines = dict(engines)
        self._write = dict(write)
        self._generators: dict[str, Generator] = {
            name: config.generator.build()
            for name, config in write.items()
            if config is not None and config.generator is not None
        }

    @classmethod
    def open(cls, runs: Sequence[Path]) -> Scenarios:
        """Open finished runs.

        Raises:
            ArtifactError: One of them is not there, or damaged.
            ConfigError: Two have one name, or an adapter does not belong to its language model.
            DependencyError: A library is not there.
        """
        experiments = {}
        for standing, run in zip(standings(runs, Path()), runs, strict=True):
            read_manifest(run)
            experiments[standing.name] = read_experiment(run / CONFIG)
        for experiment in experiments.values():
            if experiment.write is not None:
                experiment.write.check_installed()
        engines = {name: open_run(run) for name, run in zip(experiments, runs, strict=True)}
        return cls(engines, {name: experiment.write for name, experiment in experiments.items()})

    def __iter__(self) -> Iterator[str]:
        """Yield their names."""
        return iter(self._engines)

    def __getitem__(self, name: str) -> Engine:
        """Return what answers for a scenario.

        Raises:
            ConfigError: There is none of this name.
        """
        if name not in self._engines:
            raise ConfigError(
                f"there is no scenario {name!r}", place="scenarios", remedy=f"Choose from {sorted(self._engines)}."
            )
        return self._engines[name]

    def generator(self, name: str) -> Generator | None:
        """Return what writes for a scenario; None where texts are put together from the facts."""
        return self._generators.get(name)

    def overlaps(self) -> list[Overlap]:
        """Return which scenarios have ids in common."""
        return overlaps({name: engine.data for name, engine in self._engines.items()})

    def write(self, asked: Sequence[Asked], progress: Progress | None = None) -> list[list[dict[str, Any]]]:
        """Write for several scenarios at once, each in its own language, place and manner.

        Args:
            asked: What is wanted of which scenario.
            progress: Shows how far it has come.

        Returns:
            For each of `asked`, in this order, what `Engine.write` returns.

        Raises:
            ConfigError: There is no such scenario, or it cannot write so.
            DataError: An item is not in the scenario's catalogue.
        """
        for one in asked:
            self[one.scenario]
        # One thread for each: they wait for one another in the language model, where their texts meet in a batch.
        with ThreadPoolExecutor(max(1, len(asked))) as pool:
            return list(pool.map(lambda one: self._written(one, progress), asked))

    def matrix(self, count: int = 50, progress: Progress | None = None) -> dict[str, dict[str, float]]:
        """Return the bits per byte that each scenario's language model needs for the items' texts of each.

        A scenario that has taught its adapter something should need fewest for its own.

        Args:
            count: Texts of each scenario at most, drawn by its seed.
            progress: Shows how far it has come.

        Returns:
            By the scenario that the texts are of, and the scenario whose adapter reads them.
        """
        from genre.language.scoring import bits_and_bytes

        found: dict[str, dict[str, float]] = {}
        readers = {name: one.load() for name, one in self._generators.items() if isinstance(one, LocalGenerator)}
        for name, engine in self._engines.items():
            texts = [text for text in item_texts(engine.data.items, TextConfig(), required=False) if text]
            drawn = np.random.default_rng(engine.seed).permutation(len(texts))[:count]
            chosen = [texts[at] for at in drawn]
            found[name] = {}
            for reader, loaded in readers.items():
                bits, size = bits_and_bytes(loaded, chosen, max_tokens=256, progress=progress).sum(0)
                found[name][reader] = float(bits / max(1.0, size))
        return found

    def _written(self, asked: Asked, progress: Progress | None) -> list[dict[str, Any]]:
        config = self._write[asked.scenario]
        settings: dict[str, Any] = {}
        if config is not None:  # A section `write` says more than how, which stands in `WriteConfig` alone.
            own = {name: getattr(config, name, None) for name in ("kinds", "language", "scenario", "n")}
            settings = {name: value for name, value in own.items() if value is not None}
        wanted = {"kinds": asked.kinds, "n": asked.n}
        settings |= {name: value for name, value in wanted.items() if value is not None}
        return self[asked.scenario].write(
            list(asked.users) or None,
            histories=asked.histories,
            items=asked.items,
            config=config,
            generator=self.generator(asked.scenario),
            progress=progress,
            **settings,
        )


def _runs_in(directory: Path) -> list[Path]:
    """Return the runs of a directory, those that are not done among them.

    No scenarios are later versions of a run, and its compressed forms beside it.

    Raises:
        ArtifactError: There is none.
    """
    done = {path.parent for path in directory.glob(f"*/{MANIFEST}")}
    learned = {name.name.removesuffix(VERSIONS) for name in directory.glob(f"*{VERSIONS}")}
    done -= {path for name in learned for path in directory.glob(f"{name}.v[0-9]*")}
    begun = {path.with_name(path.name[1:].removesuffix(".partial")) for path in directory.glob(".*.partial")}
    if not done | begun:
        raise ArtifactError(
            "there is no run here", place=str(directory), remedy="Run an experiment: `genre run CONFIG`."
        )
    names = {path.name for path in done | begun}
    return sorted(path for path in done | begun if _source_of(path) not in names - {path.name})


def _source_of(run: Path) -> str | None:
    """Return the name of the run whose compressed form this one is, or is to be; None where it is none."""
    for place in (run, run.with_name(f".{run.name}.partial")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            told = json.loads((place / COMPRESSION).read_text(encoding="utf-8"))
            # Earlier versions noted no run: by default, the name says which.
            return str(told.get(RUN) or run.name.removesuffix(f"-{told['method']}"))
    return None


def _doubled(found: Sequence[Standing]) -> list[str]:
    return [name for name, count in Counter(one.name for one in found).items() if count > 1]


def _told_apart(found: list[Standing]) -> list[Standing]:
    """Call those of one name by their directories, and those too that have such a directory's name."""
    while any(one.name in _doubled(found) and one.name != one.run.name for one in found):
        doubled = _doubled(found)
        found = [replace(one, name=one.run.name) if one.name in doubled else one for one in found]
    return found


def _standing(place: Path, runs: Path) -> Standing:
    experiment = read_experiment(place) if place.suffix in _YAML else None
    run = place if experiment is None else runs / experiment.name
    if not (run / MANIFEST).is_file():
        partial = run.with_name(f".{run.name}.partial")
        if experiment is None and not partial.is_dir():
            raise ArtifactError(
                "there is no run here", place=str(run), remedy="Name a config, or the directory of a run."
            )
        return Standing(run.name, run, "begun" if partial.is_dir() else "new", **_plans(experiment))
    try:
        manifest = read_manifest(run)
        results, done = Results.load(run), read_experiment(run / CONFIG)
        data = load_dataset(run / "data" / "all")
    except (GenreError, OSError, ValueError, KeyError) as error:
        return Standing(run.name, run, "damaged", " ".join(str(error).split()), **_plans(experiment))
    chosen, problem, changed = manifest["chosen"], "", False
    try:
        changed = experiment is not None and pipeline.key_of(experiment, runs) != manifest["key"]
    except GenreError as error:  # Files of data that were there once.
        changed, problem = True, " ".join(str(error).split())
    return Standing(
        manifest["name"],
        run,
        "changed" if changed else "done",
        problem,
        items=data.num_items,
        users=data.num_users,
        model=chosen,
        metric=results.primary,
        accuracy=results.models[chosen].test[results.primary].mean,
        over_budget=tuple(manifest["over_budget"]),
        **_plans(experiment or done),
    )


def _plans(experiment: Experiment | None) -> dict[str, Any]:
    """Return what a config says of its scenario."""
    if experiment is None:
        return {}
    write, answer = experiment.write, experiment.answer
    found: dict[str, Any] = {
        "rules": tuple(str(config.kind) for config in answer.strategies),
        "budget": None if answer.budget is None else answer.budget.model_dump(mode="json"),
        "taught_budget": None if experiment.teach is None else experiment.teach.budget.model_dump(mode="json"),
    }
    if write is not None:
        generator = write.generator
        found["writes"] = tuple(Path(kind).stem if kind.endswith(".j2") else kind for kind in write.kinds)
        found["generator"] = "" if generator is None else str(getattr(generator, "model", generator.kind))
        found["adapter"] = generator.adapter if isinstance(generator, LocalSettings) else None
    return found


def _common(first: Entities, second: Entities) -> list[str]:
    ids: list[str] = first.vocabulary.ids.to_list()
    return [ids[at] for at in np.flatnonzero(second.vocabulary.rows(ids) >= 0)]


def _same(first: Entities, second: Entities, ids: Sequence[str]) -> int:
    """Return how many items of two catalogues are the same by what is said of them."""
    if not ids:
        return 0
    parts = []
    for items in (first, second):
        rows = items.vocabulary.rows(ids)
        parts.append(Entities(Vocabulary(pl.Series(ids)), items.frame[rows.astype(np.int64)], items.roles))
    texts = [item_texts(part, TextConfig(), required=False) for part in parts]
    encoder = HashingEncoderConfig().build().fit([text for some in texts for text in some])
    one, other = (encoder.encode(some) for some in texts)
    return int(((one * other).sum(1) > _ALIKE).sum())
