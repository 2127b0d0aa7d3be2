"""What recommenders share that train a network over the items of the training log. Imports torch only when called.

Shapes: I items, K items that somebody liked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genre.core.interactions import Interactions

if TYPE_CHECKING:
    from torch import nn

    from genre.training.loop import Trained

_NETWORK = "network."


def among(known: NDArray[np.bool_], log: Interactions) -> Interactions:
    """Return the likes with items counted among the known ones: row k is the k-th that is true in `known` (I,)."""
    liked, place = log.liked(), np.cumsum(known) - 1
    return replace(liked, item_rows=place[liked.item_rows].astype(np.int32))


def curve_of(trained: Trained) -> NDArray[np.float64]:
    """Return (epochs, 2) training loss and validation value, NaN where not validated."""
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
