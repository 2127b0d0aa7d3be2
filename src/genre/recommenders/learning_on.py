"""How a network that has learned a log goes on when the log does: `update` of `sasrec` and `two_tower`.

Shapes: I items, E events, D numbers of a vector.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from genre.core.interactions import Interactions
from genre.core.run import RunContext
from genre.data.dataset import Dataset, Entities
from genre.data.sequences import windows_to_learn
from genre.features.vectors import TextVectors
from genre.recommenders.moving import all_the_same, take_along
from genre.recommenders.trained import fit_network

if TYPE_CHECKING:
    from torch import nn

    from genre.recommenders.item_vectors import ItemVectors
    from genre.training.contracts import Objective


class LearnsOn(Protocol):
    """Reads items by their likes, by their texts or by both, over the items that somebody liked."""

    config: Any
    known: NDArray[np.bool_]
    reader: Any
    text: Any
    curve: NDArray[np.float64]

    @property
    def network(self) -> nn.Module:
        """Return what learns."""

    def index(self, items: Entities, run: RunContext) -> Self:
        """Return a model of a longer catalogue."""

    def new_network(self, versions: NDArray[np.float32] | None = None) -> Any:
        """Return a network that has learned nothing, of the items that are known."""

    def objective(self, data: Dataset, windows: Interactions | None = None) -> Objective[Any]:
        """Return what is learned from a log of the items that are known, or from some windows of it."""

    def settle(self) -> None:
        """Work out how items are read with the weights of now."""


ModelT = TypeVar("ModelT", bound=Any)


def learned_on(model: ModelT, data: Dataset, new: NDArray[np.bool_], run: RunContext) -> ModelT:
    """Return a model that has learned on: new events, and as many old histories as its `updating` replays.

    New items begin as `index` has them, and without a text where the items that were liked before them are. The reading
    of texts stays. What the optimizer knew is not kept: it begins anew.

    Args:
        model: Fitted on the events that are not new; it stays as it is.
        data: All that may be learned from by now.
        new: (E,) events that it has not learned from.
        run: Seed, progress, and where texts that were read are kept.

    Raises:
        ModelError: The loss is not a number.
        ResourceError: The memory does not suffice.
    """
    import torch

    config, kind = model.config, model.config.kind
    longer: ModelT = model.index(data.items, run)
    how, rng = config.updating, run.rng(f"{kind}.replay")
    windows = windows_to_learn(data.interactions, new, config.length, context=how.context, replay=how.replay, rng=rng)
    if not len(windows):
        return longer
    found: ModelT = copy(longer)
    found.known = longer.known | (data.interactions.item_counts(data.num_items) > 0)
    reader: TextVectors | None = found.reader
    versions = None
    if reader is not None:
        versions = reader.versions(data.items, found.known, config.reads_in_training, run)
    with torch.random.fork_rng():
        torch.manual_seed(int(run.rng(f"{kind}.update").integers(2**63)))
        found.network = found.new_network(versions)
        take_along(found, longer, all_the_same(longer))
    _place_new(found, found.known & ~longer.known, data)
    learned = fit_network(
        found.network,
        found.objective(data, windows),
        config,
        run,
        data=data,
        training=config.updating.of(config.training),
    )
    found.curve = np.concatenate([model.curve, learned])
    found.settle()
    return found


def _place_new(model: LearnsOn, new: NDArray[np.bool_], data: Dataset) -> None:
    """Let the own vectors of new items (I,) begin: at 0 beside a text, otherwise as the mean of what was liked before.

    The mean is that of the own vectors of those items that stand just before them in the histories.
    """
    import torch

    from genre.recommenders.item_vectors import ItemVectors

    vectors: ItemVectors = next(part for part in model.network.modules() if isinstance(part, ItemVectors))
    if vectors.own is None or not new.any():
        return
    own, place = vectors.own.weight.data, np.cumsum(model.known) - 1
    with_text = new & (np.zeros_like(new) if model.text is None else model.text.any(axis=1))
    own[torch.from_numpy(place[with_text])] = 0
    likes = data.interactions.liked()
    earlier = np.flatnonzero(likes.steps_from_end > 0)
    items, past = likes.item_rows[earlier + 1], likes.item_rows[earlier]
    pairs = (new & ~with_text)[items] & ~new[past]
    before = _counts(place[items[pairs]], place[past[pairs]], len(own))
    rows = np.flatnonzero(np.diff(before.indptr))
    means = (before[rows] @ own.cpu().numpy()) / np.asarray(before[rows].sum(axis=1)).reshape(-1, 1)
    own[torch.from_numpy(rows)] = torch.from_numpy(means.astype(np.float32)).to(own.device)


def _counts(rows: NDArray[np.int64], columns: NDArray[np.int64], size: int) -> sparse.csr_matrix:
    return sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=(size, size))
