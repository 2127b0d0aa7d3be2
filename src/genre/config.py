"""The table of contents: what a config file may hold.

A recommender is part of Genre once its config class is imported here: its `kind` may then stand in YAML, `genre models`
lists it and the contract tests run over it.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, Union

from pydantic import (
    Field,
    NonNegativeInt,
    SerializeAsAny,
    StringConstraints,
    WrapValidator,
    field_validator,
    model_validator,
)

from genre.adaptation.adapted import AdaptedConfig
from genre.adaptation.distil import DistilledConfig
from genre.adaptation.guard import GuardedConfig
from genre.adaptation.teaching import TeachConfig
from genre.core.config import Config
from genre.data.cleaning import CleaningConfig
from genre.data.feedback import FeedbackConfig
from genre.data.privacy import PrivacyConfig
from genre.data.readers import FilesConfig
from genre.data.sample import SampleConfig
from genre.data.splits import LeaveOneOutConfig, SplitConfig
from genre.data.transforms import ColumnsConfig
from genre.evaluation.config import EvaluationConfig
from genre.evaluation.few_users import FewUsersConfig
from genre.evaluation.writing import Budget, WritingConfig, check_measured
from genre.features.enrich.config import EnrichConfig, RewriteConfig
from genre.generation.stage import TextsConfig
from genre.recommenders.als import AlsConfig
from genre.recommenders.base import RecommenderConfig
from genre.recommenders.behaviour_content import BehaviourContentConfig
from genre.recommenders.boosted import BoostedConfig
from genre.recommenders.bpr_mf import BprMfConfig
from genre.recommenders.content import ContentConfig
from genre.recommenders.ease import EaseConfig
from genre.recommenders.ensemble import EnsembleConfig
from genre.recommenders.fusion import FusionConfig
from genre.recommenders.graph import GraphConfig
from genre.recommenders.item_knn import ItemKnnConfig
from genre.recommenders.llm_ranker import LlmRankerConfig
from genre.recommenders.llm_sequential import LlmSequentialConfig
from genre.recommenders.popularity import PopularityConfig
from genre.recommenders.sasrec import SasrecConfig
from genre.recommenders.segment import SegmentConfig
from genre.recommenders.semantic_id import SemanticIdConfig
from genre.recommenders.text_classifier import TextClassifierConfig
from genre.recommenders.two_tower import TwoTowerConfig
from genre.recommenders.user_knn import UserKnnConfig
from genre.strategies.caps import CapConfig
from genre.strategies.diversity import DiversifyConfig
from genre.strategies.exploration import EpsilonConfig, ThompsonConfig, check_order
from genre.strategies.rules import ColumnRuleConfig, HideSeenConfig
from genre.tuning.config import TuneConfig, model_of

FORMAT = 1
"""Version of the config file's form. A file of a newer form is refused."""
BASELINE = "popularity"
"""Name of the model that every experiment has."""
GROUP = "genre.recommenders"
"""Entry point group in which other packages offer their recommenders' config classes."""


def _recommenders() -> tuple[type[RecommenderConfig], ...]:
    """Return every recommender imported above, and those that installed packages offer."""
    found = [entry for name, entry in globals().items() if name.endswith("Config")]
    found += [entry.load() for entry in entry_points(group=GROUP)]
    return tuple(
        entry
        for entry in found
        if isinstance(entry, type) and issubclass(entry, RecommenderConfig) and entry is not RecommenderConfig
    )


RECOMMENDERS = _recommenders()

if TYPE_CHECKING:
    AnyRecommender: TypeAlias = RecommenderConfig
else:
    # A config object made in Python passes as it is, so that a model of one's own needs no entry point.
    AnyRecommender = Annotated[
        SerializeAsAny[Annotated[Union[RECOMMENDERS], Field(discriminator="kind")]],  # noqa: UP007
        WrapValidator(lambda value, parse: value if isinstance(value, RecommenderConfig) else parse(value)),
    ]

Name: TypeAlias = Annotated[str, StringConstraints(pattern=r"^\w[\w.-]*$")]
"""Of a run or a model: what may also name a directory."""

AnyData: TypeAlias = Annotated[FilesConfig | SampleConfig, Field(discriminator="kind")]
AnyStrategy: TypeAlias = Annotated[
    HideSeenConfig | ColumnRuleConfig | DiversifyConfig | CapConfig | EpsilonConfig | ThompsonConfig,
    Field(discriminator="kind"),
]


class AnswerConfig(Config):
    """What is recommended in the end, and how."""

    model: str = "best"
    """The model that answers; "best" is the one with the highest primary metric on the validation events."""
    budget: Budget | None = None
    """What the writing of a language model that answers may have lost against its base; one that is over it is marked,
    and the next best answers. None lets any model answer; measuring takes about a minute for each."""
    writing: WritingConfig = WritingConfig()
    """How writing is measured, where there is a budget for it."""
    n: int = Field(default=10, ge=0)
    """Answers for each user."""
    pool: int = Field(default=100, ge=1)
    """Length of the list that strategies choose from."""
    strategies: tuple[AnyStrategy, ...] = (HideSeenConfig(),)
    """Applied in this order; rules act before ranking, the others after. One that leaves something to chance comes
    last."""
    fallback: tuple[str, ...] = (BASELINE,)
    """Models that fill, in this order, what the answering model leaves empty."""
    reasons: Literal["en", "zh"] | None = "en"
    """Language of the written reasons, or none."""
    examples: int = Field(default=20, ge=0)
    """Users for whom reasons are written and who are shown in the report."""

    @model_validator(mode="after")
    def _budget_is_measured(self) -> AnswerConfig:
        check_measured(self.budget, self.writing, "answer.budget")
        return self

    @model_validator(mode="after")
    def _chance_comes_last(self) -> AnswerConfig:
        check_order(self.strategies)
        return self


class Experiment(Config):
    """One experiment: one file, one command, one directory."""

    format: int = FORMAT
    """Version of this form."""
    name: Name = "run"
    """Names the run directory."""
    seeds: tuple[NonNegativeInt, ...] = Field(default=(0,), min_length=1)
    """Every model is fitted and judged once for each; the first one's models are kept."""
    data: AnyData
    privacy: PrivacyConfig = PrivacyConfig()
    feedback: FeedbackConfig = FeedbackConfig()
    clean: CleaningConfig = CleaningConfig()
    columns: ColumnsConfig = ColumnsConfig()
    split: SplitConfig = LeaveOneOutConfig()
    enrich: EnrichConfig | None = None
    """What a language model adds to items and users before anything is learned; nothing by default."""
    models: dict[Name, AnyRecommender] = Field(min_length=1)
    """By a name of your own; composite models name others as `members`. Where none is called `popularity`, one is
    added as the baseline and the fallback."""
    answer: AnswerConfig = AnswerConfig()
    write: TextsConfig | None = None
    """Which texts are written about what is recommended; none by default."""
    evaluation: EvaluationConfig = EvaluationConfig()
    few_users: FewUsersConfig | None = None
    """Which models are also fitted with the events of a few users; none by default."""
    teach: TeachConfig | None = None
    """What `genre teach` teaches a language model to write; a run takes no notice of it."""
    tune: TuneConfig | None = None
    """Which settings of models `genre tune` varies; a run takes no notice of it."""
    memory_gib: float | None = Field(default=None, gt=0)
    """What fitting a model may take; by default 80 % of the memory that is free when the run starts."""

    @model_validator(mode="before")
    @classmethod
    def _is_readable(cls, value: Any) -> Any:
        form = value.get("format", FORMAT) if isinstance(value, dict) else FORMAT
        if isinstance(form, int) and form > FORMAT:
            raise ValueError(
                f"format {form!r} is newer than this version's {FORMAT}: upgrade with `pip install -U genre-rec`"
            )
        return value

    @field_validator("models", mode="after")
    @classmethod
    def _have_a_baseline(cls, models: dict[str, RecommenderConfig]) -> dict[str, RecommenderConfig]:
        """Add popularity, without which no figure says anything, and which answers where nothing else can."""
        return models if BASELINE in models else {**models, BASELINE: PopularityConfig()}

    @field_validator("seeds")
    @classmethod
    def _differ(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"{list(seeds)} names a seed twice, which would count one result twice")
        return seeds

    @model_validator(mode="after")
    def _repeats_can_be_hit(self) -> Experiment:
        if self.split.repeats and self.evaluation.hide_seen:
            raise ValueError(
                "split.repeats: items already seen are targets, and `evaluation.hide_seen` hides them: set it to false"
            )
        return self

    @model_validator(mode="after")
    def _names_exist(self) -> Experiment:
        known = sorted(self.models)
        for name, model in self.models.items():
            for member in model.member_names:
                if member not in self.models:
                    raise ValueError(f"models.{name}.members: there is no model {member!r}; choose from {known}")
            try:
                model.check_members(self.models)
            except ValueError as error:
                raise ValueError(f"models.{name}.{error}") from error
        if self.answer.model != "best" and self.answer.model not in self.models:
            raise ValueError(f"answer.model: there is no model {self.answer.model!r}; choose 'best' or from {known}")
        for name in self.few_users.models if self.few_users is not None else ():
            if name not in self.models:
                raise ValueError(f"few_users.models: there is no model {name!r}; choose from {known}")
        for name in self.answer.fallback:
            if name not in self.models:
                raise ValueError(f"answer.fallback: there is no model {name!r}; choose from {known}")
        self.fitting_order()
        return self

    @model_validator(mode="after")
    def _grades_do_not_fade(self) -> Experiment:
        for name, model in self.models.items():
            if self.feedback.half_life is not None and getattr(model, "labels", None) == "graded":
                raise ValueError(
                    f"models.{name}.labels: grades are the weights of events, and `feedback.half_life` lets these "
                    "fade: leave one of the two out"
                )
        return self

    @model_validator(mode="after")
    def _versions_are_written(self) -> Experiment:
        """Find out now what would otherwise end a run after enrichment, which may have cost something."""
        if self.enrich is not None and self.enrich.stage(RewriteConfig) is not None:
            return self
        for name, model in self.models.items():
            if model.reads_in_training.wanted and model.reads_in_training.rewritten:
                raise ValueError(
                    f"models.{name}: `versions.rewritten` is true, and no stage writes versions: "
                    "add `{kind: rewrite}` to `enrich.stages`, or set it to false"
                )
        return self

    @model_validator(mode="after")
    def _can_be_tuned(self) -> Experiment:
        """Find out now what would end a search later: that of its own section, and that no path is idle."""
        if self.tune is None:
            return self
        self.tune.check_space(self.models)
        self.evaluation.check_measured(self.tune.objective or self.evaluation.primary, "tune.objective")
        name, known = self.tune.model, sorted(self.models)
        if name != "best":
            if name not in self.models:
                raise ValueError(f"tune.model: there is no model {name!r}; choose 'best' or from {known}")
            idle = [path for path in self.tune.space if model_of(path) not in self.fitting_order((name,))]
            if idle:
                raise ValueError(
                    f"tune.space.{idle[0]}: changes nothing of {name!r}, whose value counts by `tune.model`: "
                    "leave one of the two out"
                )
        return self

    def fitting_order(self, wanted: Iterable[str] | None = None) -> list[str]:
        """Return the names of the wanted models and all that they are made of, members before those that name them.

        Args:
            wanted: By default all.

        Raises:
            ValueError: Models name each other in a circle.
        """
        order: list[str] = []

        def visit(name: str, above: tuple[str, ...]) -> None:
            if name in above:
                raise ValueError(f"models.{name}.members: models name each other in a circle: {[*above, name]}")
            if name not in order:
                for member in self.models[name].member_names:
                    visit(member, (*above, name))
                order.append(name)

        for name in self.models if wanted is None else wanted:
            visit(name, ())
        return order
