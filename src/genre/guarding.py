"""`genre guard`: how a model of a run writes, beside the language model that it was made of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from genre.adaptation.guard import USUAL
from genre.core.errors import ConfigError
from genre.core.files import atomic_file
from genre.core.run import Progress
from genre.evaluation.writing import (
    Budget,
    Change,
    WritingConfig,
    WritingProfile,
    compare,
    measure_writing,
    reference_of,
)
from genre.features.text import TextConfig, item_texts
from genre.runs import open_run
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
    budget = Budget.of(_limits(limits), "--budget") if limits else USUAL
    engine = open_run(run, model=name)
    model: Any = engine.model
    chosen = name or read_manifest(run)["chosen"]
    if not hasattr(model, "language"):
        raise ConfigError(
            f"the model {chosen!r} has no language model that could write",
            place=str(run),
            remedy="Name one of kind `llm_sequential`, `llm_ranker`, `guarded`, or `semantic_id` with a pretrained "
            "decoder, with --model.",
        )
    catalogue = [text for text in item_texts(engine.data.items, TextConfig(), required=False) if text]
    settings, writer = config or WritingConfig(), model.language.writer()
    with model.language.tuned.base_switched_on():
        reference = reference_of(writer, settings, progress=progress)
        before = measure_writing(writer, settings, reference=reference, catalogue=catalogue, progress=progress)
    after = measure_writing(writer, settings, reference=reference, catalogue=catalogue, progress=progress)
    return Guarding(chosen, before, after, compare(before, after), budget.breaches(before, after))


def _limits(given: Sequence[str]) -> Mapping[str, str | float]:
    found: dict[str, str | float] = {}
    for one in given:
        measure, parted, limit = one.partition("=")
        if not parted:
            raise ConfigError(
                f"{one!r} is no limit", place="--budget", remedy="Write it as in `--budget bits_per_byte=+2%`."
            )
        found[measure.strip()] = limit.strip()
    return found
