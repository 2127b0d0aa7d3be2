"""What shall be written, by whom, and for how much at most."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias, TypeVar

from pydantic import Field, model_validator

from genre.core.config import Config
from genre.features.text import Language, TextConfig
from genre.language.base import Sampling
from genre.language.encoders import AnyEncoder
from genre.language.generators import AnyGenerator
from genre.language.hashing import HashingEncoderConfig
from genre.language.smollm import SmolLmConfig

Way: TypeAlias = Literal["synonyms", "paraphrase", "back_translation"]
_THROUGH: Final[dict[Language, str]] = {"en": "French", "zh": "英语"}
_OWN_NAMES: Final[dict[Language, frozenset[str]]] = {
    "en": frozenset({"english", "英语", "英文"}),
    "zh": frozenset({"chinese", "mandarin", "中文", "汉语"}),
}


class SummariseConfig(Config):
    """Write a better title and a summary of each item: the item columns `better_title` and `summary`."""

    kind: Literal["summarise"] = "summarise"
    sampling: Sampling = Sampling(max_tokens=256)
    text: TextConfig = TextConfig(max_tokens=300)
    """What is read of an item beside its title: by default its other text columns and its labels. 300 tokens, so that
    small models keep the question in mind."""


class ProfileConfig(Config):
    """Write what each user is interested in, from what they liked in training: the user column `profile`."""

    kind: Literal["profile"] = "profile"
    sampling: Sampling = Sampling(max_tokens=384)
    history: int = Field(default=15, ge=1)
    """Newest likes that are read. Each is a title, followed by the summary where `summarise` has written one."""


class ImagineConfig(Config):
    """Imagine items for users with short histories, and learn from the real items that are most like them.

    An imagined item is shown to nobody: it stands for its nearest real item, as a training event of small weight.
    """

    kind: Literal["imagine"] = "imagine"
    sampling: Sampling = Sampling(max_tokens=512)
    longest_history: int = Field(default=4, ge=1)
    """Users with more likes than this in training need no imagined ones."""
    count: int = Field(default=2, ge=1, le=3)
    """Items to imagine for each user."""
    weight: float = Field(default=0.2, gt=0, le=1)
    """Weight of the event, of that of the user's average like. Models that only count likes do not see it."""
    least_similarity: float = Field(default=0.2, ge=0, le=1)
    """Cosine below which an imagined item resembles no real one enough, and is left out."""
    encoder: AnyEncoder = HashingEncoderConfig()
    """What similarity is measured with. The default needs no model, and takes any language."""


class RewriteConfig(Config):
    """Write other versions of each item's text, for models that read texts to be trained on and for nothing else.

    A model reads them where its `versions` say `rewritten: true`. Only items that somebody liked in training are
    rewritten, each in its own language: others, and those whose text is in another language than `language`, teach
    nothing or would be translated.
    """

    kind: Literal["rewrite"] = "rewrite"
    ways: tuple[Way, ...] = Field(default=("synonyms", "paraphrase"), min_length=1)
    """`synonyms` puts other words in the place of some, `paraphrase` says the same in other sentences, and
    `back_translation` translates into the language `through` and back, which asks twice."""
    per_way: int = Field(default=1, ge=1)
    """Versions of an item in each way. They differ by what is drawn, so more than one needs a temperature."""
    through: str | None = Field(default=None, min_length=2, max_length=40)
    """Language of `back_translation`, by its name in the language of the prompts; by default French, and English
    (英语) for Chinese texts. The generator has to know it."""
    sampling: Sampling = Sampling(max_tokens=256, temperature=0.7)
    text: TextConfig = TextConfig()
    """What is rewritten of an item behind its title; best what the models read."""

    @model_validator(mode="after")
    def _is_of_use(self) -> RewriteConfig:
        if len(set(self.ways)) < len(self.ways):
            raise ValueError(f"ways: {list(self.ways)} names a way twice; set `per_way` for more versions")
        if self.per_way > 1 and self.sampling.temperature == 0:
            raise ValueError(
                f"per_way: {self.per_way} versions would be the same at temperature 0: raise `sampling.temperature`"
            )
        if self.through is not None and "back_translation" not in self.ways:
            raise ValueError(
                f"through: nothing is translated into {self.through!r}: "
                "add 'back_translation' to `ways`, or leave it out"
            )
        return self


AnyStage: TypeAlias = SummariseConfig | ProfileConfig | ImagineConfig | RewriteConfig
StageT = TypeVar("StageT", SummariseConfig, ProfileConfig, ImagineConfig, RewriteConfig)


class BudgetConfig(Config):
    """What enrichment may take. Where the next answer might not fit, it stops, and what was written is used.

    Answers from the store count as what they once took: a run that was interrupted ends where it would have ended, and
    a repeated one spends nothing. To go on where a budget has stopped, raise it.
    """

    max_tokens_total: int | None = Field(default=None, ge=1)
    """Tokens of prompts and answers, all stages together."""
    max_cost: float | None = Field(default=None, gt=0)
    """In the currency of `price_per_million`."""
    max_items: int | None = Field(default=None, ge=1)
    """Items of `summarise` and of `rewrite`, and users of `profile` and of `imagine`, each: the first so many of the
    tables."""


class PriceConfig(Config):
    """What a million tokens cost, in any currency."""

    prompt: float = Field(ge=0)
    completion: float = Field(ge=0)


class EnrichConfig(Config):
    """What a language model adds to items and users before anything is learned."""

    generator: AnyGenerator = SmolLmConfig()
    """Who writes."""
    method: Literal["llm", "keywords"] = "llm"
    """`keywords` takes sentences and keywords out of the texts instead: no model, no cost, nothing new."""
    language: Language = "en"
    """What to write in."""
    stages: tuple[Annotated[AnyStage, Field(discriminator="kind")], ...] = Field(
        default=(SummariseConfig(), ProfileConfig()), min_length=1
    )
    """They always run in the order summarise, profile, imagine, and each reads what those before have written; then
    rewrite, which reads what the files say."""
    constrained: bool = True
    """Whether the generator is held to the JSON Schema while it writes. Answers are validated either way; false is for
    endpoints that know no schemas."""
    budget: BudgetConfig = BudgetConfig()
    price_per_million: PriceConfig | None = None
    """Needed for `budget.max_cost`, and for the cost in accounts."""
    tokens_per_second: float | None = Field(default=None, gt=0)
    """Completion tokens a second, all requests together, to estimate time with. By default a local generator is tried
    on a few prompts, whose answers are kept, and an endpoint's time is not estimated."""
    at_once: int = Field(default=64, ge=1)
    """Prompts given to the generator together; what is answered is kept each time."""

    @model_validator(mode="after")
    def _fits_together(self) -> EnrichConfig:
        kinds = [stage.kind for stage in self.stages]
        if len(set(kinds)) < len(kinds):
            raise ValueError(f"stages: {kinds} names a stage twice")
        writing = [kind for kind in kinds if kind in ("imagine", "rewrite")]
        if self.method == "keywords" and writing:
            raise ValueError(f"stages: {writing[0]!r} needs a language model: set `method: llm`, or leave it out")
        rewrite = self.stage(RewriteConfig)
        if rewrite is not None and (rewrite.through or "").casefold() in _OWN_NAMES[self.language]:
            raise ValueError(
                f"stages.rewrite.through: the texts are in {rewrite.through!r} already: name another language"
            )
        if self.budget.max_cost is not None and self.price_per_million is None:
            raise ValueError("budget.max_cost: there is no price to reckon with: state `price_per_million`")
        return self

    def check_installed(self) -> None:
        """Make sure that the optional dependencies are there.

        Raises:
            DependencyError: One of them is not.
        """
        if self.method == "llm":
            self.generator.check_installed()
        imagine = self.stage(ImagineConfig)
        if imagine is not None:
            imagine.encoder.check_installed()

    def through(self, stage: RewriteConfig) -> str:
        """Return the language that a back-translation goes through."""
        return stage.through or _THROUGH[self.language]

    def stage(self, kind: type[StageT]) -> StageT | None:
        """Return the settings of a stage, or None where it is not wanted."""
        return next((stage for stage in self.stages if isinstance(stage, kind)), None)
