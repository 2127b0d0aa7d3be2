"""The language model inside a recommender: its settings, what it learned, and what keeps it able to write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Self

from pydantic import Field, model_validator

from genre.core.config import Config
from genre.core.errors import ConfigError, ModelError
from genre.core.parts import below, text_as_array, text_of_array, with_prefix
from genre.core.run import RunContext
from genre.language.local import LocalGeneratorConfig
from genre.language.smollm import SmolLmConfig
from genre.language.texts import short_key
from genre.language.tuning import Method, TuningConfig
from genre.recommenders.base import DataSize, Estimate, RecommenderConfig, State
from genre.training.config import TrainingConfig
from genre.training.protection_config import ProtectionConfig

if TYPE_CHECKING:
    from genre.language.decoding import LoadedModel
    from genre.training.contracts import Protection
    from genre.training.protections import Watched

LanguageModel = Annotated[SmolLmConfig | LocalGeneratorConfig, Field(discriminator="kind")]
PREFIX = "language."
"""What the names of its parts begin with in a recommender's state."""
_BASE = PREFIX + "base"
_AS_EVER = (
    "batch_size", "accumulate", "optimizer", "learning_rate", "warm_up_steps", "weight_decay", "clip_norm", "precision",
    "checkpoint_seconds", "tracker",
)  # fmt: skip
"""What of the training holds for reading too: all that needs neither layers by number nor items."""
FEW_EPOCHS: Final = TrainingConfig(
    epochs=5,
    batch_size=16,
    learning_rate=1e-3,
    precision="bf16",
    clip_norm=1.0,
    warm_up_steps=20,
    patience=2,
    patience_steps=0,
)
"""How a language model learns from histories if nothing else is said: a pass takes long, and it knows much before."""
_PARAMETERS, _TOKEN_SECONDS = 135_000_000, 4e-10
"""Weights of the embedded model, and seconds of one weight for one token forwards on two cores, for the estimate."""


class LanguageSettings(Config):
    """A language model that learns inside a recommender."""

    new_tokens: ClassVar[bool] = False
    """Whether it gets tokens that it did not have."""
    base: LanguageModel = SmolLmConfig()
    """The language model that learns."""
    tuning: TuningConfig = TuningConfig()
    """What learns of it. `frozen` is nothing."""
    protect: ProtectionConfig = ProtectionConfig()
    """What keeps it able to write."""
    training: TrainingConfig

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.base.adapter is not None:
            raise ValueError(
                "`base.adapter` is set, and what learns begins with a model's own weights: name a directory with the "
                "model that the adapter was merged into, as `genre teach` writes it, with `kind: local`"
            )
        if self.new_tokens:
            self.tuning.check_new_tokens()
        if self.protect.is_on and self.tuning.method == "frozen":
            raise ValueError("`protect` is set, and with `tuning.method` 'frozen' nothing that it writes by can change")
        return self

    def check_language(self) -> None:
        """Make sure that the language model's and the tuning's libraries are there.

        Raises:
            DependencyError: One of them is not.
        """
        self.base.check_installed()
        self.tuning.check_installed(new_tokens=self.new_tokens)

    def estimate_reading(self, size: DataSize, tokens: float) -> Estimate:
        """Return what training takes whose epochs read so many tokens: float32 weights, and what is kept of them."""
        kept = 16 if self.tuning.method == "full" else 5
        return Estimate(
            memory=kept * _PARAMETERS + (1 << 30),
            seconds=self.training.epochs * tokens * _PARAMETERS * _TOKEN_SECONDS * 6,
        )


class LanguageRecommenderConfig(LanguageSettings, RecommenderConfig):
    """Settings of a recommender that is a language model which learns."""

    extra: ClassVar[str | None] = "torch"

    @property
    def learns_from_validation(self) -> bool:
        """It weighs nothing on the validation questions."""
        return False

    @property
    def learning(self) -> LanguageSettings:
        """What is chosen of its language model."""
        return self

    def with_learning(self, **changes: Any) -> Self:
        """Return the same with something else chosen of its language model."""
        return self.model_copy(update=changes)

    def check_installed(self) -> None:
        """Make sure that the language model's and the tuning's libraries are there too.

        Raises:
            DependencyError: One of them is not.
        """
        super().check_installed()
        self.check_language()


def load_base(
    base: SmolLmConfig | LocalGeneratorConfig, run: RunContext, *, beside: bool = False
) -> tuple[str, LoadedModel]:
    """Return what tells a language model from others, and the model in float32.

    Args:
        base: Which one.
        run: Shows how far loading has come.
        beside: Whether its weights are those of all that load it so: then they must not be changed.

    Raises:
        DependencyError: It is not there.
    """
    generator = base.model_copy(update={"precision": "fp32"}).build()
    return generator.key, (generator.load_beside if beside else generator.load_own)(run.progress)


def check_reads(method: Method, what: str) -> None:
    """Make sure that a catalogue can be read with what learns of the language model.

    Args:
        method: Of the tuning.
        what: The setting, for the message.

    Raises:
        ValueError: Nothing learns, or too little.
    """
    if method in ("frozen", "prefix"):
        raise ValueError(
            f"{what} is set, and with `tuning.method` {method!r} nothing learns that could hold a catalogue's words; "
            "choose 'lora', say, or leave it out"
        )


class LearningLanguage:
    """A language model that is loaded and opened for learning."""

    key: str
    """Tells which model it is."""
    loaded: LoadedModel
    """With its tokenizer."""
    watched: Watched | None = None
    """What was seen of its writing while it learned, where somebody looked."""

    def __init__(
        self,
        config: LanguageSettings,
        run: RunContext,
        *,
        total_steps: int = 0,
        new_tokens: int = 0,
        answers: bool = False,
    ) -> None:
        """Load it, in float32.

        Args:
            config: Which one, and what learns of it.
            run: Shows how far loading has come.
            total_steps: Of the training to come; none to answer.
            new_tokens: Tokens that it gets behind its own.
            answers: Whether it has learned and shall only answer: models of one base then share its weights, as far as
                what they have learned stands beside these.

        Raises:
            ConfigError: It has no layers of the names in `tuning.modules`, or its weights are in few bits.
            DependencyError: It is not there.
        """
        from genre.language.quantised import is_quantised
        from genre.language.tuning import TunedModel

        self.config = config
        beside = answers and not new_tokens and (config.tuning.adds or config.tuning.method == "frozen")
        self.key, self.loaded = load_base(config.base, run, beside=beside)
        if is_quantised(self.loaded.model):
            raise ConfigError(
                "the language model's weights are in few bits, through which nothing can be learned",
                place="base",
                remedy="Name the model that it was made of, and compress what has learned.",
            )
        self.tuned = TunedModel(self.loaded.model, config.tuning, total_steps=total_steps, new_tokens=new_tokens)

    @property
    def in_bf16(self) -> bool:
        """Whether products are worked out in bfloat16."""
        return self.config.training.precision == "bf16"

    def writer(self) -> LoadedModel:
        """Return the language model that writes, with what it has learned here."""
        from genre.language.decoding import LoadedModel

        model = self.tuned.language if self.config.tuning.method == "prefix" else self.tuned.causal
        return LoadedModel(model.eval(), self.loaded.tokenizer, self.loaded.context)

    def protections(self, catalogue: Sequence[str]) -> list[Protection]:
        """Return what is added to the loss; of `catalogue`, what the items' texts say may be written again."""
        from genre.training.protections import AdaptiveRanks, Watched, protections_of

        found: list[Protection] = [AdaptiveRanks(self.tuned)] if self.config.tuning.method == "adalora" else []
        if self.config.protect.is_on:
            texts = [text for text in catalogue if text]
            found += protections_of(self.config.protect, self.tuned, self.loaded, texts)
        self.watched = next((one for one in found if isinstance(one, Watched)), None)
        return found

    def read(
        self, texts: Sequence[str], epochs: int, run: RunContext, *, protections: Sequence[Protection] = ()
    ) -> None:
        """Let the model read texts, to expect each token after those before it.

        So it knows the words of a catalogue before it learns from a log (Gururangan et al.: Don't Stop Pretraining. ACL
        2020). What learns is what learns afterwards, at the same rate.

        Args:
            texts: Of items; each different one is read once in an epoch.
            epochs: Passes over them.
            run: Seed, place of the checkpoints, and progress.
            protections: What is added to the loss of each step.

        Raises:
            ModelError: The loss is not a number.
        """
        from genre.training.answers import Answer, Answers
        from genre.training.loop import train
        from genre.training.protections import AdaptiveRanks, Watched

        answers = [Answer.alone(self.loaded, text) for text in dict.fromkeys(texts) if text]
        own = self.config.training
        training = TrainingConfig(epochs=epochs, **{name: getattr(own, name) for name in _AS_EVER})
        # Ranks are moved by the steps of the training to come, and what is watched is a curve of its epochs.
        terms = [one for one in protections if not isinstance(one, AdaptiveRanks | Watched)]
        told = {"protect": self.config.protect.model_dump(), "tuning": self.config.tuning.model_dump()}
        train(
            self.tuned.language,
            Answers(answers, batch_size=training.batch_size, parts=training.accumulate),
            training,
            name="read the catalogue",
            seed=run.seed,
            terms=terms,
            directory=None if run.directory is None else run.directory / "reading",
            about={"base": self.key, "texts": short_key("texts", all=[one.tokens for one in answers]), **told},
            progress=run.progress,
        )

    def state(self) -> State:
        """Return what was learned, nothing of the base, and which base it was."""
        return {**with_prefix(PREFIX, self.tuned.state()), _BASE: text_as_array(self.key)}

    def restore(self, state: State) -> None:
        """Take back what `state` returned; what belongs to others is left alone.

        Raises:
            ModelError: The base is not the one that this was learned with.
        """
        before = text_of_array(state[_BASE])
        if before != self.key:
            raise ModelError(
                f"the language model is {self.key!r}, and this was learned with {before!r}",
                place="base",
                remedy="Put the language model of that time back, or fit the model anew.",
            )
        parts = below(PREFIX, state)
        del parts["base"]
        self.tuned.restore(parts)
