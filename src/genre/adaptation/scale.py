"""What the writing of fine-tuned language models is measured against: their base, asked once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from genre.core.run import RunContext
from genre.evaluation.writing import Budget, Reference, WritingConfig, WritingProfile, measure_writing, reference_of
from genre.language.decoding import LoadedModel
from genre.recommenders.learning_language import LanguageModel, LearningLanguage, load_base

USUAL = Budget.of({"bits_per_byte": "+2%", "distinct_2": "-5%", "instructions": -0.1})
"""What may be lost where nothing else is said. The first is the sharpest; the others are counted on a few dozen
answers, where one more or less is some percent."""


@dataclass(frozen=True)
class Scale:
    """A base, how it writes, and on what."""

    model: LoadedModel
    """The base."""
    base: WritingProfile
    config: WritingConfig
    catalogue: Sequence[str]
    reference: Reference
    run: RunContext

    @classmethod
    def of(cls, model: LoadedModel, config: WritingConfig, catalogue: Sequence[str], run: RunContext) -> Self:
        """Measure the base.

        Args:
            model: The base, which must stay as it is.
            config: What is measured.
            catalogue: Texts of items.
            run: Shows how far it has come.
        """
        reference = reference_of(model, config, progress=run.progress)
        base = measure_writing(
            model, config, reference=reference, base=model, catalogue=catalogue, progress=run.progress
        )
        return cls(model, base, config, catalogue, reference, run)

    def measured(self, model: LoadedModel) -> WritingProfile:
        """Return how another model writes, on the same."""
        return measure_writing(
            model,
            self.config,
            reference=self.reference,
            base=self.model,
            catalogue=self.catalogue,
            progress=self.run.progress,
        )

    def beside(self, other: WritingProfile, most: int = 4) -> list[dict[str, str]]:
        """Return some prompts with what the base and another model have written."""
        found = list(zip(self.base.prompts, self.base.answers, other.answers, strict=True))[:most]
        return [{"prompt": prompt, "before": before, "after": after} for prompt, before, after in found]


class Scales:
    """The scales of several language models, each base loaded and asked once."""

    def __init__(self, config: WritingConfig, catalogue: Sequence[str], run: RunContext) -> None:
        """Keep how writing is measured, and on which texts of items."""
        self._config, self._catalogue, self._run = config, catalogue, run
        self._found: dict[str, Scale] = {}

    def of(self, base: LanguageModel) -> Scale:
        """Return the scale of the models that were made of this base."""
        key = base.model_dump_json()
        if key not in self._found:
            _, model = load_base(base, self._run)
            self._found[key] = Scale.of(model, self._config, self._catalogue, self._run)
        return self._found[key]

    def beside_its_base(self, language: LearningLanguage) -> tuple[WritingProfile, WritingProfile]:
        """Return how a model's base writes, and how the model does."""
        scale = self.of(language.config.base)
        return scale.base, scale.measured(language.writer())
