"""The networks of `sasrec` and `two_tower` as ONNX graphs, and how they become such.

Running them needs ONNX Runtime and no torch. Shapes: B histories, D numbers of a vector, N items, T of a text vector.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from genre.core.errors import ModelError
from genre.core.interactions import Interactions
from genre.recommenders.base import State
from genre.recommenders.layouts import INPUTS, Floats, Rows, laid_out

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from torch import nn

    from genre.recommenders.compact_networks import NewItems

_HISTORY, _ITEMS, _SEVERAL = "history", "items", "several"
_CLOSE = 1e-4
"""The furthest that a number of a graph's vector may be from the network's, beside the largest of all."""
_LENGTHS = (1, 2, 5)
"""Of the histories that a graph is tried with, and as long as histories may be."""


class Graphs:
    """What reads histories and, where texts are read, what reads new items."""

    def __init__(self, graphs: Mapping[str, bytes], *, several: bool) -> None:
        """Take the graphs, by what they read, and whether a row takes several histories."""
        self.graphs, self.several = dict(graphs), several

    @classmethod
    def exported(cls, history: nn.Module, new: NewItems | None, *, several: bool, vectors: Floats, length: int) -> Self:
        """Return networks as graphs that give the same vectors.

        Args:
            history: Reads the inputs of `layouts`.
            new: Reads texts (N, T), if texts are read.
            several: Whether a row takes several histories.
            vectors: (.., D) of items, to try the graphs with.
            length: Places of a history at most.

        Raises:
            DependencyError: A library that makes graphs is not installed.
            ModelError: A graph gives other vectors than its network.
        """
        from genre.language.onnx import check_exporter

        check_exporter()
        rng = np.random.default_rng(0)
        vectors = vectors if len(vectors) else np.ones((1, vectors.shape[1]), np.float32)
        trials = [_trial(rng, vectors, min(one, length)) for one in (*_LENGTHS, length)]
        graphs = {_HISTORY: _exported(history, INPUTS, trials[1])}
        tried: list[tuple[str, nn.Module, list[NDArray[Any]]]] = [(_HISTORY, history, trial) for trial in trials]
        if new is not None:
            text = rng.normal(size=(3, new.text_size)).astype(np.float32)
            graphs[_ITEMS] = _exported(new, ("text",), [text])
            tried.append((_ITEMS, new, [text]))
        found = cls(graphs, several=several)
        for name, network, trial in tried:
            found._compare(name, network, trial)
        return found

    @classmethod
    def restore(cls, state: Mapping[str, NDArray[Any]]) -> Self:
        """Take back what `state` returned."""
        graphs = {name: value.tobytes() for name, value in state.items() if name != _SEVERAL}
        return cls(graphs, several=bool(state[_SEVERAL]))

    def history(self, liked: Interactions, rows: Rows) -> Floats:
        """Return what histories, none of them empty, ask for (B, D)."""
        inputs, ends = laid_out(liked, rows, several=self.several)
        (answers,) = self._run(_HISTORY, inputs)
        found: Floats = answers.reshape(-1, answers.shape[-1])[ends]
        return found

    def items(self, text: Floats) -> tuple[Floats, Floats]:
        """Return items of texts (N, T), as they are read and as they are scored (N, D)."""
        read, scored = self._run(_ITEMS, [text])
        return read, scored

    def state(self) -> State:
        """Return the graphs, as the bytes of their files."""
        graphs = {name: np.frombuffer(graph, np.uint8) for name, graph in self.graphs.items()}
        return {**graphs, _SEVERAL: np.array(self.several)}

    def _run(self, name: str, inputs: Sequence[NDArray[Any]]) -> list[Floats]:
        session = self._sessions[name]
        known = dict(zip(INPUTS if name == _HISTORY else ("text",), inputs, strict=True))
        found: list[Floats] = session.run(None, {one.name: known[one.name] for one in session.get_inputs()})
        return found

    @cached_property
    def _sessions(self) -> dict[str, InferenceSession]:
        from genre.language.onnx import session_of

        return {name: session_of(graph, f"graph {name!r}") for name, graph in self.graphs.items()}

    def _compare(self, name: str, network: nn.Module, inputs: Sequence[NDArray[Any]]) -> None:
        import torch

        with torch.inference_mode():
            answer = network(*map(torch.from_numpy, inputs))
        wanted = [part.numpy() for part in (answer if isinstance(answer, tuple) else (answer,))]
        for found, exact in zip(self._run(name, inputs), wanted, strict=True):
            off = float(np.abs(found - exact).max()) / max(float(np.abs(exact).max()), 1e-9)
            if not off <= _CLOSE:
                raise ModelError(
                    f"a number of the graph's vectors is off by {off:.2g} of the largest",
                    place=f"graph {name!r}",
                    remedy="Keep the model as it is, or take the form 'int8'.",
                )


def _exported(network: nn.Module, names: Sequence[str], inputs: Sequence[NDArray[Any]]) -> bytes:
    import torch

    from genre.language.onnx import quiet_export

    sizes = [torch.export.Dim("rows"), torch.export.Dim("places")]
    shapes = {name: dict(enumerate(sizes[: 1 if name == "text" else 2])) for name in names}
    with quiet_export():
        program: Any = torch.onnx.export(
            network.eval(),
            tuple(map(torch.from_numpy, inputs)),
            input_names=list(names),
            dynamic_shapes=shapes,
            dynamo=True,
            verbose=False,
        )
        graph: bytes = program.model_proto.SerializeToString()
    return graph


def _trial(rng: np.random.Generator, vectors: Floats, length: int) -> list[NDArray[Any]]:
    """Return inputs of three histories, one of them shorter."""
    lengths = np.array([length, length, max(1, length - 2)])
    there = np.arange(length) < lengths[:, None]
    known = vectors[rng.integers(len(vectors), size=(3, length))] * there[..., None]
    ages = np.where(there, lengths[:, None] - 1 - np.arange(length), 0)
    times = np.where(there, 1_600_000_000 + 5000 * np.arange(length) ** 2, 0)
    return [known.astype(np.float32), np.where(there, 0, -1), ages, times]
