"""A search on disk, kept by Optuna: what is tried next, what was found, and what is not worth finishing.

Of the two storages that Optuna has for one machine, this is the journal: every change is one line that is appended
under a lock, which several processes can do at once, where SQLite refuses a transaction that meets another one. Imports
Optuna, so that nothing else may import it before it is used.
"""

from __future__ import annotations

import json
import math
import platform
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
import optuna
import psutil
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from genre.core.errors import ArtifactError
from genre.recommenders.base import RecommenderConfig
from genre.tuning.config import TuneConfig, number_of
from genre.tuning.trials import Found, Hopeless

JOURNAL: Final = "trials.log"
_RANDOM_TRIALS: Final = 10
"""Trials that are drawn at random before what they found guides the others."""
_COMPARED, _WARM_UP = 4, 4
"""Trainings that are finished before one is given up, and looks at the validation events that each has at least."""
_CLOCK: Final = 2.0
"""Seconds by which the start of one process may seem to differ when the clock is set."""
_ENDED: Final = (TrialState.COMPLETE, TrialState.PRUNED)
_NOTE, _MODEL, _WORKER = "note", "model", "worker"


class Attempt:
    """One trial while it is worked on. Ends with exactly one of `finish`, `give_up` and `drop`."""

    def __init__(self, study: optuna.Study, trial: optuna.Trial) -> None:
        """Begin."""
        self._study, self._trial = study, trial
        self._looks = 0
        self.number = trial.number
        self.settings = _settings(trial.params, trial.distributions)

    def watch(self, value: float) -> None:
        """Take note of what a training has reached by now.

        Raises:
            Hopeless: Most others were further by then.
        """
        self._trial.report(value, self._looks)
        self._looks += 1
        if self._trial.should_prune():
            raise Hopeless(f"given up after {self._looks} looks at {value:.4f}")

    def finish(self, value: float, model: str, excess: Mapping[str, float]) -> None:
        """Keep what was found, and by how much it is over each constraint."""
        self._trial.set_user_attr(_MODEL, model)
        for name, over in excess.items():
            self._trial.set_constraint(name, over)
        self._study.tell(self._trial, value)

    def give_up(self, note: str) -> None:
        """Say that these settings lead nowhere; the search keeps away from the like."""
        self._trial.set_user_attr(_NOTE, note)
        self._study.tell(self._trial, state=TrialState.PRUNED)

    def drop(self) -> None:
        """Say that the trial was interrupted: it does not count."""
        self._study.tell(self._trial, state=TrialState.FAIL)


class Study:
    """All trials of one search, of this process and of others."""

    def __init__(self, directory: Path, config: TuneConfig, models: Mapping[str, RecommenderConfig]) -> None:
        """Open the study of a directory, or begin one.

        Args:
            directory: Holds this study and no other.
            config: What to vary. Other trials of the directory have varied the same.
            models: Their settings tell which bounds are of whole numbers.

        Raises:
            ArtifactError: What is there cannot be read.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / JOURNAL
        self._space = {name: _distribution(config, models, name) for name in config.space}
        try:
            self._study = optuna.create_study(
                storage=JournalStorage(JournalFileBackend(str(path), JournalFileOpenLock(str(path)))),
                study_name="study",
                direction="maximize",
                sampler=_Sampler(config.seed),
                pruner=optuna.pruners.MedianPruner(_COMPARED, _WARM_UP) if config.prune else optuna.pruners.NopPruner(),
                load_if_exists=True,
            )
        except (ValueError, KeyError) as error:
            raise ArtifactError(
                f"the trials cannot be read ({error})", place=str(path), remedy="Delete the file to search anew."
            ) from error

    def attempts(self, most: int, seconds: float = math.inf) -> Iterator[Attempt]:
        """Yield one trial after the other, until `most` are over or in the hands of other processes.

        None begins when `seconds` are over.
        """
        until = time.monotonic() + seconds
        while time.monotonic() < until and (attempt := self._next(most)) is not None:
            yield attempt

    def found(self) -> list[Found]:
        """Return all trials that are over, in order."""
        return [_found(trial) for trial in self._study.get_trials(deepcopy=False, states=_ENDED)]

    def importance(self) -> dict[str, float]:
        """Return how much of what tells good trials from bad ones is due to each setting; empty where too few tell."""
        values = {trial.value for trial in self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))}
        if len(values) < _RANDOM_TRIALS:
            return {}
        return dict(optuna.importance.get_param_importances(self._study))

    def _next(self, most: int) -> Attempt | None:
        for running in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if _is_dead(running):
                with suppress(UpdateFinishedTrialError):  # Another process has found out too.
                    self._study.tell(running.number, state=TrialState.FAIL)
        if len(self._taken()) >= most:
            return None
        trial = self._study.ask(self._space)
        trial.set_user_attr(_WORKER, _myself())
        attempt = Attempt(self._study, trial)
        if sum(number < trial.number for number in self._taken()) >= most:  # Another process was quicker.
            attempt.drop()
            return None
        return attempt

    def _taken(self) -> list[int]:
        """Return the trials that are over or being worked on. Of other machines, only those that are over are seen."""
        return [
            trial.number
            for trial in self._study.get_trials(deepcopy=False, states=(*_ENDED, TrialState.RUNNING))
            if trial.state in _ENDED or trial.user_attrs.get(_WORKER, {}).get("machine") == platform.node()
        ]


class _Sampler(optuna.samplers.BaseSampler):
    """Optuna's TPE, drawing each trial from the seed and the trial's number.

    So a search that goes on does not draw its first trials again, and processes do not draw the same ones.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._inner = self._of(0)

    def _of(self, number: int) -> optuna.samplers.TPESampler:
        seed = int(np.random.default_rng([self._seed, number, zlib.crc32(b"tune")]).integers(2**32))
        return optuna.samplers.TPESampler(n_startup_trials=_RANDOM_TRIALS, seed=seed)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._inner = self._of(trial.number)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._inner.sample_independent(study, trial, param_name, param_distribution)


def _distribution(config: TuneConfig, models: Mapping[str, RecommenderConfig], path: str) -> BaseDistribution:
    vary = config.space[path]
    if vary.choices is not None:
        return CategoricalDistribution([json.dumps(choice) for choice in vary.choices])  # Optuna keeps no lists.
    low, high = vary.bounds
    _, name, *parts = path.split(".")
    if number_of(models[name], parts) is int:
        return IntDistribution(int(low), int(high), log=vary.log, step=int(vary.step or 1))
    return FloatDistribution(low, high, log=vary.log, step=vary.step)


def _settings(params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    return {
        path: json.loads(value) if isinstance(distributions[path], CategoricalDistribution) else value
        for path, value in params.items()
    }


def _found(trial: FrozenTrial) -> Found:
    over = [f"{name} is over by {value:.3g}" for name, value in trial.constraints.items() if value > 0]
    return Found(
        number=trial.number,
        settings=_settings(trial.params, trial.distributions),
        value=trial.value if trial.state == TrialState.COMPLETE else None,
        model=trial.user_attrs.get(_MODEL),
        seconds=trial.duration.total_seconds() if trial.duration else 0.0,
        note=trial.user_attrs.get(_NOTE, "; ".join(over)),
        feasible=not over,
    )


def _myself() -> dict[str, Any]:
    process = psutil.Process()
    return {"machine": platform.node(), "process": process.pid, "started": process.create_time()}


def _is_dead(trial: FrozenTrial) -> bool:
    """Return whether the process that works on a trial is no more; those of another machine cannot be seen."""
    worker = trial.user_attrs.get(_WORKER)
    if worker is None or worker["machine"] != platform.node():
        return False
    try:
        process = psutil.Process(worker["process"])
        return process.status() == psutil.STATUS_ZOMBIE or abs(process.create_time() - worker["started"]) > _CLOCK
    except psutil.NoSuchProcess:
        return True
