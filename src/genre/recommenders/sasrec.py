"""SASRec: self-attention over the history says what comes next.

Wang-Cheng Kang, Julian McAuley: Self-Attentive Sequential Recommendation. ICDM 2018. With all items in the softmax
in place of one sampled negative: Klenitskiy, Vasilev: Turning Dross Into Gold Loss. RecSys 2023.

Shapes: B queries, I items, D numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from genre.core.config import Config
from genre.core.errors import ModelError
from genre.core.interactions import Interactions
from genre.core.parts import below, with_prefix
from genre.core.queries import Queries
from genre.core.run import RunContext
from genre.data import sequences
from genre.data.dataset import Dataset, Entities
from genre.features.vectors import TextVectors, VectorsConfig
from genre.features.versions import VersionsConfig
from genre.language.base import unit_rows
from genre.recommenders.base import (
    DataSize,
    Estimate,
    Recommender,
    ScoringRecommender,
    State,
    never_scored,
)
from genre.recommenders.compact import Compact, CompactConfig
from genre.recommenders.elsewhere import Elsewhere, elsewhere_of
from genre.recommenders.learning_on import learned_on
from genre.recommenders.members import validator
from genre.recommenders.moving import all_the_same, take_along
from genre.recommenders.sparse import best_of_rows
from genre.recommenders.trained import among, fit_network, known_of, network_state, take_parameters, to_learn_from
from genre.training.config import TrainingConfig, UpdatingConfig

if TYPE_CHECKING:
    from torch import Tensor

    from genre.recommenders.transformer import Transformer
    from genre.training.contracts import Term
    from genre.training.loss import ItemLoss
    from genre.training.next_item import Augmentation, NextItem

_READER = "reader."
_NUM_SIMILAR = 5
_USUAL_EPOCHS = 40


class ItemTextConfig(Config):
    """How an item's text is part of its vector. The defaults were found on the validation events of Amazon Beauty."""

    vectors: VectorsConfig = VectorsConfig()
    """Which text, read by what."""
    versions: VersionsConfig = VersionsConfig()
    """Which other versions of the text training may read."""
    own: bool = True
    """Whether items have vectors of their own beside what their text says; without, text decides alone."""
    own_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of the items whose own vectors a training step leaves out, so that items without one are scored well."""
    start_from_text: bool = False
    """Whether the items' own vectors begin as the leading directions of their texts."""
    hidden: int = Field(default=0, ge=0)
    """Width of the layer between a text's vector and the item's; 0 for none."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of that layer's numbers that a training step leaves out."""

    @property
    def network(self) -> dict[str, Any]:
        """Return what `ItemVectors` is built with."""
        return self.model_dump(include={"own", "own_dropout", "hidden", "dropout"})


class SasrecConfig(CompactConfig):
    """Settings of `sasrec`. The defaults were found on the validation events of Amazon Beauty."""

    extra: ClassVar[str | None] = "torch"
    kind: Literal["sasrec"] = "sasrec"
    embedding_size: int = Field(default=128, ge=1)
    """Numbers for each item and place. Half as many find about 1 % less on Amazon Beauty, in half the time an epoch and
    twice the epochs."""
    num_blocks: int = Field(default=2, ge=1)
    num_heads: int = Field(default=1, ge=1)
    length: int = Field(default=50, ge=1)
    """Newest likes of a history that are read. In training, longer histories are cut into several of this length."""
    dropout: float = Field(default=0.6, ge=0, lt=1)
    """Share of the numbers that a training step leaves out. Sparse logs want much of it."""
    block: Literal["classic", "ligr"] = "classic"
    """`classic` is the paper's block; `ligr` puts a gate on every branch and SwiGLU between (eSASRec)."""
    time_aware: bool = False
    """Whether the attention knows how much time lies between two likes, in logarithmic buckets (as HSTU does)."""
    loss: Literal["full", "sampled", "gbce"] = "full"
    """`full` compares with all items, `sampled` and `gbce` with `num_negatives` of them. Full is more accurate, and
    fast up to some 100,000 items."""
    num_negatives: int = Field(default=256, ge=1)
    """Items sampled at each step, the same for all places of the step. Not used by the full loss."""
    temperature: float | None = Field(default=0.07, gt=0)
    """Scores are cosines divided by it; none takes plain products of vectors, which find 5 % less on Amazon Beauty."""
    augment: tuple[Literal["crop", "mask", "reorder", "substitute", "prefix"], ...] = ()
    """Ways to alter the histories of a training step, one of which is chosen at random."""
    augment_share: float = Field(default=0.2, gt=0, lt=1)
    """Share of a history that is cut off, left out, shuffled or replaced."""
    contrastive: float = Field(default=0.0, ge=0)
    """Weight of the term that draws two altered copies of a history together (CL4SRec); without `augment`, they differ
    by dropout alone (DuoRec)."""
    text: ItemTextConfig | None = None
    """How items are read as texts too; without, an item is what its likes say, and new items cannot be scored."""
    hide_seen: bool = True
    """Whether items of the history are no answers when the best epoch is chosen, as the evaluation's `hide_seen`."""
    training: TrainingConfig = TrainingConfig()
    updating: UpdatingConfig = UpdatingConfig()
    """How it learns on from new events."""

    @model_validator(mode="after")
    def _heads_divide_size(self) -> SasrecConfig:
        if self.embedding_size % self.num_heads:
            raise ValueError(f"`num_heads` {self.num_heads} does not divide `embedding_size` {self.embedding_size}")
        return self

    @property
    def reads(self) -> VectorsConfig | None:
        """How texts become vectors, if they are read."""
        return None if self.text is None else self.text.vectors

    @property
    def reads_in_training(self) -> VersionsConfig:
        """Other versions of the texts."""
        return VersionsConfig() if self.text is None else self.text.versions

    @property
    def has_item_vectors(self) -> bool:
        """It learns one of each item."""
        return True

    def build(self, members: Mapping[str, Recommender]) -> Sasrec | Compact:
        """Return the unfitted component."""
        return Sasrec(self) if self.form == "torch" else Compact(self)

    def estimate(self, size: DataSize) -> Estimate:
        """Vectors with what the optimizer keeps of them, and as many epochs as early stopping usually leaves."""
        numbers = size.num_items * self.embedding_size
        held = 5 + self.training.average
        compared = size.num_items if self.loss == "full" else self.num_negatives
        step = 4e-11 * compared * self.embedding_size + 1e-7 * self.num_blocks * self.embedding_size
        return Estimate(
            memory=4 * held * numbers + 128 * size.num_items + (400 << 20) + 64 * size.num_events,
            seconds=min(self.training.epochs, _USUAL_EPOCHS) * size.num_events * step,
        )


class Sasrec(ScoringRecommender[SasrecConfig]):
    """Predict at every place of a history what comes next.

    ``score(i) = h . v_i``, where h is what a causal transformer makes of the vectors v of the newest `length` likes,
    with positions counted from the end. Trained to ``-log softmax(h V')`` of the next like at every place, over the
    items of the training log, with the same v on both sides; the epoch that is best on validation NDCG@10 is kept.
    With `text`, ``v_i = u_i + g(text_i)``: see `ItemVectors`; items that nobody liked in training are then read and
    scored by their text. Without, they cannot be scored, and a history without a known item cannot be answered. Needs
    `num_items * embedding_size` floats to answer, about six times as many to fit, and never the scores of all items for
    all places.
    """

    network: Transformer
    known: NDArray[np.bool_]
    """(I,) items that somebody liked in training, or that a teacher spoke of."""
    curve: NDArray[np.float64]
    """(epochs, 2) training loss and validation NDCG@10, NaN where not validated."""
    reader: TextVectors | None = None
    """Turns texts into vectors."""
    text: NDArray[np.float32] | None = None
    """(I, T) vectors of the items' texts, zeros for an item without."""
    table: Tensor
    """(I, D) the items as they are read."""
    read: Tensor
    """(I + F, D) all that may stand in histories: the items, and behind them F of the catalogue that it came from."""
    elsewhere: Elsewhere | None = None
    """What people liked in the catalogue that it came from."""
    _begin: Self | None = None
    """What learning begins with."""
    _of_table: tuple[Tensor, Tensor, NDArray[np.bool_]] | None = None
    """`table`, and what `_settled` has made of it."""

    def fit(self, data: Dataset, run: RunContext, *, terms: Sequence[Term] = ()) -> Self:
        """Train until the validation events are predicted no better; without any, for all epochs.

        Args:
            data: What is learned from.
            run: Holds the validation questions.
            terms: What is added to the loss of each step.

        Raises:
            DataError: Texts shall be read, and there are none.
            ModelError: The loss is not a number.
            ResourceError: The memory does not suffice.
        """
        import torch

        config = self.config
        self.known = known_of(data, terms)
        versions, begin = None, self._begin
        if config.text is not None:
            if begin is None or begin.reader is None:
                self.reader, self.text = TextVectors.fit(config.text.vectors, data.items, self.known, run)
            else:
                self.reader, self.text = begin.reader, begin.text
            versions = self.reader.versions(data.items, self.known, config.text.versions, run)
        with torch.random.fork_rng():
            torch.manual_seed(int(run.rng("sasrec").integers(2**63)))
            self.network = self.new_network(versions)
            self._start_from_text()
            if begin is not None:
                take_along(self, begin, all_the_same(begin))
                self.elsewhere = begin.elsewhere
        objective = to_learn_from(self.objective(data), terms)
        if not objective.num_batches:  # Nobody liked two things: what would be said is noise.
            self.known[:] = False
            self.text = None if self.text is None else np.zeros_like(self.text)
            self.network = self.new_network()
        self.curve = fit_network(
            self.network,
            objective,
            config,
            run,
            data=data,
            training=config.training,
            validate=validator(self, run, hide_seen=config.hide_seen, before=self.settle),
            terms=terms,
        )
        self.settle()
        return self

    def update(self, data: Dataset, new: NDArray[np.bool_], run: RunContext) -> Self:
        """Return a model that has learned on from the new events, beside old ones; see `learned_on`."""
        return learned_on(self, data, new, run)

    def objective(self, data: Dataset, windows: Interactions | None = None) -> NextItem:
        """Return what is learned from a log of the items that are known, or from some windows of it."""
        from genre.training.next_item import NextItem

        config, log, known = self.config, data.interactions, int(self.known.sum())
        likes, others = among(self.known, log if windows is None else windows), None
        if (elsewhere := self.elsewhere) is not None and windows is None:
            likes, others = elsewhere.in_training(likes, known, lambda network: network.items)
        return NextItem(
            likes,
            length=config.length,
            batch_size=config.training.batch_size,
            parts=config.training.accumulate,
            loss=self._loss(log.item_counts(data.num_items)[self.known]),
            augmentations=self._augmentations(data),
            contrastive=config.contrastive,
            others=others,
        )

    def index(self, items: Entities, run: RunContext) -> Self:
        """Return a model of a longer catalogue. New items are scored if it reads texts; if not, they are left out."""
        model = copy(self)
        new = items.behind(len(self.known))
        model.known = np.concatenate([self.known, np.zeros(len(new), bool)])
        if self.reader is not None and self.text is not None:
            model.text = np.concatenate([self.text, self.reader.of_items(new, run)])
        model.settle()
        return model

    def moved(self, items: Entities, run: RunContext, *, same: NDArray[np.integer], align: bool) -> Self:
        """Return a model of another catalogue: new items are read by their texts, the same ones as here.

        Raises:
            DataError: None of the items has a text.
            ModelError: This model does not read texts.
        """
        if self.reader is None:
            raise ModelError(
                "it knows items by their likes alone, and says nothing of others",
                place="sasrec",
                remedy="Give it `text`, and run the source again.",
            )
        model = copy(self)
        model.elsewhere = None  # What people of this catalogue liked in a third one says nothing of others.
        model.reader, model.text = self.reader.moved(items, run, align=align)
        model.known = (same >= 0) & self.known[same]
        model.network = model.new_network()
        take_along(model, self, same)
        model.settle()
        return model

    def with_elsewhere(self, elsewhere: Elsewhere | None) -> Self:
        """Return the same model with what people liked in another catalogue, or without it."""
        model = copy(self)
        model.elsewhere = elsewhere
        model.settle()
        return model

    def begin_with(self, other: Self) -> None:
        """Let `fit` begin with what another model has learned, which was moved to this catalogue."""
        self._begin = other

    @property
    def scorable(self) -> NDArray[np.bool_]:
        """(I,) items that can be read and scored: known ones, and those with a text."""
        return self.known if self.text is None else self.known | self.text.any(axis=1)

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """Return (B, I) products h . v; nothing for a history without a like of an item that can be read."""
        import torch

        from genre.training.next_item import last_hidden

        targets, scorable = self._settled()
        history = queries.history.liked()
        history = history.where(scorable[history.item_rows])
        if self.elsewhere is not None:
            history = self.elsewhere.joined(history, queries.user_rows, queries.times, len(self.known))
        with torch.inference_mode():
            hidden = last_hidden(self.network, history, self.config.length, self.read)
            scores: NDArray[np.float32] = (hidden @ targets.T).cpu().numpy()
        scores[history.lengths == 0] = -np.inf
        return never_scored(scores, scorable)

    def _settled(self) -> tuple[Tensor, NDArray[np.bool_]]:
        """Return the items (I, D) as they are scored, and which are: the same until the model is settled again."""
        import torch

        if self._of_table is None or self._of_table[0] is not self.table:
            with torch.inference_mode():
                self._of_table = self.table, self.network.targets(self.table), self.scorable
        return self._of_table[1:]

    def similar(self, item_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return the cosines (len(item_rows), I) of the items' vectors."""
        unit = unit_rows(self.table.cpu().numpy())
        return never_scored(unit[item_rows] @ unit.T, self.scorable)

    def state(self) -> State:
        """Return the network's parameters, which items are known, what texts say, and how training went."""
        reading = {} if self.reader is None else with_prefix(_READER, self.reader.state())
        text = {} if self.text is None else {"text": self.text}
        elsewhere = {} if self.elsewhere is None else self.elsewhere.state()
        own = {"known": self.known, "curve": self.curve}
        return {**network_state(self.network), **reading, **text, **elsewhere, **own}

    def restore(self, state: State) -> None:
        """Take the parameters back."""
        self.known, self.curve, self.elsewhere = state["known"], state["curve"], elsewhere_of(state)
        if self.config.text is not None:
            self.reader = TextVectors.restore(self.config.text.vectors, below(_READER, state))
            self.text = state["text"]
        self.network = self.new_network()
        take_parameters(self.network, state)
        self.settle()

    def empty_network(self, text_size: int | None) -> Transformer:
        """Return a network of one item, to take parameters; for a model that was not fitted.

        Args:
            text_size: Numbers of a text's vector, if texts are read.
        """
        self.known = np.ones(1, bool)
        self.text = None if text_size is None else np.zeros((1, text_size), np.float32)
        return self.new_network()

    def new_network(self, versions: NDArray[np.float32] | None = None) -> Transformer:
        """Return a network that has learned nothing, of the items that are known; `versions` as in `ItemVectors`."""
        import torch

        from genre.recommenders.item_vectors import ItemVectors
        from genre.recommenders.transformer import Transformer

        config = self.config
        text = None if self.text is None else torch.from_numpy(self.text[self.known])
        reading: dict[str, Any] = {}
        if config.text is not None:
            reading = config.text.network
            if versions is not None:
                reading |= {"versions": torch.from_numpy(versions), "versions_share": config.text.versions.share}
        return Transformer(
            ItemVectors(int(self.known.sum()), config.embedding_size, text, **reading),
            num_blocks=config.num_blocks,
            num_heads=config.num_heads,
            length=config.length,
            dropout=config.dropout,
            block=config.block,
            time_aware=config.time_aware,
            temperature=config.temperature,
        )

    def _start_from_text(self) -> None:
        """Let the items' own vectors begin as the leading directions of their texts."""
        import torch

        own = self.network.items.own
        if self.config.text is None or not self.config.text.start_from_text or own is None or self.text is None:
            return
        text = torch.from_numpy(self.text[self.known][:, : own.embedding_dim])
        if text.numel() and float(text.std()) > 0:
            own.weight.data[:, : text.shape[1]] = text * (own.weight.std() / text.std())

    def settle(self) -> None:
        """Work out how the items are read by now."""
        self.table = self.read = self.network.items.table(self.known, self.scorable, self.text)
        if self.elsewhere is not None:
            self.read = self.elsewhere.table(self.table, self.network.items)

    def _loss(self, counts: NDArray[np.float64]) -> ItemLoss:
        from genre.training.loss import GbceLoss, SampledSoftmaxLoss, softmax_loss

        if self.config.loss == "full":
            return softmax_loss
        if self.config.loss == "gbce":
            return GbceLoss(self.config.num_negatives)
        return SampledSoftmaxLoss(self.config.num_negatives, counts)

    def _augmentations(self, data: Dataset) -> list[Augmentation]:
        share = self.config.augment_share
        ways: dict[str, Callable[[], Augmentation]] = {
            "crop": lambda: partial(sequences.crop, share=1 - share),
            "mask": lambda: partial(sequences.mask, share=share),
            "reorder": lambda: partial(sequences.reorder, share=share),
            "substitute": lambda: partial(sequences.substitute, share=share, similar=self._similar(data)),
            "prefix": lambda: sequences.prefix,
        }
        return [ways[name]() for name in self.config.augment]

    def _similar(self, data: Dataset) -> NDArray[np.int32]:
        """Return (known items, 5) those most often liked by the same people, by cosine; -1 where there are fewer."""
        users = among(self.known, data.interactions).to_binary_csr(int(self.known.sum()))
        both = (users.T @ users).tocsr()
        norms = np.sqrt(np.maximum(both.diagonal(), 1)).astype(np.float32)
        both.setdiag(0)
        both.eliminate_zeros()
        both.data /= np.repeat(norms, np.diff(both.indptr)) * norms[both.indices]
        found = best_of_rows(both, _NUM_SIMILAR)[0]
        others = 0 if self.elsewhere is None else len(self.elsewhere.text)  # Nothing here is like those.
        return np.concatenate([found, np.full((others, found.shape[1]), -1, found.dtype)])
