"""The networks of `sasrec` and `two_tower` without their tables of items: what is compressed, or becomes a graph.

Needs torch. Both read the inputs of `layouts`: vectors of liked items, with one history in a row.

Shapes: R rows, L places of a row, D numbers of a vector, B histories, N new items, T numbers of a text vector.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from genre.core.interactions import Interactions
from genre.language.quantised import Int8Matrix, put
from genre.recommenders.base import State
from genre.recommenders.compact import Form, Networks
from genre.recommenders.item_vectors import ItemVectors
from genre.recommenders.layouts import Floats, Rows, laid_out
from genre.recommenders.towers import TwoTowers
from genre.recommenders.transformer import Transformer
from genre.training.packing import Packed


class SequenceHistory(nn.Module):
    """What a transformer makes of histories, several in a row."""

    def __init__(self, network: Transformer) -> None:
        """Take the network, whose table of items is not used."""
        super().__init__()
        self.network = network

    def forward(self, vectors: Tensor, segments: Tensor, ages: Tensor, times: Tensor) -> Tensor:
        """Return (R, L, D) what is expected after each event, of which the vectors (R, L, D) are given."""
        rows = torch.arange(ages.numel(), device=ages.device).view_as(ages)
        packed = Packed(rows, segments, ages, times, rows)
        found: Tensor = self.network(packed, vectors.flatten(0, 1))
        return found


class TowerHistory(nn.Module):
    """What the history's tower makes of histories, each in a row of its own."""

    def __init__(self, network: TwoTowers) -> None:
        """Take the network, whose table of items is not used."""
        super().__init__()
        self.network = network

    def forward(self, vectors: Tensor, segments: Tensor, ages: Tensor, times: Tensor) -> Tensor:
        """Return (R, 1, D) what histories of vectors (R, L, D) ask for."""
        there = segments >= 0
        counts = self.network.ages[ages].exp() * there  # (R, L)
        mean = (vectors * counts[..., None]).sum(1) / counts.sum(1, keepdim=True)
        newest = (vectors * (there & (ages == 0))[..., None]).sum(1)
        asked = mean + self.network.history(torch.cat([mean, newest], 1))
        return functional.normalize(asked, dim=1)[:, None]


class NewItems(nn.Module):
    """What texts say of items that have nothing else."""

    def __init__(self, network: Transformer | TwoTowers) -> None:
        """Take the network, whose table of items is not used."""
        super().__init__()
        self.network = network

    @property
    def text_size(self) -> int:
        """Return T."""
        first: Any = vectors_of(self.network).read
        return int(first[0].weight.shape[1])

    def forward(self, text: Tensor) -> tuple[Tensor, Tensor]:
        """Return items (N, D) as they are read and as they are scored, of texts (N, T)."""
        read = vectors_of(self.network).of_text(text)
        return read, scores_of(self.network)(read)


def tables_of(whole: Any) -> tuple[Floats, Floats]:
    """Return the items (I, D) as a fitted model reads them and as it scores them."""
    with torch.inference_mode():
        scored: Floats = scores_of(whole.network)(whole.table).cpu().numpy()
    return whole.table.cpu().numpy(), np.where(whole.scorable[:, None], scored, np.float32(0))


def vectors_of(network: Transformer | TwoTowers) -> ItemVectors:
    """Return the part that reads items."""
    return network.items if isinstance(network, Transformer) else network.vectors


def scores_of(network: Transformer | TwoTowers) -> Any:
    """Return what makes of vectors that are read vectors that are scored."""
    return network.targets if isinstance(network, Transformer) else network.of_items


def parts_of(network: Transformer | TwoTowers) -> tuple[nn.Module, NewItems | None]:
    """Return what reads histories, and what reads new items where texts are read."""
    new = None if vectors_of(network).read is None else NewItems(network)
    return (SequenceHistory(network) if isinstance(network, Transformer) else TowerHistory(network)), new


def networks_of(network: Any, form: Form, vectors: Floats, length: int) -> Networks:
    """Return a fitted network in a small form.

    Args:
        network: Stays as it is.
        form: `int8` or `onnx`.
        vectors: (.., D) of items, to compare graphs with the network by.
        length: Places of a row at most.

    Raises:
        DependencyError: A library that makes graphs is not installed.
        ModelError: The graph gives other vectors than the network.
    """
    small = _without_items(deepcopy(network).cpu().eval())
    if form == "onnx":
        from genre.recommenders.graphs import Graphs

        return Graphs.exported(*parts_of(small), several=_takes_several(small), vectors=vectors, length=length)
    return Int8Networks(_in_int8(small))


def restored(config: Any, state: Mapping[str, NDArray[Any]]) -> Int8Networks:
    """Return networks in 8 bits, of what their `state` returned."""
    size = next((value.shape[1] for name, value in state.items() if name.endswith("read.0.weight")), None)
    network = _in_int8(_without_items(config.model_copy(update={"form": "torch"}).build({}).empty_network(size)))
    network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in state.items()})
    return Int8Networks(network.eval())


class Int8Networks:
    """Networks whose linear layers are in 8 bits."""

    def __init__(self, network: Any) -> None:
        """Take a network without items."""
        self.network = network
        self._history, self._new = parts_of(network)

    def history(self, liked: Interactions, rows: Rows) -> Floats:
        """Return what histories, none of them empty, ask for (B, D)."""
        inputs, ends = laid_out(liked, rows, several=_takes_several(self.network))
        with torch.inference_mode():
            found: Floats = self._history(*map(torch.from_numpy, inputs)).flatten(0, 1)[torch.from_numpy(ends)].numpy()
        return found

    def items(self, text: Floats) -> tuple[Floats, Floats]:
        """Return items of texts (N, T), as they are read and as they are scored (N, D)."""
        assert self._new is not None  # noqa: S101
        with torch.inference_mode():
            read, scored = self._new(torch.from_numpy(text))
        return read.numpy(), scored.numpy()

    def state(self) -> State:
        """Return the network's parameters."""
        return {name: value.numpy() for name, value in self.network.state_dict().items()}


def _takes_several(network: Transformer | TwoTowers) -> bool:
    """Return whether a row takes several histories."""
    return isinstance(network, Transformer)


def _without_items(network: Any) -> Any:
    """Leave out the vectors of items, and those of their texts, in place."""
    vectors: Any = vectors_of(network)
    vectors.own = vectors.text = vectors.versions = None
    return network


def _in_int8(network: Any) -> Any:
    for name, layer in list(network.named_modules()):
        if type(layer) is nn.Linear:
            put(network, name, Int8Matrix.of(layer.weight, layer.bias))
    return network
