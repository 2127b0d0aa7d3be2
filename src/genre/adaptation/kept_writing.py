"""A budget for writing as a constraint of a search: of the trials, only those that keep to it may be the best."""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

from genre.adaptation.scale import Scales
from genre.core.errors import ConfigError
from genre.core.run import RunContext
from genre.evaluation.writing import Budget, WritingConfig
from genre.recommenders.base import RecommenderConfig
from genre.recommenders.learning_language import LanguageSettings, LearningLanguage
from genre.tuning.trials import Outcome


class KeptWriting:
    """Every language model of a trial writes within a budget, each against its own base.

    A fusion is as good a writer as the worst of its members.
    """

    name = "writing"

    def __init__(
        self,
        budget: Budget,
        config: WritingConfig,
        models: Sequence[RecommenderConfig],
        catalogue: Sequence[str],
        run: RunContext,
    ) -> None:
        """Measure the bases, so that a limit of what is not measured is told before the first trial.

        Args:
            budget: What may be lost.
            config: How writing is measured.
            models: That a trial may fit.
            catalogue: Texts of items.
            run: Shows how far it has come.

        Raises:
            ConfigError: None of the models is a language model, or the budget limits what is not measured.
        """
        self.budget, self._scales = budget, Scales(config, catalogue, run)
        self._known: WeakKeyDictionary[LearningLanguage, float] = WeakKeyDictionary()
        bases = [found.base for model in models if (found := _language_of(model)) is not None]
        if not bases:
            raise ConfigError(
                "no model that the search fits is a language model",
                place="tune.budget",
                remedy="Vary a setting of an `llm_sequential` or `llm_ranker`, or leave `budget` out.",
            )
        for base in bases:
            before = self._scales.of(base).base
            budget.breaches(before, before)

    def excess(self, outcome: Outcome) -> float:
        """Return by how many times the limit that is broken most is exceeded, less 1."""
        given = (getattr(model, "language", None) for model in outcome.models.values())
        languages = [language for language in given if language is not None]
        return max(map(self._excess_of, languages), default=0.0)

    def _excess_of(self, language: LearningLanguage) -> float:
        if language not in self._known:  # A model that does not change is the same one in every trial.
            self._known[language] = self.budget.excess(*self._scales.beside_its_base(language))
        return self._known[language]


def _language_of(config: RecommenderConfig) -> LanguageSettings | None:
    found: LanguageSettings | None = getattr(getattr(config, "model", config), "learning", None)
    return found
