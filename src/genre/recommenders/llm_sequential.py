"""A language model reads the history and says what comes next, fine-tuned without forgetting how to write.

Shapes: B queries, I items, D numbers of an item's vector, T of its text's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from genre.core.errors import ConfigError
from genre.core.parts import below, with_prefix
from genre.core.queries import Queries
from genre.core.run import RunContext
from genre.data.dataset import Dataset, Entities
from genre.features.text import item_texts
from genre.features.vectors import TextVectors, VectorsConfig
from genre.features.versions import VersionsConfig
from genre.language.base import unit_rows
from genre.recommenders.base import DataSize, Estimate, Recommender, ScoringRecommender, State, never_scored
from genre.recommenders.elsewhere import Elsewhere, elsewhere_of
from genre.recommenders.learning_language import FEW_EPOCHS, LanguageRecommenderConfig, LearningLanguage, check_reads
from genre.recommenders.members import validator
from genre.recommenders.moving import all_the_same, check_base, take_along
from genre.recommenders.starting_items import check_start, start_items
from genre.recommenders.trained import among, fit_network, known_of, network_state, take_parameters, to_learn_from
from genre.training.config import TrainingConfig

if TYPE_CHECKING:
    from torch import Tensor

    from genre.recommenders.language_reader import ItemTokens, LanguageReader
    from genre.training.contracts import Term
    from genre.training.next_item import NextItem

_READER = "reader."
_TEXT_TOKENS = 64
"""Of an item's text, for the estimate."""
_BLOCK, _GPU_BLOCK = 64, 512
"""Histories that are read at once to answer, on a CPU and on a GPU."""


class LlmSequentialConfig(LanguageRecommenderConfig):
    """Settings of `llm_sequential`."""

    kind: Literal["llm_sequential"] = "llm_sequential"
    history: Literal["items", "titles"] = "items"
    """How a liked item stands in what the model reads: as one token made of its text and its own vector, or as its
    title followed by that token, which takes as many times longer as titles have tokens."""
    title_tokens: int = Field(default=12, ge=2)
    """Tokens of a title at most."""
    vectors: VectorsConfig = VectorsConfig()
    """Which text is part of an item's vector, read by what."""
    versions: VersionsConfig = VersionsConfig()
    """Which other versions of that text training may read; titles that stand in histories stay as they are."""
    embedding_size: int = Field(default=128, ge=1)
    """Numbers of an item's vector, as of `sasrec`."""
    own_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of the items whose own vectors a training step leaves out, so that items without one are scored well."""
    start_from: str | None = None
    """A fitted `sasrec` of the same `embedding_size`, by its name, whose items are those that learning begins with. If
    it reads texts as here (the same `vectors`, no `hidden` layer), what it knows of texts is taken over too: new items
    begin as its new items, and in another catalogue it holds as well. Of any other only the items' vectors are."""
    length: int = Field(default=50, ge=1)
    """Newest likes of a history that are read."""
    max_windows: int | None = Field(default=None, ge=1)
    """Windows of `length` likes that are learned from in an epoch, drawn anew for each; by default all. A pass over a
    large log takes hours, and most is learned from a part of it."""
    read_first: int = Field(default=0, ge=0)
    """Epochs in which the language model reads the texts of the catalogue, before it learns from the log: it then knows
    words that general text seldom has. What `protect` says holds while it reads, too."""
    temperature: float = Field(default=0.07, gt=0)
    """Scores are cosines divided by it, as those of `sasrec`."""
    hide_seen: bool = True
    """Whether items of the history are no answers when the best epoch is chosen, as the evaluation's `hide_seen`."""
    training: TrainingConfig = FEW_EPOCHS
    """Few epochs: a pass takes long, and most is learned in the first."""

    @model_validator(mode="after")
    def _something_reads(self) -> Self:
        if self.read_first:
            check_reads(self.tuning.method, "`read_first`")
        return self

    @property
    def member_names(self) -> tuple[str, ...]:
        """The model that it begins with."""
        return () if self.start_from is None else (self.start_from,)

    @property
    def answers_with(self) -> tuple[str, ...]:
        """Itself alone: what it began with is its own by now."""
        return ()

    @property
    def reads(self) -> VectorsConfig:
        """How texts become vectors."""
        return self.vectors

    @property
    def reads_in_training(self) -> VersionsConfig:
        """Other versions of the texts."""
        return self.versions

    @property
    def has_item_vectors(self) -> bool:
        """It learns one of each item."""
        return True

    def build(self, members: Mapping[str, Recommender]) -> LlmSequential:
        """Return the unfitted component.

        Raises:
            ConfigError: The model to begin with has no such vectors.
        """
        if self.start_from is None or self.start_from not in members:
            return LlmSequential(self)
        check_start(members[self.start_from], self.start_from, self.embedding_size, "llm_sequential.start_from")
        return LlmSequential(self, members[self.start_from])

    def estimate(self, size: DataSize) -> Estimate:
        """The language model with what the optimizer keeps of it, its passes over the likes, and the items' vectors."""
        events = size.num_events
        if self.max_windows is not None:
            events = min(events, self.max_windows * self.length)
        tokens: float = events * (1 if self.history == "items" else self.title_tokens)
        tokens += self.read_first * size.num_items * _TEXT_TOKENS / self.training.epochs
        reading = self.estimate_reading(size, tokens)
        return Estimate(memory=reading.memory + 20 * size.num_items * self.embedding_size, seconds=reading.seconds)


class LlmSequential(ScoringRecommender[LlmSequentialConfig]):
    """Let a causal language model read what somebody liked, and score what may come next.

    A liked item is one token ``W_in v``, its vector v the sum of its own and of what its text says (with
    `history="titles"` its title stands before it). What the model has in mind at that place, h, is compared with the
    items': ``score(i) = cos(W_out h + v, v_i) / temperature``. One pass over a history learns at every place of it, by
    the softmax over all items of the training log, and only what `tuning` says of the language model moves. What
    `protect` adds to the loss keeps it able to write; `writer` is the model that writes, with what it has learned here.

    Items that nobody liked are read and scored by their texts. As in E4SRec (Li et al., arXiv 2312.02443) and LLaRA
    (Liao et al., SIGIR 2024), items are projected into the language model's space; as in `sasrec`, every place teaches.
    """

    network: LanguageReader
    known: NDArray[np.bool_]
    """(I,) items that somebody liked in training, or that a teacher spoke of."""
    curve: NDArray[np.float64]
    """(epochs, 2) training loss and validation NDCG@10, NaN where not validated."""
    reader: TextVectors
    """Turns texts into vectors."""
    text: NDArray[np.float32]
    """(I, T) vectors of the items' texts, zeros for an item without."""
    table: Tensor
    """(I, D) the items as they are read."""
    read: Tensor
    """(I + F, D) all that may stand in histories: the items, and behind them F of the catalogue that it came from."""
    elsewhere: Elsewhere | None = None
    """What people liked in the catalogue that it came from; its items stand in histories without a title."""
    tokens: ItemTokens
    """What stands for each item in a history."""
    language: LearningLanguage
    """What reads."""
    _begin: Self | None = None
    """What learning begins with."""

    def __init__(self, config: LlmSequentialConfig, start: Recommender | None = None) -> None:
        """Keep the settings, and the model whose items are begun with."""
        super().__init__(config)
        self.start = start

    def fit(self, data: Dataset, run: RunContext, *, terms: Sequence[Term] = ()) -> Self:
        """Train until the validation events are predicted no better; without any, for all epochs.

        Args:
            data: What is learned from.
            run: Holds the validation questions.
            terms: What is added to the loss of each step, beside what `protect` adds.

        Raises:
            ConfigError: The language model has no layers of the names in `tuning.modules`, or the model to begin with
                is not given.
            DataError: The items have no text.
            DependencyError: The language model is not there.
            ModelError: The loss is not a number, or what it begins with was learned with another language model.
            ResourceError: The memory does not suffice.
        """
        import torch

        config, begin = self.config, self._begin
        self.known = known_of(data, terms)
        if begin is None:
            self.reader, self.text = TextVectors.fit(config.vectors, data.items, self.known, run)
        else:
            self.reader, self.text, self.elsewhere = begin.reader, begin.text, begin.elsewhere
        versions = self.reader.versions(data.items, self.known, config.versions, run)
        objective = to_learn_from(self.objective(data), terms)
        with torch.random.fork_rng():
            torch.manual_seed(int(run.rng("llm_sequential").integers(2**63)))
            self.language = LearningLanguage(config, run, total_steps=objective.num_batches * config.training.epochs)
            self.tokens = self._tokens_of(data.items)
            # What stands around the language model begins alike, whatever of it learns: ways to tune can be compared.
            torch.manual_seed(int(run.rng("llm_sequential.around").integers(2**63)))
            self.network = self._new_network(versions)
            self._start_from()
            if begin is not None:
                check_base(self.language.key, begin.language.key, "llm_sequential.base")
                take_along(self, begin, all_the_same(begin))
        texts = item_texts(data.items, config.vectors.text)
        protections = self.language.protections(texts)
        if config.read_first:
            self.language.read(texts, config.read_first, run, protections=protections)
        self.curve = fit_network(
            self.network,
            objective,
            config,
            run,
            data=data,
            training=config.training,
            validate=validator(self, run, hide_seen=config.hide_seen, before=self.settle),
            terms=[*protections, *terms],
            base=self.language.key,
        )
        self.settle()
        return self

    def objective(self, data: Dataset) -> NextItem:
        """Return what is learned from a log of the items that are known."""
        from genre.training.next_item import NextItem

        config = self.config
        likes, others = among(self.known, data.interactions), None
        if (elsewhere := self.elsewhere) is not None:
            likes, others = elsewhere.in_training(likes, int(self.known.sum()), lambda network: network.items)
        return NextItem(
            likes,
            length=config.length,
            batch_size=config.training.batch_size,
            parts=config.training.accumulate,
            most=config.max_windows,
            others=others,
        )

    def moved(self, items: Entities, run: RunContext, *, same: NDArray[np.integer], align: bool) -> Self:
        """Return a model of another catalogue: new items are read by their texts, the same ones as here.

        Both share the language model, with what it has learned, and what is known of texts. Whose items this one began
        with is no matter there: their own vectors belong to this catalogue.

        Raises:
            DataError: None of the items has a text.
        """
        model = copy(self)
        model.config, model.start = self.config.model_copy(update={"start_from": None}), None
        model.elsewhere = None  # What people of this catalogue liked in a third one says nothing of others.
        model.reader, model.text = self.reader.moved(items, run, align=align)
        model.known = (same >= 0) & self.known[same]
        model.tokens = model._tokens_of(items)
        model.network = model._new_network()
        take_along(model, self, same)
        model.settle()
        return model

    def with_elsewhere(self, elsewhere: Elsewhere | None) -> Self:
        """Return the same model with what people liked in another catalogue, or without it."""
        model = copy(self)
        model.elsewhere, model.network = elsewhere, copy(self.network)
        model.settle()
        return model

    def begin_with(self, other: Self) -> None:
        """Let `fit` begin with what another model has learned, which was moved to this catalogue."""
        self._begin = other

    def index(self, items: Entities, run: RunContext) -> Self:
        """Return a model that knows the new items too, by their texts."""
        model = copy(self)
        new = items.behind(len(self.known))
        model.known = np.concatenate([self.known, np.zeros(len(new), bool)])
        model.text = np.concatenate([self.text, self.reader.of_items(new, run)])
        model.tokens = self._tokens_of(items)
        model.network = copy(self.network)
        model.settle()
        return model

    @property
    def scorable(self) -> NDArray[np.bool_]:
        """(I,) items that can be read and scored: known ones, and those with a text."""
        return self.known | np.asarray(self.text.any(axis=1))

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """Return (B, I) cosines over the temperature; nothing for a history without a like that can be read."""
        import torch

        from genre.training.next_item import last_hidden

        history = queries.history.liked()
        history = history.where(self.scorable[history.item_rows])
        if self.elsewhere is not None:
            history = self.elsewhere.joined(history, queries.user_rows, queries.times, len(self.known))
        scores = np.empty((len(queries), len(self.known)), np.float32)
        targets = self.network.targets(self.table)
        block = _BLOCK if self.table.device.type == "cpu" else _GPU_BLOCK
        for start in range(0, len(queries), block):
            rows = np.arange(start, min(start + block, len(queries)))
            with (
                torch.inference_mode(),
                torch.autocast(self.table.device.type, torch.bfloat16, enabled=self.language.in_bf16),
            ):
                hidden = last_hidden(self.network, history.take(rows), self.config.length, self.read)
            scores[rows] = (hidden.float() @ targets.T).cpu().numpy()
        scores[history.lengths == 0] = -np.inf
        return never_scored(scores, self.scorable)

    def similar(self, item_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return the cosines (len(item_rows), I) of the items' vectors."""
        unit = unit_rows(self.table.cpu().numpy())
        return never_scored(unit[item_rows] @ unit.T, self.scorable)

    def state(self) -> State:
        """Return the layers around the language model, what it learned, which one it was, and what texts say."""
        around = network_state(self.network, without="language.")
        reading = with_prefix(_READER, self.reader.state())
        tokens = {"tokens": self.tokens.tokens.numpy(), "lengths": self.tokens.lengths.numpy()}
        elsewhere = {} if self.elsewhere is None else self.elsewhere.state()
        own = {"text": self.text, "known": self.known, "curve": self.curve}
        return {**around, **self.language.state(), **reading, **tokens, **elsewhere, **own}

    def restore(self, state: State) -> None:
        """Take all of it back.

        Raises:
            DependencyError: The language model is not there.
            ModelError: It is not the one that this was learned with.
        """
        import torch

        from genre.recommenders.language_reader import ItemTokens

        self.known, self.text, self.curve = state["known"], state["text"], state["curve"]
        self.elsewhere = elsewhere_of(state)
        self.reader = TextVectors.restore(self.config.vectors, below(_READER, state))
        self.language = LearningLanguage(self.config, RunContext(), answers=True)
        tokens, lengths = (torch.from_numpy(np.array(state[name])) for name in ("tokens", "lengths"))
        self.tokens = ItemTokens(tokens, lengths)
        self.network = self._new_network()
        take_parameters(self.network, state, partly=True)
        self.language.restore(state)
        self.settle()

    def _tokens_of(self, items: Entities) -> ItemTokens:
        from genre.recommenders.language_reader import ItemTokens

        if self.config.history == "items":
            return ItemTokens.places_alone(len(items))
        wanted = self.config.vectors.text.model_copy(update={"max_tokens": self.config.title_tokens})
        texts = item_texts(items, wanted, required=False)
        tokenizer = self.language.loaded.tokenizer
        titles = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
        return ItemTokens.of(titles, tokenizer.eos_token_id, self.config.title_tokens + 1)

    def _new_network(self, versions: NDArray[np.float32] | None = None) -> LanguageReader:
        import torch

        from genre.recommenders.item_vectors import ItemVectors
        from genre.recommenders.language_reader import LanguageReader

        config = self.config
        vectors = ItemVectors(
            int(self.known.sum()),
            config.embedding_size,
            torch.from_numpy(self.text[self.known]),
            own_dropout=config.own_dropout,
            versions=None if versions is None else torch.from_numpy(versions),
            versions_share=config.versions.share,
        )
        num_others = 0 if self.elsewhere is None else len(self.elsewhere.text)
        network = LanguageReader(
            vectors,
            self.language.tuned,
            self.tokens.with_places(num_others),
            np.append(self.known, np.ones(num_others, bool)),
            temperature=config.temperature,
        )
        return network.to(self.language.loaded.model.device)

    def _start_from(self) -> None:
        """Let the items be those of another model."""
        if self.start is not None:
            start_items(self.network.items, self.known, self.text, self.config.vectors, self.start)
        elif self.config.start_from is not None:
            raise ConfigError(
                f"there is no model {self.config.start_from!r} to begin with",
                place="llm_sequential.start_from",
                remedy="Name a `sasrec` of the same experiment.",
            )

    def settle(self) -> None:
        """Work out how the items are read by now."""
        self.table = self.read = self.network.items.table(self.known, self.scorable, self.text)
        self.network.tokens = self.tokens
        if self.elsewhere is not None:
            self.read = self.elsewhere.table(self.table, self.network.items)
            self.network.tokens = self.tokens.with_places(len(self.elsewhere.text))
