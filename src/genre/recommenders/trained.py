"""What recommenders share that train a network over the items of the training log. Imports torch only when called.

Shapes: I items, K items that somebody liked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genre.core.interactions import Interactions
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.recommenders.base import RecommenderConfig
from genre.training.config import TrainingConfig

if TYPE_CHECKING:
    from torch import nn

    from genre.training.contracts import Objective, Term

_NETWORK = "network."


def known_of(data: Dataset, terms: Sequence[Term] = ()) -> NDArray[np.bool_]:
    """Return (I,) which items are learned: those that somebody liked, and those that a term speaks of."""
    known = data.interactions.item_counts(data.num_items) > 0
    for term in terms:
        if term.items is not None:
            known |= term.items
    return np.asarray(known)


def to_learn_from(objective: Objective[Any], terms: Sequence[Term]) -> Objective[Any]:
    """Return what a training goes through: the objective, or where it has nothing to say, what terms have."""
    from genre.training.lessons import Nothing

    steps = max((term.num_batches for term in terms), default=0)
    return objective if objective.num_batches or not steps else Nothing(steps)


def among(known: NDArray[np.bool_], log: Interactions) -> Interactions:
    """Return the likes of known items, which are counted among these: row k is the k-th that is true in `known` (I,).

    While a model is fitted, all that anybody likes is known. One that was moved and has learned nothing knows less.
    """
    liked, place = log.liked(), np.cumsum(known) - 1
    liked = liked.where(known[liked.item_rows])
    return replace(liked, item_rows=place[liked.item_rows].astype(np.int32))


def fit_network(
    network: nn.Module,
    objective: Objective[Any],
    config: RecommenderConfig,
    run: RunContext,
    *,
    data: Dataset,
    training: TrainingConfig,
    validate: Callable[[], float] | None = None,
    terms: Sequence[Term] = (),
    base: str | None = None,
) -> NDArray[np.float64]:
    """Train a recommender's network as its config and its run say; see `genre.training.loop.train`.

    Args:
        network: What is trained, in place.
        objective: Batches and loss.
        config: Of the recommender. A checkpoint of another one is refused.
        run: Seed, place of the checkpoints, and progress.
        data: What is learned from. A checkpoint of other data is refused.
        training: How to train.
        validate: How good the network is by now.
        terms: What is added to the loss of each step.
        base: Tells which pretrained model it begins with. A checkpoint of another one is refused.

    Returns:
        (epochs, 2) training loss and validation value, NaN where not validated.
    """
    from genre.training.loop import train

    about = {"model": config.model_dump(mode="json"), "data": data.fingerprint()}
    trained = train(
        network,
        objective,
        training,
        name=config.kind,
        seed=run.seed,
        validate=validate,
        terms=terms,
        directory=run.directory,
        about=about if base is None else about | {"base": base},
        progress=run.progress,
    )
    epochs = [(epoch.loss, np.nan if epoch.validation is None else epoch.validation) for epoch in trained.epochs]
    return np.array(epochs, np.float64).reshape(-1, 2)


def network_state(network: nn.Module, *, without: str | None = None) -> dict[str, NDArray[Any]]:
    """Return the parameters as arrays, to be saved; none whose names begin with `without`."""
    kept = {name: value for name, value in network.state_dict().items() if not without or not name.startswith(without)}
    return {_NETWORK + name: value.cpu().numpy() for name, value in kept.items()}


def take_parameters(network: nn.Module, state: Mapping[str, NDArray[Any]], *, partly: bool = False) -> None:
    """Take back what `network_state` returned, ready to answer; other names in `state` are left alone.

    Args:
        network: Of the shape that it had.
        state: Parameters, and other things.
        partly: Whether some parameters may be missing in `state`, and are left alone.
    """
    import torch

    wanted = [name for name in network.state_dict() if not partly or _NETWORK + name in state]
    found = {name: torch.from_numpy(np.array(state[_NETWORK + name])) for name in wanted}
    network.load_state_dict(found, strict=not partly)
    network.eval()
