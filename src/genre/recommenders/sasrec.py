"""SASRec: self-attention over the history says what comes next.

Wang-Cheng Kang, Julian McAuley: Self-Attentive Sequential Recommendation. ICDM 2018. With all items in the softmax
in place of one sampled negative: Klenitskiy, Vasilev: Turning Dross Into Gold Loss. RecSys 2023.

Shapes: B queries, I items, D numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from genre.core.queries import Queries
from genre.core.run import RunContext
from genre.data import sequences
from genre.data.dataset import Dataset
from genre.recommenders.base import (
    DataSize,
    Estimate,
    Recommender,
    RecommenderConfig,
    ScoringRecommender,
    State,
    never_scored,
)
from genre.recommenders.members import validator
from genre.recommenders.sparse import best_of_rows
from genre.training.config import TrainingConfig

if TYPE_CHECKING:
    from genre.recommenders.transformer import Transformer
    from genre.training.loss import ItemLoss
    from genre.training.next_item import Augmentation

_NETWORK = "network."
_NUM_SIMILAR = 5
_USUAL_EPOCHS = 40


class SasrecConfig(RecommenderConfig):
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
    hide_seen: bool = True
    """Whether items of the history are no answers when the best epoch is chosen, as the evaluation's `hide_seen`."""
    training: TrainingConfig = TrainingConfig()

    @model_validator(mode="after")
    def _heads_divide_size(self) -> SasrecConfig:
        if self.embedding_size % self.num_heads:
            raise ValueError(f"`num_heads` {self.num_heads} does not divide `embedding_size` {self.embedding_size}")
        return self

    def build(self, members: Mapping[str, Recommender]) -> Sasrec:
        """Return the unfitted component."""
        return Sasrec(self)

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
    with positions counted from the end. Trained to ``-log softmax(h V')`` of the next like at every place, with the
    same v on both sides; the epoch that is best on validation NDCG@10 is kept. Cannot score an item that nobody liked
    in training, or answer a history without a known item. Needs `num_items * embedding_size` floats to answer, about
    six times as many to fit, and never the scores of all items for all places.
    """

    network: Transformer
    known: NDArray[np.bool_]
    """(I,) items that somebody liked in training."""
    curve: NDArray[np.float64]
    """(epochs, 2) training loss and validation NDCG@10, NaN where not validated."""

    def fit(self, data: Dataset, run: RunContext) -> Self:
        """Train until the validation events are predicted no better; without any, for all epochs.

        Raises:
            ModelError: The loss is not a number.
            ResourceError: The memory does not suffice.
        """
        import torch

        from genre.training.loop import train
        from genre.training.next_item import NextItem

        config, log = self.config, data.interactions
        self.known = log.item_counts(data.num_items) > 0
        with torch.random.fork_rng():
            torch.manual_seed(int(run.rng("sasrec").integers(2**63)))
            self.network = self._new_network()
        objective = NextItem(
            log,
            length=config.length,
            batch_size=config.training.batch_size,
            parts=config.training.accumulate,
            loss=self._loss(log.item_counts(data.num_items)),
            augmentations=self._augmentations(data),
            contrastive=config.contrastive,
        )
        if not objective.num_batches:  # Nobody liked two things: what would be said is noise.
            self.known[:] = False
        trained = train(
            self.network,
            objective,
            config.training,
            name="sasrec",
            seed=run.seed,
            validate=validator(self, run, hide_seen=config.hide_seen),
            directory=run.directory,
            about={"model": config.model_dump(mode="json"), "data": data.fingerprint()},
            progress=run.progress,
        )
        epochs = [(epoch.loss, np.nan if epoch.validation is None else epoch.validation) for epoch in trained.epochs]
        self.curve = np.array(epochs, np.float64).reshape(-1, 2)
        return self

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """Return (B, I) products h . v; nothing for a history without a like of a known item."""
        import torch

        from genre.training.next_item import last_hidden

        history = queries.history.liked()
        history = history.where(self.known[history.item_rows])
        hidden = last_hidden(self.network, history, self.config.length)
        with torch.inference_mode():
            scores: NDArray[np.float32] = (hidden @ self.network.item_vectors().T).cpu().numpy()
        scores[history.lengths == 0] = -np.inf
        return never_scored(scores, self.known)

    def similar(self, item_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return the cosines (len(item_rows), I) of the items' vectors."""
        vectors = self.network.items.weight.detach().cpu().numpy()
        unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return never_scored(unit[item_rows] @ unit.T, self.known)

    def state(self) -> State:
        """Return the network's parameters, which items are known, and how training went."""
        tensors = {_NETWORK + name: value.cpu().numpy() for name, value in self.network.state_dict().items()}
        return {**tensors, "known": self.known, "curve": self.curve}

    def restore(self, state: State) -> None:
        """Take the parameters back."""
        import torch

        self.known, self.curve = state["known"], state["curve"]
        self.network = self._new_network()
        self.network.load_state_dict(
            {name: torch.from_numpy(np.array(state[_NETWORK + name])) for name in self.network.state_dict()}
        )
        self.network.eval()

    def _new_network(self) -> Transformer:
        from genre.recommenders.transformer import Transformer

        config = self.config
        return Transformer(
            len(self.known),
            size=config.embedding_size,
            num_blocks=config.num_blocks,
            num_heads=config.num_heads,
            length=config.length,
            dropout=config.dropout,
            block=config.block,
            time_aware=config.time_aware,
            temperature=config.temperature,
        )

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
            "substitute": lambda: partial(sequences.substitute, share=share, similar=_similar(data)),
            "prefix": lambda: sequences.prefix,
        }
        return [ways[name]() for name in self.config.augment]


def _similar(data: Dataset) -> NDArray[np.int32]:
    """Return (I, 5) the items that were most often liked by the same people, by cosine; -1 where there are fewer."""
    users = data.interactions.to_binary_csr(data.num_items)
    both = (users.T @ users).tocsr()
    norms = np.sqrt(np.maximum(both.diagonal(), 1)).astype(np.float32)
    both.setdiag(0)
    both.eliminate_zeros()
    both.data /= np.repeat(norms, np.diff(both.indptr)) * norms[both.indices]
    return best_of_rows(both, _NUM_SIMILAR)[0]
