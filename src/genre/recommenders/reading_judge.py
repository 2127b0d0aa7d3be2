"""Judges pairs of texts by letting a transformer read both, which learns together with its head.

Shapes: I items, N pairs, T texts of users, K grades.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from genre.core.errors import ConfigError, ModelError
from genre.core.parts import below, lines_as_array, lines_of_array, text_as_array, text_of_array, with_prefix
from genre.core.run import RunContext
from genre.data.dataset import Dataset, Entities
from genre.features.text import item_texts
from genre.recommenders.base import State
from genre.recommenders.classifier_heads import LinearHeadConfig, MlpHeadConfig
from genre.recommenders.labelled_pairs import Pairs, groups_of
from genre.recommenders.learning_language import LearningLanguage
from genre.recommenders.pair_judge import NAME, NO_CURVE, Floats, PairJudgeConfig, likelihood_on
from genre.recommenders.trained import fit_network, network_state, take_parameters

if TYPE_CHECKING:
    import torch

    from genre.language.tuned_encoder import TunedEncoder
    from genre.recommenders.pair_reader import EncoderPairReader, Group, LanguagePairReader

_ENCODER = "encoder."


class ReadingJudge:
    """A transformer reads the user's text and the item's, and its last hidden states decide.

    An encoder reads a pair in one row; a causal language model reads what is known of the user once, and the items
    behind it. What `tuning` says of it learns together with the head.
    """

    network: LanguagePairReader | EncoderPairReader
    texts: list[str]
    """(I,) of the items."""
    language: LearningLanguage | None = None
    encoder: TunedEncoder | None = None

    def __init__(self, config: PairJudgeConfig) -> None:
        """Keep the settings."""
        self.config, self.curve = config, NO_CURVE

    @property
    def readable(self) -> NDArray[np.bool_]:
        """(I,) items with a text."""
        return np.array([bool(text) for text in self.texts], bool)

    def prepare(self, data: Dataset, run: RunContext) -> Self:
        """Load the transformer, and read the items.

        Raises:
            ConfigError: It does not read so many tokens, or has no layers of the names in `tuning.modules`.
            DataError: No item has a text.
            DependencyError: It is not there.
        """
        import torch

        training = self.config.training
        # Each pair of the log has a history of its own, and is read with what was drawn for it.
        groups = min(self.config.max_pairs, data.num_events)
        with torch.random.fork_rng():
            torch.manual_seed(int(run.rng("text_classifier.tuning").integers(2**63)))
            self._load(run, training.epochs * -(-groups // training.batch_size))
        self.texts = item_texts(data.items, self.config.vectors.text, self.count)
        return self

    def count(self, text: str) -> int:
        """Return how many tokens a text takes."""
        return len(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def learn(self, pairs: Pairs, apart: Pairs, num_grades: int, run: RunContext, data: Dataset) -> None:
        """Learn until the pairs set apart are told no better.

        Raises:
            ConfigError: The transformer does not read so many tokens.
            ModelError: The loss is not a number.
        """
        import torch

        from genre.recommenders.pair_reader import Group
        from genre.training.labelled import Classes

        with torch.random.fork_rng():
            torch.manual_seed(int(run.rng("text_classifier.head").integers(2**63)))
            self._open(num_grades)
        groups = list(groups_of(pairs.text_of))

        def make(rows: NDArray[np.int64]) -> tuple[list[Group], torch.Tensor]:
            chosen = [groups[row] for row in rows]
            read = [Group(pairs.texts[pairs.text_of[at[0]]], self._items(pairs.item_rows[at])) for at in chosen]
            return read, torch.from_numpy(pairs.labels[np.concatenate(chosen)])

        training = self.config.training
        objective = Classes(len(groups), make, batch_size=training.batch_size, parts=training.accumulate)
        protections = [] if self.language is None else self.language.protections(self.texts)
        self.curve = fit_network(
            self.network,
            objective,
            self.config,
            run,
            data=data,
            training=training,
            validate=likelihood_on(self, apart),
            terms=protections,
            base=self._key,
        )

    def probabilities(
        self, texts: Sequence[str], text_of: NDArray[np.integer], item_rows: NDArray[np.integer]
    ) -> Floats:
        """Return (N, K), one text of a user after the other."""
        import torch

        from genre.recommenders.pair_reader import Group

        found = np.empty((len(item_rows), self._num_grades))
        device = next(self.network.parameters()).device.type
        in_bf16 = self.config.training.precision == "bf16"
        for at in groups_of(text_of):
            with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=in_bf16):
                logits = self.network.judged(Group(texts[text_of[at[0]]], self._items(item_rows[at])))
            found[at] = logits.float().softmax(1).cpu().numpy()
        return found

    def index(self, items: Entities, run: RunContext) -> Self:
        """Return one that knows the new items' texts too."""
        longer = copy(self)
        longer.texts = item_texts(items, self.config.vectors.text, self.count, required=False)
        return longer

    def state(self) -> State:
        """Return the head, what the transformer has learned and which one it was, and the items' texts."""
        own: State = {"curve": self.curve, "texts": lines_as_array(self.texts)}
        if self.language is not None:
            return {**own, **network_state(self.network, without="language."), **self.language.state()}
        assert self.encoder is not None  # noqa: S101
        learned = with_prefix(_ENCODER, self.encoder.state())
        key = {"base": text_as_array(self.encoder.key)}
        return {**own, **key, **network_state(self.network, without="body."), **learned}

    def restore(self, state: State, num_grades: int) -> None:
        """Take all of it back.

        Raises:
            DependencyError: The transformer is not there.
            ModelError: It is not the one that this was learned with.
        """
        self._load(RunContext(), answers=True)
        self._open(num_grades)
        self.texts, self.curve = lines_of_array(state["texts"]), state["curve"]
        take_parameters(self.network, state, partly=True)
        if self.language is not None:
            self.language.restore(state)
            return
        assert self.encoder is not None  # noqa: S101
        before = text_of_array(state["base"])
        if before != self.encoder.key:
            raise ModelError(
                f"the encoder is {self.encoder.key!r}, and this was learned with {before!r}",
                place="vectors.encoder",
                remedy="Put the encoder of that time back, or fit the model anew.",
            )
        self.encoder.restore(below(_ENCODER, state))

    @property
    def _tokenizer(self) -> Any:
        return self.encoder.tokenizer if self.language is None else self.language.loaded.tokenizer  # type: ignore[union-attr]

    @property
    def _key(self) -> str:
        return self.encoder.key if self.language is None else self.language.key  # type: ignore[union-attr]

    def _items(self, rows: NDArray[np.integer]) -> list[str]:
        return [self.texts[row] for row in rows]

    def _load(self, run: RunContext, total_steps: int = 0, *, answers: bool = False) -> None:
        """Load the transformer, and open what learns."""
        config = self.config
        if config.reader == "language":
            self.language = LearningLanguage(config, run, total_steps=total_steps, answers=answers)
            return
        from genre.language.tuned_encoder import TunedEncoder

        self.encoder = TunedEncoder(config.learning_encoder, config.tuning)

    def _open(self, num_grades: int) -> None:
        """Put the head on the transformer.

        Raises:
            ConfigError: It does not read so many tokens.
        """
        from genre.recommenders.pair_reader import EncoderPairReader, LanguagePairReader, head_of

        config, text = self.config, self.config.vectors.text
        assert isinstance(config.head, LinearHeadConfig | MlpHeadConfig)  # noqa: S101
        self._num_grades = num_grades
        if self.language is not None:
            size = self.language.tuned.causal.get_input_embeddings().embedding_dim
            head = head_of(config.head, size, num_grades).to(self.language.loaded.model.device)
            network = LanguagePairReader(self.language, head, text.language, text.max_tokens)
            self.network, width, context = network, network.width, self.language.loaded.context
        else:
            assert self.encoder is not None  # noqa: S101
            head = head_of(config.head, self.encoder.body.config.hidden_size, num_grades).to(self.encoder.body.device)
            self.network = EncoderPairReader(self.encoder, head, text.max_tokens)
            width, context = 3, self.encoder.context
        self.network.eval()
        needed = width + config.user_tokens + text.max_tokens
        if needed > context:
            raise ConfigError(
                f"a pair takes up to {needed:,} tokens ({config.user_tokens:,} of the user, {text.max_tokens:,} of the "
                f"item, {width:,} around them), and the model reads {context:,}",
                place=f"{NAME}.user_tokens",
                remedy="Lower it, or `vectors.text.max_tokens`, or choose a model that reads more.",
            )
