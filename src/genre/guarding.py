"""How models of a run write, beside the language models that they were made of: `genre guard`, and who may answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from genre.adaptation.scale import USUAL, Scales
from genre.config import Experiment
from genre.core.errors import ConfigError
from genre.core.files import atomic_file
from genre.core.run import Progress, RunContext
from genre.data.dataset import Dataset
from genre.evaluation.writing import (
    Budget,
    Change,
    WritingConfig,
    WritingProfile,
    compare,
)
from genre.features.text import TextConfig, item_texts
from genre.recommenders.base import Recommender
from genre.runs import load_into, open_run
from genre.workspace import read_manifest


@dataclass(frozen=True)
class Guarding:
    """What was found."""

    model: str
    before: WritingProfile
    after: WritingProfile
    changes: dict[str, Change]
    breaches: list[str]
    """Where it is over the budget, in words."""

    def save(self, path: Path) -> None:
        """Write all of it as JSON."""
        told = asdict(self) | {"before": self.before.to_dict(), "after": self.after.to_dict()}
        with atomic_file(path) as temporary:
            temporary.write_text(json.dumps(told, indent=1, ensure_ascii=False), encoding="utf-8")


def guard_run(
    run: Path, name: str | None, limits: Sequence[str], progress: Progress, config: WritingConfig | None = None
) -> Guarding:
    """Measure a model of a run, with what it has learned and without.

    Args:
        run: Directory of a finished run.
        name: Of the model; the run's choice where it is not given.
        limits: What may be lost, each as `measure=limit`; the budget of `guarded` where there are none.
        progress: Shows how far it has come.
        config: What is measured.

    Raises:
        ArtifactError: There is no finished run.
        ConfigError: The model is no language model, or a limit is none.
    """
    budget = Budget.of(limits_of(limits), "--budget") if limits else USUAL
    engine = open_run(run, model=name)
    model: Any = engine.model
    chosen = name or read_manifest(run)["chosen"]
    if getattr(model, "language", None) is None:
        raise ConfigError(
            f"the model {chosen!r} has no language model that could write",
            place=str(run),
            remedy="Name one of kind `llm_sequential`, `llm_ranker`, `guarded`, `semantic_id` with a pretrained "
            "decoder, or `text_classifier` with `reader: language`, with --model.",
        )
    catalogue = [text for text in item_texts(engine.data.items, TextConfig(), required=False) if text]
    scales = Scales(config or WritingConfig(), catalogue, RunContext(progress=progress))
    before, after = scales.beside_its_base(model.language)
    return Guarding(chosen, before, after, compare(before, after), budget.breaches(before, after))


def over_budget(
    experiment: Experiment, run: Path, names: Sequence[str], data: Dataset, progress: Progress
) -> dict[str, list[str]]:
    """Return where the models of a run are over the budget that answers must keep, in words; nothing of the others.

    A model made of others is over it where one of these is.

    Args:
        experiment: With `answer.budget`; without one, nothing is measured.
        run: Holds the models; it need not be finished.
        names: Of the models.
        data: Whose catalogue is measured on.
        progress: Shows how far it has come.

    Raises:
        ConfigError: The budget limits what is not measured.
    """
    budget = experiment.answer.budget
    if budget is None:
        return {}
    catalogue = [text for text in item_texts(data.items, TextConfig(), required=False) if text]
    scales = Scales(experiment.answer.writing, catalogue, RunContext(progress=progress))
    models: dict[str, Recommender] = {}
    found: dict[str, list[str]] = {}
    for name in experiment.fitting_order(names):
        if not (run / "models" / name).exists():
            continue
        load_into(models, experiment, run, name, finished=False)
        language = getattr(models[name], "language", None)
        own = [] if language is None else budget.breaches(*scales.beside_its_base(language))
        members = experiment.models[name].answers_with
        found[name] = own + [f"{member}: {words}" for member in members for words in found.get(member, [])]
    return {name: breaches for name, breaches in found.items() if breaches}


def limits_of(given: Sequence[str]) -> Mapping[str, str | float]:
    """Return limits by measure, each of which was written as `measure=limit`.

    Raises:
        ConfigError: One is written otherwise.
    """
    found: dict[str, str | float] = {}
    for one in given:
        measure, parted, limit = one.partition("=")
        if not parted:
            raise ConfigError(
                f"{one!r} is no limit", place="--budget", remedy="Write it as in `--budget bits_per_byte=+2%`."
            )
        found[measure.strip()] = limit.strip()
    return found
