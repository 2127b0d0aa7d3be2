"""A fitted `sasrec` or `two_tower` that only answers, in fewer bytes: its tables in 8 bits, or its networks as graphs.

Shapes: B queries, I items, D numbers of a vector, T numbers of a text vector, N new items.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from genre.core.errors import DependencyError
from genre.core.interactions import Interactions
from genre.core.parts import below, with_prefix
from genre.core.products import products
from genre.core.queries import Queries, Source
from genre.core.run import RunContext
from genre.data.dataset import Dataset, Entities
from genre.features.vectors import TextVectors
from genre.language.base import unit_rows
from genre.recommenders.base import RecommenderConfig, ScoringRecommender, State, never_scored
from genre.recommenders.layouts import Floats, Rows

if TYPE_CHECKING:
    from genre.language.quantised import Int8Matrix
    from genre.training.contracts import Term

Form: TypeAlias = Literal["torch", "int8", "onnx"]
_READER, _NETWORKS = "reader.", "networks."
_READ, _SCORED, _FACTORS = "read", "scored", "factors"


class CompactConfig(RecommenderConfig):
    """Settings that `sasrec` and `two_tower` share."""

    form: Form = "torch"
    """In what form it answers, once it is fitted: `torch` as it was fitted, `int8` with vectors and layers in 8 bits,
    `onnx` with its networks as graphs for ONNX Runtime. `genre compress` makes one of another."""

    def check_installed(self) -> None:
        """Make sure that the libraries are there that the form answers with.

        Raises:
            DependencyError: One of them is not.
        """
        if self.form != "onnx":
            super().check_installed()
            return
        if self.reads is not None:
            self.reads.check_installed()
        if find_spec("onnxruntime") is None:
            raise DependencyError(
                "the form 'onnx' needs the library 'onnxruntime', which is not installed",
                place=self.kind,
                remedy="Install it with `pip install 'genre-rec[onnx]'`.",
            )


class Networks(Protocol):
    """What a model has learned beside the vectors of items."""

    def history(self, liked: Interactions, rows: Rows) -> Floats:
        """Return what histories, none of them empty, ask for (B, D)."""

    def items(self, text: Floats) -> tuple[Floats, Floats]:
        """Return items of which there is nothing but a text (N, T), as they are read and as they are scored (N, D)."""

    def state(self) -> State:
        """Return them as arrays."""


class Compact(ScoringRecommender[Any]):
    """``score(i) = h . c_i``, as the model that it was made of, whose vectors and networks are kept in a small form.

    - `int8`: each item's vector is 8-bit whole numbers and a scale of its own, and so is each output of a linear layer.
      `num_items * (embedding_size + 8)` bytes, twice for `two_tower`; the vectors of texts, which the whole model
      keeps, are not kept.
    - `onnx`: the networks are graphs, which ONNX Runtime runs without torch; vectors stay float32.

    It is fitted by fitting the whole model, and learns nothing more. New items are read by their texts as ever.
    """

    reader: TextVectors | None = None
    """Turns texts of new items into vectors."""
    scorable: NDArray[np.bool_]
    """(I,) items that can be read and scored."""
    curve: NDArray[np.float64]
    """(epochs, 2) training loss and validation NDCG@10, NaN where not validated."""
    read: Rows
    """The items as histories read them."""
    scored: Rows | None = None
    """The items as histories are compared with them, where that is more than another length."""
    factors: Floats | None = None
    """(I,) by which lengths differ, where it is no more."""
    networks: Networks

    def __init__(self, config: Any, source: Source = Source.PERSONAL) -> None:
        """Keep the settings, and where answers come from."""
        super().__init__(config)
        self.source = source  # type: ignore[misc]

    def fit(self, data: Dataset, run: RunContext, *, terms: Sequence[Term] = ()) -> Self:
        """Fit the whole model, and take what it has learned.

        Args:
            data: What is learned from.
            run: Holds the validation questions.
            terms: What is added to the loss of each step.

        Raises:
            DependencyError: A library that fits it, or makes graphs, is not installed.
            ModelError: The graph gives other vectors than the network.
        """
        self.check_can_fit()
        return self.taken(self._whole.build({}).fit(data, run, terms=terms))

    def check_can_fit(self) -> None:
        """Make sure that the libraries are there that fit it, beside those that it answers with.

        Raises:
            DependencyError: One of them is not.
        """
        self._whole.check_installed()
        if self.config.form == "onnx":
            from genre.language.onnx import check_exporter

            check_exporter()

    def taken(self, whole: Any) -> Self:
        """Take what a fitted model has learned.

        Raises:
            DependencyError: A library that makes graphs is not installed.
            ModelError: The graph gives other vectors than the network.
        """
        from genre.recommenders.compact_networks import networks_of, tables_of

        self.reader, self.scorable, self.curve = whole.reader, whole.scorable, whole.curve
        read, scored = tables_of(whole)
        self.read = _rows_of(read, self.config.form)
        if self.config.kind == "sasrec":  # Read and scored vectors are tied.
            self.factors = _factors(read, scored)
        else:
            self.scored = _rows_of(scored, self.config.form)
        self.networks = networks_of(whole.network, self.config.form, read[self.scorable], self.config.length)
        return self

    def index(self, items: Entities, run: RunContext) -> Self:
        """Return a model of a longer catalogue. New items are scored if it reads texts; if not, they are left out."""
        model = copy(self)
        new = items.behind(len(self.scorable))
        read = scored = np.zeros((len(new), self.config.embedding_size), np.float32)
        readable = np.zeros(len(new), bool)
        if self.reader is not None:
            text = self.reader.of_items(new, run)
            readable = np.asarray(text.any(axis=1))
            read, scored = (np.where(readable[:, None], table, 0) for table in self.networks.items(text))
        model.scorable = np.concatenate([self.scorable, readable])
        model.read = self.read.with_more(read)
        model.scored = None if self.scored is None else self.scored.with_more(scored)
        if self.factors is not None:
            model.factors = np.concatenate([self.factors, _factors(read, scored)])
        return model

    def score(self, queries: Queries) -> Floats:
        """Return (B, I) products h . c; nothing for a history without a like of an item that can be read."""
        likes = queries.history.liked()
        likes = likes.where(self.scorable[likes.item_rows]).last(self.config.length)
        filled = np.flatnonzero(likes.lengths)
        wanted = np.zeros((len(queries), self.config.embedding_size), np.float32)
        if len(filled):
            wanted[filled] = self.networks.history(likes.take(filled), self.read)
        scores = self._compared.products(wanted)
        if self.factors is not None:
            scores *= self.factors
        scores[likes.lengths == 0] = -np.inf
        return never_scored(scores, self.scorable)

    def similar(self, item_rows: NDArray[np.integer]) -> Floats:
        """Return the cosines (len(item_rows), I) of the items' vectors."""
        everything = unit_rows(self._compared.of(np.arange(len(self.scorable))))
        return never_scored(everything[item_rows] @ everything.T, self.scorable)

    def state(self) -> State:
        """Return the vectors, the networks, which items can be scored, and how training went."""
        reading = {} if self.reader is None else with_prefix(_READER, self.reader.state())
        tables = with_prefix(f"{_READ}.", self.read.state())
        if self.scored is not None:
            tables |= with_prefix(f"{_SCORED}.", self.scored.state())
        if self.factors is not None:
            tables[_FACTORS] = self.factors
        networks = with_prefix(_NETWORKS, self.networks.state())
        return {**tables, **networks, **reading, "scorable": self.scorable, "curve": self.curve}

    def restore(self, state: State) -> None:
        """Take them back."""
        self.scorable, self.curve = state["scorable"], state["curve"]
        if self.config.reads is not None:
            self.reader = TextVectors.restore(self.config.reads, below(_READER, state))
        self.read = _rows_from(below(f"{_READ}.", state))
        self.factors = state.get(_FACTORS)
        self.scored = None if self.factors is not None else _rows_from(below(f"{_SCORED}.", state))
        parts = below(_NETWORKS, state)
        if self.config.form == "onnx":
            from genre.recommenders.graphs import Graphs

            self.networks = Graphs.restore(parts)
        else:
            from genre.recommenders.compact_networks import restored

            self.networks = restored(self.config, parts)

    @property
    def _whole(self) -> Any:
        """The settings of the model that it is made of."""
        return self.config.model_copy(update={"form": "torch"})

    @property
    def _compared(self) -> Rows:
        return self.read if self.scored is None else self.scored


@dataclass(frozen=True, eq=False)
class FloatRows:
    """Vectors in float32."""

    vectors: Floats
    """(I, D)"""

    def of(self, item_rows: NDArray[np.integer]) -> Floats:
        """Return some of them."""
        found: Floats = self.vectors[item_rows]
        return found

    def products(self, wanted: Floats) -> Floats:
        """Return the products (B, I) with all of them."""
        return products(wanted, self.vectors)

    def with_more(self, vectors: Floats) -> Rows:
        """Return these, and new ones behind."""
        return FloatRows(np.concatenate([self.vectors, vectors]))

    def state(self) -> State:
        """Return them."""
        return {"vectors": self.vectors}


@dataclass(frozen=True, eq=False)
class Int8Rows:
    """Vectors in 8 bits, each with a scale."""

    matrix: Int8Matrix

    def of(self, item_rows: NDArray[np.integer]) -> Floats:
        """Return some of them."""
        whole, scale = self.matrix.weight.numpy(), self.matrix.scale.numpy()
        found: Floats = whole[item_rows] * scale[item_rows][..., None]
        return found

    def products(self, wanted: Floats) -> Floats:
        """Return the products (B, I) with all of them."""
        import torch

        with torch.inference_mode():
            found: Floats = self.matrix(torch.from_numpy(wanted)).numpy()
        return found

    def with_more(self, vectors: Floats) -> Rows:
        """Return these, and new ones behind."""
        import torch

        from genre.language.quantised import Int8Matrix

        new = Int8Matrix.of(torch.from_numpy(np.ascontiguousarray(vectors)))
        both = [(getattr(self.matrix, part), getattr(new, part)) for part in ("weight", "scale")]
        return Int8Rows(Int8Matrix(*(torch.cat(pair) for pair in both)))

    def state(self) -> State:
        """Return them."""
        return {"whole": self.matrix.weight.numpy(), "scale": self.matrix.scale.numpy()}


def _factors(read: Floats, scored: Floats) -> Floats:
    """Return how many times as long each vector is when it is scored; 0 for one that says nothing."""
    before, after = (np.linalg.norm(table, axis=1) for table in (read, scored))
    found: Floats = (after / np.where(before > 0, before, 1)).astype(np.float32)
    return found


def _rows_of(vectors: Floats, form: Form) -> Rows:
    if form == "onnx":
        return FloatRows(vectors)
    import torch

    from genre.language.quantised import Int8Matrix

    return Int8Rows(Int8Matrix.of(torch.from_numpy(vectors)))


def _rows_from(state: State) -> Rows:
    if "vectors" in state:
        return FloatRows(state["vectors"])
    import torch

    from genre.language.quantised import Int8Matrix

    return Int8Rows(Int8Matrix(torch.from_numpy(state["whole"]), torch.from_numpy(state["scale"])))
