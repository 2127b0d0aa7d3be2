"""The story of a search: prepare once, try settings one after the other, keep the best as a config. `genre tune`.

Settings are chosen on the validation events of the first split, with the first seed. The test questions are taken away
before the first trial, so that nothing here could look at them.
"""

from __future__ import annotations

import hashlib
import json
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from genre._version import __version__
from genre.adaptation.kept_writing import KeptWriting
from genre.config import Experiment
from genre.config_file import digest_of, to_yaml
from genre.core.errors import ConfigError, ModelError, ResourceError
from genre.core.files import atomic_file, remove_leftovers
from genre.core.run import Progress, Silent
from genre.data.splits import KFoldConfig
from genre.enrichment import enriched
from genre.evaluation.judge import judge_on_validation, validation_task
from genre.evaluation.writing import Budget
from genre.features.text import TextConfig, item_texts
from genre.recommenders.base import Recommender, RecommenderConfig
from genre.stages import (
    Fitted,
    Planned,
    Prepared,
    Trial,
    check_installed,
    fit_on,
    make_plan,
    prepare,
    rehearse,
    represent,
    source_key,
)
from genre.tuning.config import TuneConfig, changed, model_of
from genre.tuning.picture import draw_history
from genre.tuning.trials import Constraint, Found, Hopeless, Outcome, best_of, table_of
from genre.workspace import STORE, Stages

if TYPE_CHECKING:
    from genre.tuning.study import Attempt, Study

BEST, TRIALS, HISTORY = "best.yaml", "trials.csv", "history.png"


@dataclass(frozen=True)
class Tuned:
    """What a search has found by now."""

    directory: Path
    """Holds `best.yaml`, `trials.csv` and `history.png`."""
    objective: str
    found: list[Found]
    """All trials that are over, in order."""
    best: Found
    importance: dict[str, float]
    """Share of each setting in what tells good trials from bad ones; empty where too few tell."""
    interrupted: bool
    """Whether it was stopped with Ctrl-C; the same search goes on when it is asked for again."""

    @property
    def config(self) -> Path:
        """Return the experiment with the best settings, ready to run."""
        return self.directory / BEST


def tune(
    experiment: Experiment,
    runs: Path,
    *,
    trials: int | None = None,
    minutes: float | None = None,
    constraints: Sequence[Constraint] = (),
    progress: Progress | None = None,
    told: Callable[[Found, Found | None, str], None] | None = None,
) -> Tuned:
    """Search the space of an experiment in `RUNS/NAME-tune`, where an earlier search of the same kind goes on.

    Args:
        experiment: With a section `tune`.
        runs: Where runs are kept.
        trials: Trials in all, in place of the section's.
        minutes: After these, no trial begins.
        constraints: What every trial must keep to; those that do not are never the best.
        progress: Shows how far it has come.
        told: Called after each trial with what it found, the best so far, and the objective.

    Raises:
        ConfigError: The experiment says nothing of a search, its split cannot be tuned on, or no trial gave a value.
        DependencyError: Optuna is not installed, or what a model needs.
    """
    config = _section(experiment)
    config.check_installed()
    from genre.tuning.study import Study

    progress = progress or Silent()
    directory = runs / f"{experiment.name}-tune"
    work = Stages(directory / _key(experiment, config, constraints), runs / STORE)
    remove_leftovers(work.directory)
    bench = Bench(experiment, config, work, progress)
    if config.budget is not None:
        constraints = (*constraints, bench.kept_writing(config.budget))
    study = Study(work.directory, config, experiment.models)
    most = config.trials if trials is None else trials
    left = max(0, most - len(study.found()))
    interrupted = False
    try:
        attempts = study.attempts(most, math.inf if minutes is None else 60 * minutes)
        for attempt in progress.track(attempts, f"tune: {bench.objective}", left):
            _try(attempt, bench, experiment, constraints)
            found = study.found()
            best = best_of(found)
            if best is not None and best.number == attempt.number:
                _write_best(experiment, best, directory)
            if told is not None:
                told(next(one for one in found if one.number == attempt.number), best, bench.objective)
    except KeyboardInterrupt:
        if best_of(study.found()) is None:
            raise
        interrupted = True
    return _summed_up(experiment, directory, study, bench.objective, interrupted)


class Bench:
    """Fits what a trial needs and judges it. What does not change between trials is fitted once, and kept on disk."""

    def __init__(self, experiment: Experiment, config: TuneConfig, work: Stages, progress: Progress) -> None:
        """Load, clean, split, and read the texts.

        Raises:
            ConfigError: There are no validation events.
            DataError: The data cannot be used.
            DependencyError: A model needs what is not installed.
        """
        varied = {model_of(path) for path in config.space}
        order = experiment.fitting_order()
        self.changing = {name for name in order if varied.intersection(experiment.fitting_order([name]))}
        """The models that may differ from trial to trial."""
        self.targets = [name for name in order if name in self.changing and config.model in ("best", name)]
        self.objective = config.objective or experiment.evaluation.primary
        self.config = config
        self.needed = {name: experiment.models[name] for name in experiment.fitting_order(self.targets)}
        part_of_it = experiment.model_copy(update={"models": self.needed})
        check_installed(part_of_it)
        prepared = work.stage(
            "data",
            lambda: enriched(prepare(experiment), experiment, work, progress),
            save=Prepared.save,
            load=Prepared.load,
        )
        whole = prepared.splits[0]
        blind = replace(whole, test=whole.test.take(slice(0, 0)))
        self.data = replace(prepared, splits=(blind,))
        if not len(blind.validation):
            raise ConfigError(
                "the split keeps no validation events, and settings are chosen on them",
                place=f"split.kind: {experiment.split.kind!r}",
                remedy="Choose another split, or larger data.",
            )
        represent(part_of_it, self.data, work.store, progress)
        self.trial = Trial.of(experiment, self.data, 0, experiment.seeds[0], work, progress)
        self.task = validation_task(blind, experiment.evaluation, self.trial.run)
        self._kept: dict[str, tuple[RecommenderConfig, list[Recommender], Fitted]] = {}

    def measure(self, experiment: Experiment, watch: Callable[[float], object]) -> Outcome:
        """Fit and judge the models of one trial, and return what is found of the best one.

        Args:
            experiment: With the trial's settings.
            watch: Told how the training of the only model that counts is getting on. Of its members it is not told
                anything, since a member may be weak and still add to the whole.

        Raises:
            ResourceError: The memory does not suffice.
            ModelError: A model cannot be fitted so.
        """
        plan = {planned.name: planned for planned in make_plan(experiment, self.data.data, self._kept)}
        models: dict[str, Recommender] = {}
        values: dict[str, tuple[float, Fitted]] = {}
        for name in experiment.fitting_order(self.targets):
            planned = plan[name]
            if not planned.fitted:
                continue
            alone = self.targets == [name] and not planned.config.member_names
            fitted = self._fitted(planned, models, watch if alone else None)
            models[name] = fitted.model
            if name in self.targets:
                values[name] = (self._value(planned, fitted, models), fitted)
        if not values:
            reasons = "; ".join(f"{name} {plan[name].skipped}" for name in self.targets)
            raise ResourceError(reasons, place="models", remedy="Raise `memory_gib`.")
        best = max(values, key=lambda name: values[name][0])
        value, fitted = values[best]
        return Outcome(best, value, models, fitted.fit_seconds, fitted.fit_memory)

    def kept_writing(self, budget: Budget) -> KeptWriting:
        """Return the constraint that a trial's language models write within a budget.

        Raises:
            ConfigError: There is no language model, or the budget limits what is not measured.
        """
        catalogue = [text for text in item_texts(self.data.data.items, TextConfig(), required=False) if text]
        return KeptWriting(budget, self.config.writing, list(self.needed.values()), catalogue, self.trial.run)

    def _fitted(
        self, planned: Planned, models: Mapping[str, Recommender], watch: Callable[[float], object] | None
    ) -> Fitted:
        members = [models[name] for name in planned.config.member_names]
        config, made_of, fitted = self._kept.get(planned.name, (None, [], None))
        if fitted is not None and config == planned.config and all(map(operator.is_, made_of, members)):
            return fitted
        if planned.name in self.changing:
            fitted = fit_on(self.trial.part, planned.config, models, replace(self.trial.run, watch=watch))
        else:
            fitted = self.trial.fit(planned, models)
        self._kept[planned.name] = (planned.config, members, fitted)
        return fitted

    def _value(self, planned: Planned, fitted: Fitted, models: Mapping[str, Recommender]) -> float:
        rehearsals = rehearse(self.trial.part, planned.config, models, self.trial.run)
        return float(judge_on_validation(fitted.model, self.task, rehearsals).per_query[self.objective].mean())


def with_settings(experiment: Experiment, values: Mapping[str, Any], **others: Any) -> Experiment:
    """Return the experiment with other values in the settings at these paths, and without its search.

    Raises:
        ValidationError: The settings do not go together.
    """
    models = changed(experiment.models, values)
    return Experiment.model_validate({**dict(experiment), "models": models, "tune": None, "teach": None, **others})


def _section(experiment: Experiment) -> TuneConfig:
    if experiment.tune is None:
        raise ConfigError(
            "the experiment says nothing of a search",
            place="tune",
            remedy="Add a section, for instance `tune: {space: {models.ease.regularization: "
            "{low: 1, high: 1000, log: true}}}`.",
        )
    if isinstance(experiment.split, KFoldConfig):
        raise ConfigError(
            "with 'k_fold', the validation events of one fold are test events of the next",
            place="split.kind",
            remedy="Tune with another split, for instance `--set 'split={kind: leave_one_out}'`.",
        )
    return experiment.tune


def _key(experiment: Experiment, config: TuneConfig, constraints: Sequence[Constraint]) -> str:
    """Return what tells searches apart: all that decides what a trial finds, but not how many there are."""
    key = {
        "config": digest_of(experiment),
        "tune": config.model_dump(mode="json", exclude={"trials"}),
        "constraints": [constraint.name for constraint in constraints],
        "data": source_key(experiment),
        "genre": __version__,
    }
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:12]


def _try(attempt: Attempt, bench: Bench, experiment: Experiment, constraints: Sequence[Constraint]) -> None:
    """Bring one trial to its end, whatever that is."""
    try:
        # Which model answers in the end says nothing here, but a plan in which it cannot be fitted is an error.
        answer = experiment.answer.model_copy(update={"model": "best"})
        outcome = bench.measure(with_settings(experiment, attempt.settings, answer=answer), attempt.watch)
        excess = {constraint.name: constraint.excess(outcome) for constraint in constraints}
    except ValidationError as error:
        attempt.give_up("; ".join(problem["msg"].removeprefix("Value error, ") for problem in error.errors()))
    except (ModelError, ResourceError) as error:
        attempt.give_up(error.problem)
    except Hopeless as reason:
        attempt.give_up(str(reason))
    except BaseException:
        attempt.drop()
        raise
    else:
        attempt.finish(outcome.value, outcome.model, excess)


def _write_best(experiment: Experiment, best: Found, directory: Path) -> None:
    """Write the experiment with these settings, so that it is there even if the search is killed now."""
    chosen = with_settings(experiment, best.settings, name=f"{experiment.name}-best")
    head = f"# Written by `genre tune`: trial {best.number}, {best.value:.6g} on the validation events.\n"
    with atomic_file(directory / BEST) as path:
        path.write_text(head + to_yaml(chosen), encoding="utf-8")


def _summed_up(experiment: Experiment, directory: Path, study: Study, objective: str, interrupted: bool) -> Tuned:
    found = study.found()
    best = best_of(found)
    if best is None:
        reason = found[0].note if found else "no trial has begun"
        raise ConfigError(
            f"none of {len(found)} trials gave a value that can be taken (trial 0: {reason})",
            place="tune.space",
            remedy="Try settings that are nearer to those of the config, or more trials.",
        )
    _write_best(experiment, best, directory)
    with atomic_file(directory / TRIALS) as path:
        table_of(found, objective).write_csv(path)
    draw_history(found, objective, directory / HISTORY)
    return Tuned(directory, objective, found, best, study.importance(), interrupted)
