"""What a model that reads texts takes along to another catalogue: all that it has learned but what belongs to items.

Shapes: I items of the other catalogue.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from genre.core.errors import ModelError
from genre.core.run import RunContext
from genre.data.dataset import Dataset, Entities
from genre.recommenders.base import Recommender

if TYPE_CHECKING:
    from torch import Tensor, nn

    from genre.recommenders.elsewhere import Elsewhere
    from genre.recommenders.item_vectors import ItemVectors
    from genre.training.contracts import Objective, Term

OWN = "own.weight"
"""What the vectors end with that items have of their own."""


@runtime_checkable
class Movable(Recommender, Protocol):
    """Reads items by their texts, so that what it has learned of some says something of others."""

    known: NDArray[np.bool_]
    """(I,) items that have vectors of their own."""
    elsewhere: Elsewhere | None
    """What people liked in the catalogue that it came from."""

    @property
    def network(self) -> nn.Module:
        """Return what learns."""

    def moved(self, items: Entities, run: RunContext, *, same: NDArray[np.integer], align: bool) -> Self:
        """Return a model of another catalogue that has learned nothing of it yet.

        Args:
            items: The other catalogue.
            run: Its store and progress.
            same: (I,) rows of the same items in this model's catalogue, -1 for those that are not in it.
            align: Whether texts as a whole are spread as those of this model's catalogue.

        Raises:
            DataError: None of the items has a text.
            ModelError: This model does not read texts.
        """

    def with_elsewhere(self, elsewhere: Elsewhere | None) -> Self:
        """Return the same model with what people liked in another catalogue, or without it."""

    def objective(self, data: Dataset) -> Objective[Any]:
        """Return what is learned from a log of the items that are known."""

    def fit(self, data: Dataset, run: RunContext, *, terms: Sequence[Term] = ()) -> Self:
        """Learn from the log of `data`; `terms` are added to the loss of each step."""

    def settle(self) -> None:
        """Work out how items are read with the weights of now."""

    def begin_with(self, other: Self) -> None:
        """Let `fit` begin with what another model, one that was moved to this catalogue, has learned.

        Raises:
            ModelError: It has not the same form.
        """


def shared(network: nn.Module) -> dict[str, Tensor]:
    """Return what was learned that belongs to no single item, by name.

    What never learns is left out: of a language model it may be all but a thousandth, and it is the base's.
    """
    fixed = {name for name, value in network.named_parameters(remove_duplicate=False) if not value.requires_grad}
    return {
        name: value
        for name, value in network.state_dict().items()
        if name not in fixed and not f".{name}".endswith(f".{OWN}")
    }


def take_along(model: Movable, source: Movable, same: NDArray[np.integer]) -> None:
    """Let a model have all that another of its form has learned, and the vectors of the items that both hold.

    Other items begin as what their texts say, if they have any.

    Args:
        model: Of this catalogue, with a network that has learned nothing; it is changed in place.
        source: Of the other one.
        same: (I,) rows in the other catalogue, -1 for items that are not in it.

    Raises:
        ModelError: Their parameters have other names or shapes; the message says which.
    """
    from genre.recommenders.item_vectors import ItemVectors

    carry_over(model.network, source.network, model.config.kind)
    own, given = (
        next(part for part in one.network.modules() if isinstance(part, ItemVectors)) for one in (model, source)
    )
    if own.own is not None and own.read is not None:
        # Drawn at random they are as long as what texts say where items are few, and would drown it.
        own.own.weight.data[cast("Tensor", own.text).any(dim=1)] = 0
    keep_own(own, model.known, given, source.known, same)
    model.network.eval()


def all_the_same(model: Movable) -> NDArray[np.int64]:
    """Return (I,) the rows of a model's own items, for one of the same catalogue; -1 where nothing is known."""
    return np.where(model.known, np.arange(len(model.known)), -1)


def check_base(own: str, given: str, place: str) -> None:
    """Make sure that what a language model has learned goes to the same one.

    Args:
        own: Tells which it goes to.
        given: Tells which it was learned with.
        place: Of the setting.

    Raises:
        ModelError: It does not.
    """
    if own != given:
        raise ModelError(
            f"the language model is {own!r}, and what moves was learned with {given!r}",
            place=place,
            remedy="What was learned in a language model's weights fits no other, of another tokenizer least of all. "
            "Take the same base; or let a `distilled` learn from the moved model, whose lists, and vectors of items of "
            "any dimensions, can be transferred to every other.",
        )


def carry_over(network: nn.Module, source: nn.Module, place: str) -> None:
    """Let the parameters that belong to no single item be those of another network.

    Raises:
        ModelError: They have other names or shapes; the message says which.
    """
    import torch

    own, given = shared(network), shared(source)
    wrong = sorted(
        name for name in {*own, *given} if name not in own or name not in given or own[name].shape != given[name].shape
    )
    if wrong:
        told = ", ".join(f"{name} {_shape(given, name)} for {_shape(own, name)}" for name in wrong[:3])
        fitting = len({*own, *given}) - len(wrong)
        raise ModelError(
            f"{len(wrong)} of {len(wrong) + fitting} parameters do not fit ({told})",
            place=place,
            remedy="Take the settings of the model that it begins with: sizes, blocks, length, encoder and tuning. To "
            "another form, lists and vectors of items can be transferred: see `distilled`.",
        )
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(given[name])


def keep_own(
    items: ItemVectors,
    known: NDArray[np.bool_],
    source: ItemVectors,
    before: NDArray[np.bool_],
    same: NDArray[np.integer],
) -> None:
    """Let items that both catalogues hold have the vectors of their own that they had.

    Args:
        items: Their vectors, changed in place.
        known: (I,) items that `items` has, in this order.
        source: The vectors that they had.
        before: Which items of the other catalogue `source` has.
        same: (I,) rows in the other catalogue, -1 for items that are not in it.
    """
    import torch

    if items.own is None or source.own is None:
        return
    rows = np.flatnonzero(known & (same >= 0))
    rows = rows[before[same[rows]]]
    with torch.no_grad():
        to, of = (torch.from_numpy((np.cumsum(mask) - 1)[at]) for mask, at in ((known, rows), (before, same[rows])))
        items.own.weight[to] = source.own.weight[of].to(items.own.weight.device)


def _shape(parameters: dict[str, Tensor], name: str) -> str:
    return str(tuple(parameters[name].shape)) if name in parameters else "none"
