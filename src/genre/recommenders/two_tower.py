"""Two towers: one reads the history, one reads the item's text, and what goes together is close.

Yi et al.: Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations. RecSys 2019.

Shapes: B queries, I items, T numbers of a text vector, D numbers of a tower's vector.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from genre.core.interactions import Interactions
from genre.core.parts import below, with_prefix
from genre.core.queries import Candidates, Queries, Recommendations, Source
from genre.core.run import RunContext
from genre.core.topn import top_n
from genre.data.dataset import Dataset, Entities
from genre.features.vectors import TextVectors, VectorsConfig
from genre.features.versions import VersionsConfig
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
from genre.recommenders.nearest import Nearest
from genre.recommenders.trained import among, fit_network, known_of, network_state, take_parameters, to_learn_from
from genre.training.config import TrainingConfig, UpdatingConfig

if TYPE_CHECKING:
    from torch import Tensor

    from genre.recommenders.towers import TwoTowers
    from genre.training.contracts import Term
    from genre.training.towers import InBatch

Floats = NDArray[np.float32]
_READER = "reader."
_NEIGHBOURS = 20
"""Items whose texts are nearest to a target's, from which hard negatives are drawn."""
_BLOCK = 1024


class TwoTowerConfig(CompactConfig):
    """Settings of `two_tower`."""

    extra: ClassVar[str | None] = "torch"
    kind: Literal["two_tower"] = "two_tower"
    vectors: VectorsConfig = VectorsConfig()
    """Which text, read by what."""
    versions: VersionsConfig = VersionsConfig()
    """Which other versions of the text training may read."""
    embedding_size: int = Field(default=128, ge=1)
    hidden: int = Field(default=256, ge=1)
    """Width of the layer in the history's tower."""
    length: int = Field(default=20, ge=1)
    """Newest likes of a history that are read."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    own: bool = False
    """Whether items have vectors of their own beside what their text says."""
    own_dropout: float = Field(default=0.2, ge=0, lt=1)
    """Share of the items whose own vectors a training step leaves out, so that items without one are scored well."""
    temperature: float = Field(default=0.07, gt=0)
    """Cosines are divided by it."""
    num_hard: int = Field(default=2, ge=0)
    """Hard negatives of each choice: items that read like the chosen one, and that the person does not like."""
    hide_seen: bool = True
    """Whether items of the history are no answers when the best epoch is chosen, as the evaluation's `hide_seen`."""
    training: TrainingConfig = TrainingConfig(epochs=40, batch_size=1024, learning_rate=3e-3, patience=4)
    """A batch's choices are each other's negatives: small batches make the task too easy."""
    updating: UpdatingConfig = UpdatingConfig()
    """How it learns on from new events."""

    @property
    def reads(self) -> VectorsConfig:
        """Every item's text."""
        return self.vectors

    @property
    def reads_in_training(self) -> VersionsConfig:
        """Other versions of the texts."""
        return self.versions

    @property
    def reads_only(self) -> bool:
        """Items have no vectors of their own, by default."""
        return not self.own

    @property
    def has_item_vectors(self) -> bool:
        """It learns one of each item."""
        return True

    def build(self, members: Mapping[str, Recommender]) -> TwoTower | Compact:
        """Return the unfitted component."""
        return TwoTower(self) if self.form == "torch" else Compact(self, Source.CONTENT)

    def estimate(self, size: DataSize) -> Estimate:
        """Texts are read once; a step costs the products of a batch with itself."""
        seconds = 30 * size.num_events * 3e-5 + 2e-3 * size.num_items
        return Estimate(memory=16 * 512 * size.num_items + (500 << 20) + 64 * size.num_events, seconds=seconds)


class TwoTower(ScoringRecommender[TwoTowerConfig]):
    """``score(i) = q(history) . c(text_i)``, both of length 1: see `TwoTowers`.

    Trained to tell the next like from what others liked next, corrected for how often items are liked, and from items
    that read alike. With `own`, an item's vector is ``u_i + g(text_i)`` (see `ItemVectors`). Items that nobody liked in
    training are scored by their text at once; those without a text, and histories without a readable item, are not.
    Answers are the nearest of `num_items * embedding_size` floats.
    """

    source = Source.CONTENT
    network: TwoTowers
    known: NDArray[np.bool_]
    """(I,) items that somebody liked in training, or that a teacher spoke of."""
    reader: TextVectors
    text: Floats
    """(I, T) vectors of the items' texts."""
    curve: NDArray[np.float64]
    """(epochs, 2) training loss and validation NDCG@10, NaN where not validated."""
    table: Tensor
    """(I, D) the items as histories read them."""
    read: Tensor
    """(I + F, D) the same, and behind them F items of the catalogue that it came from."""
    items: Nearest
    """The items as histories are compared with them."""
    elsewhere: Elsewhere | None = None
    """What people liked in the catalogue that it came from."""
    _begin: Self | None = None
    """What learning begins with."""

    def fit(self, data: Dataset, run: RunContext, *, terms: Sequence[Term] = ()) -> Self:
        """Read the items, then train until the validation events are predicted no better.

        Args:
            data: What is learned from.
            run: Holds the validation questions.
            terms: What is added to the loss of each step.

        Raises:
            DataError: No item has a text.
            ModelError: The loss is not a number.
        """
        import torch

        config = self.config
        self.known = known_of(data, terms)
        begin = self._begin
        if begin is None:
            self.reader, self.text = TextVectors.fit(config.vectors, data.items, self.known, run)
        else:
            self.reader, self.text = begin.reader, begin.text
        versions = self.reader.versions(data.items, self.known, config.versions, run)
        with torch.random.fork_rng():
            torch.manual_seed(int(run.rng("two_tower").integers(2**63)))
            self.network = self.new_network(versions)
            if begin is not None:
                take_along(self, begin, all_the_same(begin))
                self.elsewhere = begin.elsewhere
        self.curve = fit_network(
            self.network,
            to_learn_from(self.objective(data), terms),
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

    def objective(self, data: Dataset, windows: Interactions | None = None) -> InBatch:
        """Return what is learned from a log of the items that are known, or from some windows of it."""
        from genre.training.towers import InBatch

        config, known = self.config, int(self.known.sum())
        likes, others = among(self.known, data.interactions if windows is None else windows), None
        occurring = np.unique(likes.item_rows)
        if (elsewhere := self.elsewhere) is not None and windows is None:
            likes, others = elsewhere.in_training(likes, known, lambda network: network.vectors)
        return InBatch(
            likes,
            known,
            length=config.length,
            batch_size=config.training.batch_size,
            parts=config.training.accumulate,
            temperature=config.temperature,
            neighbours=_neighbours(self.text[self.known], occurring) if config.num_hard else None,
            num_hard=config.num_hard,
            others=others,
        )

    def index(self, items: Entities, run: RunContext) -> Self:
        """Return a model that scores the new items too."""
        model = copy(self)
        new = self.reader.of_items(items.behind(len(self.text)), run)
        model.text = np.concatenate([self.text, new])
        model.known = np.concatenate([self.known, np.zeros(len(new), bool)])
        model.settle(self.items)
        return model

    def moved(self, items: Entities, run: RunContext, *, same: NDArray[np.integer], align: bool) -> Self:
        """Return a model of another catalogue: new items are read by their texts, the same ones as here.

        Raises:
            DataError: None of the items has a text.
        """
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
        model.settle(self.items)
        return model

    def begin_with(self, other: Self) -> None:
        """Let `fit` begin with what another model has learned, which was moved to this catalogue."""
        self._begin = other

    @property
    def scorable(self) -> NDArray[np.bool_]:
        """(I,) items that can be read: those with a text, and known ones where items have vectors of their own."""
        readable = np.asarray(self.text.any(axis=1))
        return readable | self.known if self.config.own else readable

    def score(self, queries: Queries) -> Floats:
        """Return (B, I) cosines of both towers."""
        return self.items.score(self._wanted(queries))

    def recommend(self, queries: Queries, n: int, *, candidates: Candidates | None = None) -> Recommendations:
        """Return the n nearest items."""
        return self.items.recommend(self._wanted(queries), n, candidates)

    def similar(self, item_rows: NDArray[np.integer]) -> Floats:
        """Return the cosines (len(item_rows), I) of the items' tower."""
        return never_scored(self.items.vectors[item_rows] @ self.items.vectors.T, self.scorable)

    def similar_to_texts(self, texts: list[str]) -> Floats:
        """Return the cosines (len(texts), I) of the items with items of which nothing but these texts is known."""
        import torch

        read = self.reader.of_texts(texts)
        with torch.inference_mode():
            vectors = self.network.vectors.of_text(torch.from_numpy(read).to(self.network.ages.device))
            wanted = self.network.of_items(vectors).cpu().numpy()
        wanted[~read.any(axis=1)] = 0
        return self.items.score(wanted)

    def state(self) -> State:
        """Return the network's parameters, what is known, what texts say, and how training went."""
        reading = with_prefix(_READER, self.reader.state())
        elsewhere = {} if self.elsewhere is None else self.elsewhere.state()
        own = {"text": self.text, "known": self.known, "curve": self.curve}
        return {**network_state(self.network), **reading, **elsewhere, **own}

    def restore(self, state: State) -> None:
        """Take the parameters back."""
        self.known, self.text, self.curve = state["known"], state["text"], state["curve"]
        self.elsewhere = elsewhere_of(state)
        self.reader = TextVectors.restore(self.config.vectors, below(_READER, state))
        self.network = self.new_network()
        take_parameters(self.network, state)
        self.settle()

    def empty_network(self, text_size: int) -> TwoTowers:
        """Return a network of one item, to take parameters; for a model that was not fitted.

        Args:
            text_size: Numbers of a text's vector.
        """
        self.known = np.ones(1, bool)
        self.text = np.zeros((1, text_size), np.float32)
        return self.new_network()

    def new_network(self, versions: Floats | None = None) -> TwoTowers:
        """Return a network that has learned nothing, of the items that are known; `versions` as in `ItemVectors`."""
        import torch

        from genre.recommenders.item_vectors import ItemVectors
        from genre.recommenders.towers import TwoTowers

        config = self.config
        vectors = ItemVectors(
            int(self.known.sum()),
            config.embedding_size,
            torch.from_numpy(self.text[self.known]),
            own=config.own,
            own_dropout=config.own_dropout,
            versions=None if versions is None else torch.from_numpy(versions),
            versions_share=config.versions.share,
        )
        return TwoTowers(vectors, length=config.length, hidden=config.hidden, dropout=config.dropout)

    def settle(self, before: Nearest | None = None) -> None:
        """Work out how items are read and compared by now; those of `before` stand first, and are as they were."""
        import torch

        self.table = self.read = self.network.vectors.table(self.known, self.scorable, self.text)
        if self.elsewhere is not None:
            self.read = self.elsewhere.table(self.table, self.network.vectors)
        with torch.inference_mode():
            found: Floats = self.network.of_items(self.table).cpu().numpy()
        found[~self.scorable] = 0
        if before is None:
            self.items = Nearest(found, self.source)
        else:
            self.items = before.with_more(found[len(before.vectors) :])

    def _wanted(self, queries: Queries) -> Floats:
        """Return (B, D) what histories ask for; zeros where nothing can be read."""
        import torch

        from genre.training.towers import Histories

        likes = queries.history.liked()
        likes = likes.where(self.scorable[likes.item_rows])
        if self.elsewhere is not None:
            likes = self.elsewhere.joined(likes, queries.user_rows, queries.times, len(self.known))
        likes = likes.last(self.config.length)
        wanted = np.zeros((len(queries), self.config.embedding_size), np.float32)
        filled = np.flatnonzero(likes.lengths)
        with torch.inference_mode():
            for start in range(0, len(filled), _BLOCK):
                rows = filled[start : start + _BLOCK]
                part = likes.take(rows)
                histories = Histories.of(part, part.item_rows).to(self.read.device)
                wanted[rows] = self.network.of_histories(self.read, histories).float().cpu().numpy()
        return wanted


def _neighbours(text: Floats, asked: NDArray[np.integer]) -> NDArray[np.int32]:
    """Return the items (I, K) whose texts are nearest to each item's, itself left out.

    -1 where there are fewer, and for items that are not `asked` for.
    """
    near = np.full((len(text), _NEIGHBOURS), -1, np.int32)
    for start in range(0, len(asked), _BLOCK):
        rows = asked[start : start + _BLOCK]
        scores = text[rows] @ text.T
        scores[np.arange(len(rows)), rows] = -np.inf
        near[rows] = top_n(scores, _NEIGHBOURS)[0]
    return near
