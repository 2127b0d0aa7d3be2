"""How models that are made in different ways come to learn from new events, or do without.

Shapes: E events.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, Protocol, Self, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from genre.core.errors import ModelError
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.recommenders.base import Indexable, Recommender, Updatable

How: TypeAlias = Literal["updated", "indexed", "fitted anew"]
"""`updated`: it has learned from the new events. `indexed`: it reads new items, and learns nothing. `fitted anew`: it
can do neither, and learned everything again."""


@runtime_checkable
class Composed(Protocol):
    """Is made of other models, which are updated before it."""

    def update_with(
        self, members: Mapping[str, Recommender], data: Dataset, new: NDArray[np.bool_], run: RunContext
    ) -> Self:
        """Return a model of the updated members, by their names; see `Updatable.update`."""


def updated(
    model: Recommender,
    data: Dataset,
    new: NDArray[np.bool_],
    run: RunContext,
    members: Mapping[str, Recommender] | None = None,
) -> tuple[Recommender, How]:
    """Return a model that knows the items of `data`, and what it learned of its events.

    Args:
        model: Fitted on the events that are not new.
        data: All that may be learned from by now.
        new: (E,) events that the model has not learned from.
        run: Seed, progress, and where texts that were read are kept.
        members: The updated models that a composite one is made of, by name, where they are at hand.

    Raises:
        ModelError: It is made of other models in a way that new events cannot be added to.
    """
    run = replace(run, validation=None, directory=None)  # Questions of then are events that are learned from now.
    if members is not None and isinstance(model, Composed):
        return model.update_with(members, data, new, run), "updated"
    if isinstance(model, Updatable):
        return model.update(data, new, run), "updated"
    if isinstance(model, Indexable) and not model.config.answers_with:
        return model.index(data.items, run), "indexed"
    if model.config.member_names:
        raise ModelError(
            "it is made of other models in a way that cannot learn from new events",
            place=model.config.kind,
            remedy="Run the experiment again with all events, or let a `fusion` answer.",
        )
    return model.config.build({}).fit(data, run), "fitted anew"
