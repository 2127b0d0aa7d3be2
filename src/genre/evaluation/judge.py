"""Judges fitted models on one split: ranking on the validation and the test part, and clicks."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from genre.core.queries import Holdout
from genre.core.run import Progress, RunContext
from genre.data.dataset import Dataset
from genre.data.splits import Split
from genre.evaluation.clicks import ClickResult, ShownLists, divide_impressions, evaluate_clicks
from genre.evaluation.config import EvaluationConfig
from genre.evaluation.ranking import RankingResult, RankingTask, evaluate_ranking, make_task
from genre.metrics.beyond import Features
from genre.metrics.classification import CalibrationCurve
from genre.recommenders.base import Recommender

_VALUES_FILE, _ARRAYS_FILE = "judgement.json", "judgement.npz"
_ARRAY = "array"
IMPRESSIONS, SAMPLED = "impressions", "sampled"
_MOST_ASKED, _FEWEST_ASKED, _ENOUGH = 21, 3, 2.0
"""Single questions by which it is measured how fast a model answers, and seconds after which they suffice."""


@dataclass(frozen=True, eq=False)
class Judgement:
    """What was found of one model, fitted with one seed on one split."""

    validation: RankingResult
    test: RankingResult
    clicks: ClickResult
    fit_seconds: float
    fit_memory: int
    """Bytes at the peak, above what the process held before."""
    answer_seconds: float = math.nan
    """Median of single questions, one after the other; NaN where there are none."""

    def save(self, directory: Path) -> None:
        """Write it into an existing directory."""
        arrays: list[NDArray[Any]] = []
        values = _detached(asdict(self), arrays)
        (directory / _VALUES_FILE).write_text(json.dumps(values), encoding="utf-8")
        np.savez(directory / _ARRAYS_FILE, *arrays)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read what `save` wrote."""
        with np.load(directory / _ARRAYS_FILE) as stored:
            arrays = [stored[f"arr_{place}"] for place in range(len(stored.files))]
        values = _attached(json.loads((directory / _VALUES_FILE).read_text(encoding="utf-8")), arrays)
        clicks = values["clicks"]
        return cls(
            RankingResult(**values["validation"]),
            RankingResult(**values["test"]),
            ClickResult(**clicks | {"curve": CalibrationCurve(**clicks["curve"])}),
            values["fit_seconds"],
            values["fit_memory"],
            values.get("answer_seconds", math.nan),
        )


@dataclass(frozen=True, eq=False)
class Rehearsal:
    """A model that has learned from other validation questions than those it answers here."""

    model: Recommender
    rows: NDArray[np.int64]
    """The validation questions that it answers; all rehearsals together answer each once."""


@dataclass(frozen=True, eq=False)
class Judge:
    """What all models of one split are judged by. Made once, so that all meet the same questions and samples."""

    config: EvaluationConfig
    validation: RankingTask
    test: RankingTask
    calibration: ShownLists
    """Shown in the validation part: fits the scaling of scores to probabilities."""
    shown: ShownLists
    """Shown in the test part: what clicks are judged on."""
    clicks_from: str
    """`impressions`, or `sampled` where there is no log of them."""

    @classmethod
    def of(
        cls,
        data: Dataset,
        part: Split,
        config: EvaluationConfig,
        run: RunContext,
        *,
        features: Features | None = None,
    ) -> Self:
        """Prepare for the models of one split.

        Args:
            data: The data before the split, for impressions of the held-out time and the histories before them.
            part: The split that models are fitted on.
            config: How to judge.
            run: Gives the seed of everything that is drawn.
            features: (I, D) what items are like, for the diversity of lists.

        Raises:
            ConfigError: A user column to slice by is not there.
        """
        popularity = part.train.interactions.item_counts(data.num_items)
        validation = validation_task(part, config, run)
        test = make_task(part.test, config, popularity=popularity, rng=run.rng("evaluation test"), features=features)
        calibration, shown, source = _shown(data, part, config, run)
        return cls(config, validation, test, calibration, shown, source)

    def judge(
        self,
        model: Recommender,
        *,
        fit_seconds: float,
        fit_memory: int,
        rehearsals: Sequence[Rehearsal] = (),
        progress: Progress | None = None,
    ) -> Judgement:
        """Judge a model that was fitted on the split.

        Args:
            model: Answers the test questions and, without `rehearsals`, the validation questions.
            fit_seconds: What fitting took, kept with the rest.
            fit_memory: The same in bytes.
            rehearsals: Stand in for a model that has learned from validation questions.
            progress: Shows how far it has come.
        """
        validation = judge_on_validation(model, self.validation, rehearsals, progress)
        test = evaluate_ranking(model, self.test, progress)
        clicks = evaluate_clicks(model, self.shown, self.calibration, memory=self.config.memory_mib * 2**20)
        return Judgement(validation, test, clicks, fit_seconds, fit_memory, time_to_answer(model, self.test))


def time_to_answer(model: Recommender, task: RankingTask) -> float:
    """Return the median seconds in which a model answers one question by itself, as a service would ask it.

    A slow model is asked less often, three times at least; the first answer does not count.
    """
    count = len(task.holdout)
    if not count:
        return math.nan
    times: list[float] = []
    for row in np.linspace(0, count - 1, _MOST_ASKED).astype(np.int64):
        one = task.take(np.array([row]))
        began = time.perf_counter()
        model.recommend(one.holdout.queries, task.config.primary_k, candidates=one.candidates)
        times.append(time.perf_counter() - began)
        if len(times) > _FEWEST_ASKED and sum(times) > _ENOUGH:
            break
    return float(np.median(times[1:]))


def validation_task(part: Split, config: EvaluationConfig, run: RunContext) -> RankingTask:
    """Prepare what models are chosen by; the seed of `run` decides what is drawn.

    Raises:
        ConfigError: A user column to slice by is not there.
    """
    popularity = part.train.interactions.item_counts(part.train.num_items)
    return make_task(part.validation, config, popularity=popularity, rng=run.rng("evaluation validation"))


def judge_on_validation(
    model: Recommender, task: RankingTask, rehearsals: Sequence[Rehearsal], progress: Progress | None = None
) -> RankingResult:
    """Judge a model by the validation questions.

    Args:
        model: Answers them, if there are no rehearsals.
        task: The questions.
        rehearsals: Are judged each on its own questions in place of the model; the findings are put together.
        progress: Shows how far it has come.
    """
    if not rehearsals:
        return evaluate_ranking(model, task, progress, beyond=False)
    parts = [evaluate_ranking(one.model, task.take(one.rows), progress, beyond=False) for one in rehearsals]
    order = np.argsort(np.concatenate([one.rows for one in rehearsals]))
    per_query = {name: np.concatenate([part.per_query[name] for part in parts])[order] for name in parts[0].per_query}
    seconds = sum(part.seconds for part in parts)
    return RankingResult(per_query, {}, {}, {}, seconds, max(part.memory for part in parts))


def _shown(data: Dataset, part: Split, config: EvaluationConfig, run: RunContext) -> tuple[ShownLists, ShownLists, str]:
    """Return what was shown in the validation and in the test part, and where that comes from."""
    if data.impressions is not None:
        parts = divide_impressions(data.impressions, part.validation, part.test, data.num_users)
        if all(len(shown.item_rows) for shown in parts):
            calibration, shown = (ShownLists.of_impressions(data, one) for one in parts)
            return calibration, shown, IMPRESSIONS
    return _drawn(part.validation, data, config, run), _drawn(part.test, data, config, run), SAMPLED


def _drawn(holdout: Holdout, data: Dataset, config: EvaluationConfig, run: RunContext) -> ShownLists:
    rng = run.rng("clicks")
    some = np.sort(rng.permutation(len(holdout))[: config.click_queries])
    return ShownLists.of_holdout(holdout.take(some), data.num_items, config.click_negatives, rng)


def _detached(value: Any, arrays: list[NDArray[Any]]) -> Any:
    """Move the arrays of nested dictionaries to `arrays`, and leave their places there."""
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {_ARRAY: len(arrays) - 1}
    return {name: _detached(part, arrays) for name, part in value.items()} if isinstance(value, dict) else value


def _attached(value: Any, arrays: list[NDArray[Any]]) -> Any:
    """Undo `_detached`."""
    if not isinstance(value, dict):
        return value
    if value.keys() == {_ARRAY}:
        return arrays[value[_ARRAY]]
    return {name: _attached(part, arrays) for name, part in value.items()}
