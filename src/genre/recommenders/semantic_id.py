"""Generative retrieval: items have codes by what they are, and a transformer says the next item code by code.

Rajput et al.: Recommender Systems with Generative Retrieval (TIGER). NeurIPS 2023. Zheng et al.: Adapting Large
Language Models by Integrating Collaborative Semantics for Recommendation (LC-Rec). ICDE 2024, for a pretrained one.

Shapes: B queries, I items, n places, S levels of codes, T numbers of a text vector, C of a collaborative vector.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from genre.core.parts import below, with_prefix
from genre.core.queries import Candidates, Queries, Recommendations, Source
from genre.core.run import RunContext
from genre.data.dataset import Dataset, Entities
from genre.features.text import item_texts
from genre.features.vectors import TextVectors, VectorsConfig
from genre.language.whitening import WhiteningConfig
from genre.recommenders.base import DataSize, Estimate, Recommender, RecommenderConfig, State
from genre.recommenders.code_decoders import Decoder, PretrainedConfig, ScratchConfig
from genre.recommenders.learning_language import LearningLanguage
from genre.recommenders.members import validator
from genre.recommenders.semantic_codes import ResidualQuantiser, collaborative_vectors, numbers_among_equals, ridge
from genre.recommenders.trained import among, fit_network, network_state, take_parameters
from genre.recommenders.trie import Open, Trie
from genre.training.config import TrainingConfig

if TYPE_CHECKING:
    from torch import Tensor

    from genre.recommenders.code_language import CodeLanguage
    from genre.recommenders.code_transformer import CodeTransformer
    from genre.training.contracts import Protection

Floats = NDArray[np.float32]
_READER = "reader."
_BEAMS, _LANGUAGE_BEAMS = 1 << 12, 1 << 9
"""Beams that are followed at once: by a network of its own, and by a language model."""
_USUAL_EPOCHS = 25
_OPERATIONS = 4e10
"""Multiplications a second on two cores."""
_OF_SCRATCH = (
    *("embedding_size", "num_blocks", "num_decoder_blocks", "num_heads"),
    *("dropout", "own_dropout", "temperature", "training"),
)
"""Settings that a pretrained decoder has no use for."""


class SemanticIdConfig(RecommenderConfig):
    """Settings of `semantic_id`."""

    extra: ClassVar[str | None] = "torch"
    kind: Literal["semantic_id"] = "semantic_id"
    vectors: VectorsConfig = VectorsConfig(whitening=WhiteningConfig(strength=0.5, size=64))
    """Which text, read by what. Whitened by half and to few directions: k-means finds no clusters where all directions
    spread alike, and on Amazon Beauty twice as many items would then share all their codes with another."""
    collaborative: float = Field(default=0.5, ge=0, lt=1)
    """Share of an item's vector that says who likes it; the rest is its text. On Amazon Beauty, it makes the next
    item's codes easier to tell by a quarter of a nat. What nobody has liked gets this part guessed by its text."""
    collaborative_size: int = Field(default=64, ge=1)
    """Numbers that say who likes an item."""
    levels: int = Field(default=3, ge=1)
    """Codes of an item by what it is; one more tells it from others with the same."""
    codebook_size: int = Field(default=256, ge=1)
    """Codes of a level."""
    decoder: Decoder = ScratchConfig()
    """What reads histories and says codes. A pretrained one has a size and a `training` of its own; it is much slower,
    knows the words of the items' texts before it learns, and still writes (`genre guard`)."""
    embedding_size: int = Field(default=128, ge=1)
    num_blocks: int = Field(default=2, ge=1)
    """Of the encoder, which reads the history."""
    num_decoder_blocks: int = Field(default=1, ge=1)
    """Of the decoder, which says codes, four times as often as the encoder reads an item."""
    num_heads: int = Field(default=2, ge=1)
    length: int = Field(default=50, ge=1)
    """Newest likes of a history that are read. In training, longer histories are cut into several of this length."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Share of the numbers that a training step leaves out."""
    own_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of the prefixes that a training step knows by their last code alone, so that new ones are read and said
    well."""
    temperature: float = Field(default=0.07, gt=0)
    """Log-odds of a code are cosines divided by it."""
    beam_width: int = Field(default=30, ge=1)
    """Prefixes that are followed for each query; as many as answers are wanted, where those are more."""
    max_ranked: int = Field(default=100, ge=1)
    """Best items that a fusion is told of, which would have all ranked: every item more is a beam more. As many as the
    candidates that a fusion takes of each member."""
    max_validated: int = Field(default=2000, ge=1)
    """Validation questions that an epoch is judged by: a beam search for all of them would cost more than the epoch. A
    pretrained decoder of 135 million weights takes a third of a second of a core for each."""
    hide_seen: bool = True
    """Whether items of the history are no answers when the best epoch is chosen, as the evaluation's `hide_seen`."""
    training: TrainingConfig = TrainingConfig(batch_size=128, learning_rate=3e-3, patience=5)
    """A prefix has few targets to learn from. With a third of this learning rate and twice the dropout, four epochs on
    Amazon Beauty bring a third less validation NDCG@10; which of the two it is was not told apart."""

    @model_validator(mode="after")
    def _heads_divide_size(self) -> SemanticIdConfig:
        if self.embedding_size % self.num_heads:
            raise ValueError(f"`num_heads` {self.num_heads} does not divide `embedding_size` {self.embedding_size}")
        return self

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> SemanticIdConfig:
        if isinstance(self.decoder, PretrainedConfig):
            for name in _OF_SCRATCH:
                if (value := getattr(self, name)) != type(self).model_fields[name].default:
                    told = "it stands in `decoder`" if name == "training" else "leave it out"
                    raise ValueError(f"`{name}` {value!r} is of a decoder from scratch; with a pretrained one, {told}")
        return self

    @property
    def learning(self) -> PretrainedConfig | None:
        """What is chosen of its language model, if it has one."""
        return self.decoder if isinstance(self.decoder, PretrainedConfig) else None

    def with_learning(self, **changes: Any) -> Self:
        """Return the same with something else chosen of its language model."""
        return self.model_copy(update={"decoder": self.decoder.model_copy(update=changes)})

    def check_installed(self) -> None:
        """Make sure that the libraries are there, a language model's too.

        Raises:
            DependencyError: One of them is not.
        """
        super().check_installed()
        if self.learning is not None:
            self.learning.check_language()

    @property
    def reads(self) -> VectorsConfig:
        """Every item's text."""
        return self.vectors

    @property
    def num_ranked(self) -> int:
        """Its best, and no more."""
        return self.max_ranked

    def build(self, members: Mapping[str, Recommender]) -> SemanticId:
        """Return the unfitted component."""
        return SemanticId(self)

    def estimate(self, size: DataSize) -> Estimate:
        """Texts are read once, codes found by k-means; then every event is read once and said code by code."""
        if self.learning is not None:
            asked = min(self.max_validated, size.num_users) * (self.length + self.beam_width)
            return self.learning.estimate_codes(size, self.levels + 1, asked)
        steps, width = self.levels + 1, self.embedding_size
        weights = 6 * width**2 * self.num_blocks + steps * width * (8 * width * self.num_decoder_blocks)
        weights += self.levels * width * self.codebook_size
        epochs = min(self.training.epochs, _USUAL_EPOCHS)
        seconds = 6 * weights * size.num_events * epochs / _OPERATIONS + 5e-3 * size.num_items
        vectors = (5 + self.training.average) * self.levels * width
        numbers = (384 + 4 * self.collaborative_size + 8 * steps + vectors) * size.num_items
        return Estimate(memory=4 * numbers + (600 << 20) + 96 * size.num_events, seconds=seconds)


class SemanticId:
    """``log P(i) = sum_l log P(c_l | history, c_1 ... c_{l-1})``, where c are the codes of item i (`CodeTransformer`).

    Each P is a softmax over the codes that follow the same prefix in the catalogue, so P(i) sums to 1 over the items.

    An item's vector is its whitened text beside the leading directions of who likes it; residual k-means turns it into
    `levels` codes (`ResidualQuantiser`), and one more number tells items apart that share all of them, the most liked
    first. Alike items share their first codes, so what is learned of one is learned of its likes. An item that nobody
    liked in training gets the codes of its text; among items with the same, it is said like the first, since nothing
    was learned that would tell it apart. An item without a text is known by its likes alone, and if it has none of
    these either, it is neither read nor said.

    A pretrained decoder is a language model to which codes are new tokens (`CodeLanguage`): ``P`` is its softmax over
    the same codes, `protect` keeps it able to write, and `language` writes.

    Answers come from a beam search over the codes of the catalogue as it is now, so that each is an item, none comes
    twice and none is hidden (`Trie`, `Open`). It ranks and does not score: to score all items, the decoder would have
    to say every code after every prefix, some 20,000 steps a query on Amazon Beauty in place of a hundred. Needs
    `(levels + 1) * num_items * embedding_size` floats at most to answer, six times as many to fit; with a
    language model, the numbers of its hidden states count in place of `embedding_size`.
    """

    network: CodeTransformer | CodeLanguage
    reader: TextVectors
    """Turns texts into vectors."""
    guess: Floats
    """(T, C) who likes an item, by its text."""
    quantiser: ResidualQuantiser
    codes: NDArray[np.int64]
    """(I, S) of each item; zeros for an item without."""
    coded: NDArray[np.bool_]
    """(I,) items that have codes."""
    known: NDArray[np.bool_]
    """(I,) those of them that somebody liked in training."""
    curve: NDArray[np.float64]
    """(epochs, 2) training loss and validation NDCG@10, NaN where not validated."""
    trie: Trie
    """The catalogue as it is now."""
    vectors: list[Tensor]
    """Of each level, the nodes of the trie as they are read."""
    prefixes: Tensor
    """(I, S) the nodes on the way to each item; zeros for an item without codes."""
    said: list[Tensor]
    """The nodes as what is said is compared with them."""
    language: LearningLanguage
    """What says codes and writes; there with a pretrained decoder only."""

    def __init__(self, config: SemanticIdConfig) -> None:
        """Keep the settings; nothing is learned yet."""
        self.config = config

    def fit(self, data: Dataset, run: RunContext) -> Self:
        """Give every item its codes, then train until the validation events are predicted no better.

        Raises:
            ConfigError: The language model reads less than `length` items, or has no layers of the names in
                `tuning.modules`.
            DataError: No item has a text.
            DependencyError: The encoder or the language model is not there.
            ModelError: The loss is not a number.
            ResourceError: The memory does not suffice.
        """
        import torch

        from genre.training.next_codes import NextCodes, Prefixes

        config, learning = self.config, self.config.learning
        training = config.training if learning is None else learning.training
        self._give_codes(data, run)
        trie = self._trained_on()
        objective = NextCodes(
            among(self.known, data.interactions),
            Prefixes(trie.nodes_of(np.arange(len(trie.items))), trie.children),
            length=config.length,
            batch_size=training.batch_size,
            parts=training.accumulate,
        )
        if not objective.num_batches:  # Nobody liked two things: what would be said is noise.
            self.known[:] = self.coded[:] = False
        protections: list[Protection] = []
        with torch.random.fork_rng():
            torch.manual_seed(int(run.rng("semantic_id").integers(2**63)))
            if learning is not None:
                total_steps = objective.num_batches * training.epochs
                self.language = learning.load(self._sizes, config.length, run, total_steps=total_steps)
                texts = item_texts(data.items, config.vectors.text)
                protections = self.language.protections(texts)
                learning.begin(self.language, texts, self.codes, self.coded, self._sizes)
            self.network = self._new_network()
        self.curve = fit_network(
            self.network,
            objective,
            config,
            run,
            data=data,
            training=training,
            validate=validator(self, run, hide_seen=config.hide_seen, before=self._settle, most=config.max_validated),
            terms=protections,
            base=None if learning is None else self.language.key,
        )
        self._settle()
        return self

    def index(self, items: Entities, run: RunContext) -> Self:
        """Return a model of a longer catalogue: new items have codes by their text at once."""
        model = copy(self)
        text = self.reader.of_items(items.behind(len(self.codes)), run)
        readable = text.any(axis=1) & self.coded.any()
        codes = np.zeros((len(text), self.codes.shape[1]), np.int64)
        codes[readable, :-1] = self.quantiser.codes(self._vectors(text[readable], text[readable] @ self.guess))
        model.codes = np.concatenate([self.codes, codes])
        model.coded = np.concatenate([self.coded, readable])
        model.known = np.concatenate([self.known, np.zeros(len(text), bool)])
        model._settle()
        return model

    def recommend(self, queries: Queries, n: int, *, candidates: Candidates | None = None) -> Recommendations:
        """Return the n items that a beam search finds; none for a history without an item that has codes."""
        import torch

        from genre.recommenders.beam import search

        answer = Recommendations.empty(len(queries), n)
        history = queries.history.liked()
        history = history.where(self.coded[history.item_rows]).last(self.config.length)
        asked = np.flatnonzero(history.lengths)
        width = min(max(n, self.config.beam_width), len(self.trie.items))
        beams = _BEAMS if self.config.learning is None else _LANGUAGE_BEAMS
        size, places = max(1, beams // max(1, width)), min(n, width)
        with torch.inference_mode():
            for start in range(0, len(asked) if places else 0, size):
                rows = asked[start : start + size]
                opened = Open(self.trie, (candidates or Candidates()).take(rows), len(rows))
                hidden, memory = self.network.read(history.take(rows), self.prefixes, self.vectors)
                items, scores = search(self.network, hidden, self.vectors, self.said, self.trie, opened, width, memory)
                answer.item_rows[rows, :places], answer.scores[rows, :places] = items[:, :places], scores[:, :places]
        answer.sources[answer.filled] = Source.PERSONAL
        return answer

    def state(self) -> State:
        """Return what was learned, the codes and what they were found by, and how training went."""
        reading = with_prefix(_READER, self.reader.state())
        found = {"codes": self.codes, "coded": self.coded, "known": self.known, "guess": self.guess}
        scratch = self.config.learning is None
        learned = network_state(self.network) if scratch else self.language.state()
        return {**learned, **reading, **self.quantiser.state(), **found, "curve": self.curve}

    def restore(self, state: State) -> None:
        """Take all of it back.

        Raises:
            DependencyError: The language model is not there.
            ModelError: It is not the one that this was learned with.
        """
        self.codes, self.coded, self.known = state["codes"], state["coded"], state["known"]
        self.guess, self.curve = state["guess"], state["curve"]
        self.quantiser = ResidualQuantiser.restore(state)
        self.reader = TextVectors.restore(self.config.vectors, below(_READER, state))
        if self.config.learning is not None:
            self.language = self.config.learning.load(self._sizes, self.config.length, RunContext())
            self.language.restore(state)
        self.network = self._new_network()
        if self.config.learning is None:
            take_parameters(self.network, state)
        self.network.eval()
        self._settle()

    def _give_codes(self, data: Dataset, run: RunContext) -> None:
        """Find out what items get their codes by, and give them."""
        config, log, rng = self.config, data.interactions, run.rng("semantic_id.codes")
        counts = log.item_counts(data.num_items)
        liked = counts > 0
        self.reader, text = TextVectors.fit(config.vectors, data.items, liked, run)
        likes = collaborative_vectors(log, data.num_items, config.collaborative_size, rng)
        readable = text.any(axis=1)
        self.guess = ridge(text[liked & readable], likes[liked & readable])
        likes[~liked] = text[~liked] @ self.guess
        self.coded = readable | (liked & bool(config.collaborative))
        known = self.known = self.coded & liked
        vectors = self._vectors(text, likes)
        learned_from = vectors[known if known.any() else self.coded]
        self.quantiser = ResidualQuantiser.fit(learned_from, config.levels, config.codebook_size, rng)
        self.codes = np.zeros((data.num_items, config.levels + 1), np.int64)
        self.codes[self.coded, :-1] = self.quantiser.codes(vectors[self.coded])
        most_liked_first = np.argsort(-counts[known], kind="stable")
        self.codes[known, -1] = numbers_among_equals(self.codes[known, :-1], most_liked_first)

    def _vectors(self, text: Floats, likes: Floats) -> Floats:
        """Return what is quantised (I, T + C)."""
        share = np.float32(self.config.collaborative)
        return np.concatenate([np.sqrt(1 - share) * text, np.sqrt(share) * likes], axis=1)

    def _trained_on(self) -> Trie:
        """Return the trie of the items that training knows, counted among themselves."""
        codes = self.codes[self.known]
        return Trie.of(codes, np.ones(len(codes), bool))

    @property
    def _sizes(self) -> tuple[int, ...]:
        """Codes of each level."""
        return (*self.quantiser.sizes, int(self.codes[:, -1].max(initial=0)) + 1)

    def _new_network(self) -> CodeTransformer | CodeLanguage:
        import torch

        from genre.recommenders.code_language import CodeLanguage
        from genre.recommenders.code_transformer import CodeTransformer

        config, sizes = self.config, self._sizes
        codes = [torch.from_numpy(codes) for codes in self._trained_on().codes]
        if config.learning is not None:
            network = CodeLanguage(self.language.tuned, codes, sizes)
            return network.to(self.language.loaded.model.device)
        return CodeTransformer(
            codes,
            sizes,
            size=config.embedding_size,
            num_blocks=config.num_blocks,
            num_decoder_blocks=config.num_decoder_blocks,
            num_heads=config.num_heads,
            length=config.length,
            dropout=config.dropout,
            own_dropout=config.own_dropout,
            temperature=config.temperature,
        )

    def _settle(self) -> None:
        """Build the trie of the catalogue as it is now, and work out how its nodes are read."""
        import torch

        self.trie = Trie.of(self.codes, self.coded)
        trained = self._trained_on()
        here, there = (self.trie.nodes_of(np.flatnonzero(self.known)), trained.nodes_of(np.arange(len(trained.items))))
        device, self.vectors = next(self.network.parameters()).device, []
        with torch.inference_mode():
            for level, codes in enumerate(self.trie.codes):
                rows = np.full(len(codes), -1, np.int64)
                rows[here[:, level]] = there[:, level]
                ends, own = (torch.from_numpy(part).to(device) for part in (codes, rows))
                self.vectors.append(self.network.vectors_of(level, ends, own))
            self.said = [self.network.targets(nodes) for nodes in self.vectors]
        prefixes = np.zeros_like(self.codes)
        prefixes[self.coded] = self.trie.nodes_of(np.flatnonzero(self.coded))
        self.prefixes = torch.from_numpy(prefixes).to(device)
