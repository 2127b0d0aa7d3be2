"""The steps of a run that are more than one call: preparing data, planning, fitting; and how each is kept on disk."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import psutil

from genre.config import Experiment
from genre.core.errors import ConfigError, DataError
from genre.core.files import sha256
from genre.core.meter import Meter
from genre.core.run import Progress, RunContext
from genre.data.aliases import TABLES
from genre.data.build import build_dataset
from genre.data.cleaning import clean
from genre.data.dataset import Dataset
from genre.data.files import load_dataset, load_split, save_dataset, save_split
from genre.data.privacy import protect, pseudonymiser
from genre.data.readers import FilesConfig, read_tables
from genre.data.sample import sample_tables
from genre.data.splits import Split, split
from genre.data.tables import Tables
from genre.data.transforms import fit_columns
from genre.evaluation.judge import Judge, Judgement, Rehearsal
from genre.features.content import ContentConfig, ContentFeatures
from genre.features.vectors import TextVectors, VectorsConfig
from genre.features.versions import REWRITTEN, VersionsConfig
from genre.recommenders.base import Accounts, DataSize, Estimate, Recommender, RecommenderConfig
from genre.recommenders.store import load_model, save_model
from genre.training.config import CHECKPOINT_FILE
from genre.workspace import Stages

GIB = 2**30
COST, SEARCH = "cost.json", "search.json"
FEWEST_DIVIDED = 40
"""Validation questions below which halves would say nothing."""
MODELS, LOGS = "models", "logs"
JUDGEMENTS, TRIALS = "judgements", "trials"
"""What is kept only until the run is done: findings model by model, and all stages of further seeds and splits."""


def source_key(experiment: Experiment) -> str:
    """Return a hash of the bytes that the experiment reads.

    Raises:
        DataError: A file is not there.
    """
    data = experiment.data
    more = [_digest(path, f"models.{name}") for name, model in experiment.models.items() for path in model.data_files]
    if not isinstance(data, FilesConfig):
        return "-".join(["sample", *more])
    pseudonym = pseudonymiser(experiment.privacy)
    own = [pseudonym("") if pseudonym else ""]  # With another key, users have other ids.
    return "-".join([*own, *(_digest(path, f"data.{table}") for table in TABLES for path in data.paths(table)), *more])


def _digest(path: Path, place: str) -> str:
    if not path.is_file():
        raise DataError(
            f"`{place}` names a file that is not there",
            place=str(path),
            remedy="Correct the path: in a config it is relative to the config, in --set to where you are.",
        )
    return sha256(path)[:16]


@dataclass(frozen=True)
class Prepared:
    """The data after loading, cleaning and splitting, and the account of what happened to it."""

    data: Dataset
    """Every event that is left. Item columns are as in the files, for rules and texts; user columns are as models see
    them."""
    splits: tuple[Split, ...]
    """What models are fitted and judged on, several for k-fold; number columns are scaled or binned as configured."""
    account: dict[str, Any]
    """Sizes, and what cleaning and privacy did, as plain values."""

    def save(self, directory: Path) -> None:
        """Write everything into an existing directory."""
        save_dataset(self.data, _new(directory / "all"))
        for index, part in enumerate(self.splits):
            save_split(part, _new(directory / f"split-{index}"))
        (directory / "account.json").write_text(json.dumps(self.account, indent=2), encoding="utf-8")

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read what `save` wrote."""
        parts = sorted(directory.glob("split-*"), key=lambda path: int(path.name.rpartition("-")[2]))
        account = json.loads((directory / "account.json").read_text(encoding="utf-8"))
        return cls(load_dataset(directory / "all"), tuple(load_split(path) for path in parts), account)


def prepare(experiment: Experiment) -> Prepared:
    """Load, protect, clean, build and split.

    Raises:
        DataError: The files cannot be used, or too little is left of them.
    """
    config = experiment.data
    tables = read_tables(config) if isinstance(config, FilesConfig) else sample_tables(config)
    before, notices = _counts(tables), tables.notices
    tables, privacy = protect(tables, experiment.privacy)
    tables, cleaning = clean(tables, experiment.clean)
    roles = (config.item_columns, config.user_columns) if isinstance(config, FilesConfig) else (None, None)
    data = build_dataset(tables, experiment.feedback, *roles)
    if not (data.interactions.weights > 0).any():
        raise DataError(
            f"no liked event is left of {before['events']}",
            place="interactions",
            remedy="Loosen `clean`, or `feedback.like_at`; `genre data check` shows what is dropped.",
        )
    seed = experiment.seeds[0]
    raw = split(data, experiment.split, RunContext(seed=seed).rng("split"))
    transforms = [fit_columns(part.train, experiment.columns) for part in raw]
    splits = tuple(by.apply_split(part) for part, by in zip(raw, transforms, strict=True))
    shown = replace(transforms[0].apply(data), items=data.items)
    account = {
        "before": before,
        "notices": notices,
        "users": data.num_users,
        "items": data.num_items,
        "events": data.num_events,
        "likes": int((data.interactions.weights > 0).sum()),
        "cold_items": int(splits[0].cold_items.sum()),
        "queries": {"validation": len(splits[0].validation), "test": len(splits[0].test)},
        "privacy": privacy.to_dict(),
        "cleaning": cleaning.to_dict(),
        "fingerprint": data.fingerprint(),
    }
    return Prepared(shown, splits, account)


@dataclass(frozen=True)
class Planned:
    """What fitting one model is expected to take."""

    name: str
    config: RecommenderConfig
    """A composite model's names only those members that are fitted."""
    estimate: Estimate
    skipped: str | None = None
    """Why it will not be fitted, or with which members it does without, if so."""
    fitted: bool = True


def make_plan(experiment: Experiment, data: Dataset, done: Collection[str] = ()) -> list[Planned]:
    """Estimate every model, members first; skip what the machine cannot hold.

    A composite model does with the `members` that are left, and is skipped only without any; one that names others for
    what they are is skipped without one of them.

    Args:
        experiment: What to fit.
        data: Its size decides.
        done: Models that an interrupted run has fitted already: they stay, however little memory is free now.

    Raises:
        ConfigError: Nothing is left to fit, or not the model that shall answer.
    """
    limit = free_memory() * 0.8 if experiment.memory_gib is None else experiment.memory_gib * GIB
    size = DataSize(data.num_users, data.num_items, data.num_events)
    plan: dict[str, Planned] = {}
    for name in experiment.fitting_order():
        config = experiment.models[name]
        left = tuple(member for member in config.member_names if plan[member].fitted)
        lost = [member for member in config.member_names if member not in left]
        note, complete = None, not lost
        if lost and "members" in type(config).model_fields:
            note, complete = f"does without the skipped {', '.join(lost)}", bool(left)
            config = config.model_copy(update={"members": left})
        elif lost:
            note = f"needs the skipped {', '.join(lost)}"
        estimate = config.estimate(size).with_again([plan[member].estimate for member in left], config.refits)
        small = name in done or estimate.memory <= limit
        fits = small and complete
        if not small:
            note = f"needs about {_size(estimate.memory)}, {_size(limit)} may be used"
        plan[name] = Planned(name, config, estimate, note, fits)
    named = experiment.answer.model
    if named != "best" and not plan[named].fitted:
        problem = f"{named!r} shall answer and cannot be fitted: it {plan[named].skipped}"
    elif not any(planned.fitted for planned in plan.values()):
        problem = "no model can be fitted: " + "; ".join(f"{name} {planned.skipped}" for name, planned in plan.items())
    else:
        return list(plan.values())
    raise ConfigError(
        problem, place="models", remedy="Choose lighter models, clean with a larger k-core, or raise `memory_gib`."
    )


def free_memory() -> int:
    """Return the bytes that are free on this machine, or in this container if that is less."""
    free = psutil.virtual_memory().available
    try:
        limit, used = (
            int(Path(f"/sys/fs/cgroup/memory.{name}").read_text(encoding="ascii")) for name in ("max", "current")
        )
    except (OSError, ValueError):  # No such control group, or no limit ("max").
        return free
    return min(free, limit - used)


def _size(size: float) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / 2**20:.2f} MiB"


@dataclass(frozen=True)
class Fitted:
    """A fitted model, and what fitting it took."""

    model: Recommender
    fit_seconds: float
    fit_memory: int
    """Bytes at the peak, above what the process held before."""

    def save(self, directory: Path) -> None:
        """Write the model and its cost into an existing directory."""
        save_model(self.model, directory)
        cost = {"fit_seconds": self.fit_seconds, "fit_memory": self.fit_memory}
        (directory / COST).write_text(json.dumps(cost), encoding="utf-8")
        if isinstance(self.model, Accounts):
            told = json.dumps(self.model.account(), ensure_ascii=False)
            (directory / SEARCH).write_text(told, encoding="utf-8")

    @classmethod
    def load(cls, directory: Path, kind: type[RecommenderConfig], members: Mapping[str, Recommender]) -> Self:
        """Read what `save` wrote."""
        return cls(load_model(directory, kind, members), **cost_of(directory))


def cost_of(directory: Path) -> dict[str, Any]:
    """Read what fitting a saved model took."""
    cost: dict[str, Any] = json.loads((directory / COST).read_text(encoding="utf-8"))
    return cost


def accounts_of(directory: Path, names: Sequence[str]) -> dict[str, Any]:
    """Return what fitted models of a run tell of how they came about, by their names."""
    paths = {name: directory / MODELS / name / SEARCH for name in names}
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in paths.items() if path.exists()}


@dataclass(frozen=True)
class Trial:
    """The models of one split and one seed. Those of the first trial are the ones that the run keeps."""

    part: Split
    run: RunContext
    work: Stages
    place: str
    """Below which directory of the run this trial's stages are."""

    @classmethod
    def of(
        cls, experiment: Experiment, prepared: Prepared, index: int, seed: int, work: Stages, progress: Progress
    ) -> Self:
        """Set up the trial of split `index`."""
        part = prepared.splits[index]
        first = index == 0 and seed == experiment.seeds[0]
        run = RunContext(seed=seed, validation=part.validation, progress=progress, store=work.store)
        return cls(part, run, work, "" if first else f"{TRIALS}/{seed}-{index}/")

    def fit(self, planned: Planned, members: Mapping[str, Recommender]) -> Fitted:
        """Fit one model on the training part; what it chooses, it chooses on the validation questions."""
        directory = self.work.directory / self.place / LOGS / planned.name

        fitted = self.work.stage(
            f"{self.place}{MODELS}/{planned.name}",
            lambda: fit_on(self.part, planned.config, members, replace(self.run, directory=directory)),
            save=Fitted.save,
            load=lambda path: Fitted.load(path, type(planned.config), members),
        )
        for checkpoint in directory.rglob(CHECKPOINT_FILE):
            checkpoint.unlink(missing_ok=True)
        return fitted

    def judge(self, planned: Planned, fitted: Fitted, members: Mapping[str, Recommender], by: Judge) -> Judgement:
        """Judge one model."""

        def make() -> Judgement:
            return by.judge(
                fitted.model,
                fit_seconds=fitted.fit_seconds,
                fit_memory=fitted.fit_memory,
                rehearsals=rehearse(self.part, planned.config, members, self.run),
                progress=self.run.progress,
            )

        return self.work.stage(
            f"{self.place}{JUDGEMENTS}/{planned.name}", make, save=Judgement.save, load=Judgement.load
        )


def fit_on(part: Split, config: RecommenderConfig, members: Mapping[str, Recommender], run: RunContext) -> Fitted:
    """Fit one model on the training part of a split; of `members`, it gets those that it names."""
    with Meter() as meter:
        model = config.build({member: members[member] for member in config.member_names}).fit(part.train, run)
    return Fitted(model, meter.seconds, meter.memory)


def rehearse(
    part: Split, config: RecommenderConfig, members: Mapping[str, Recommender], run: RunContext
) -> list[Rehearsal]:
    """Fit a composite model on either half of the validation questions, to be judged on the other.

    It has weighed its members on these questions, and would win by construction if it were chosen by them too.
    """
    questions = part.validation
    if not config.learns_from_validation or len(questions) < FEWEST_DIVIDED:
        return []
    order = run.rng("rehearse").permutation(len(questions))
    halves = np.sort(order[::2]), np.sort(order[1::2])
    return [
        Rehearsal(fit_on(part, config, members, replace(run, validation=questions.take(learn))).model, answer)
        for learn, answer in (halves, halves[::-1])
    ]


def represent(experiment: Experiment, prepared: Prepared, store: Path, progress: Progress) -> list[dict[str, Any]]:
    """Read the texts that models will ask for, so that fitting finds them in the store.

    Returns:
        For each different way to read, which models read so, how many items have a text, how many other versions of it
        there are for training, and the seconds it took.

    Raises:
        ConfigError: A model shall leave out fields of texts in training that have one field.
        DataError: A model reads texts, and the items have none.
    """
    run = RunContext(progress=progress, store=store)
    readers: dict[str, tuple[VectorsConfig, VersionsConfig, list[str]]] = {}
    for name, model in experiment.models.items():
        if model.reads is not None:
            reads, more = model.reads, model.reads_in_training
            if REWRITTEN not in prepared.data.items.frame.columns:
                # `genre encode` reads what the files say; if it is fitting that misses them, it says so.
                more = more.model_copy(update={"rewritten": False})
            way = f"{reads.model_dump_json()} {more.model_dump_json() if more.wanted else None}"
            readers.setdefault(way, (reads, more, []))[2].append(name)
    account = []
    for config, more, names in readers.values():
        with Meter() as meter:
            for part in prepared.splits:
                known = part.train.interactions.item_counts(part.train.num_items) > 0
                reader, vectors = TextVectors.fit(config, part.train.items, known, run)
                versions = reader.versions(part.train.items, known, more, run)
        account.append(
            {
                "models": names,
                "encoder": config.encoder.kind,
                "items": len(vectors),
                "with_text": int(vectors.any(axis=1).sum()),
                "versions": len(versions),
                "seconds": meter.seconds,
            }
        )
    return account


def check_installed(experiment: Experiment) -> None:
    """Make sure that all optional dependencies and kinds of text are there, before work starts.

    Raises:
        ConfigError: A kind of text cannot be read.
        DependencyError: A dependency is not there.
    """
    for config in experiment.models.values():
        config.check_installed()
    if experiment.enrich is not None:
        experiment.enrich.check_installed()
    if experiment.write is not None:
        experiment.write.check_installed()
        experiment.write.check_kinds()


def make_judge(experiment: Experiment, prepared: Prepared, index: int) -> Judge:
    """Prepare what models are judged by on a split: the same questions and samples for all models and seeds."""
    items = prepared.data.items
    features = ContentFeatures.fit(items, ContentConfig()).transform(items)
    run = RunContext(seed=experiment.seeds[0])
    return Judge.of(prepared.data, prepared.splits[index], experiment.evaluation, run, features=features)


def _counts(tables: Tables) -> dict[str, int]:
    log = tables.interactions
    return {
        "events": len(log),
        "users": log["user_id"].n_unique(),
        "items": log["item_id"].n_unique(),
        "catalogue": 0 if tables.items is None else len(tables.items),
    }


def _new(directory: Path) -> Path:
    directory.mkdir()
    return directory
