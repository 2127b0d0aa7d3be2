"""The same models fitted from several seeds, their scores averaged.

Lars Kai Hansen, Peter Salamon: Neural Network Ensembles. IEEE TPAMI 12 (10), 1990.

Shapes: B queries, I items, N models.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from genre.core.errors import ConfigError
from genre.core.parts import below, with_prefix
from genre.core.queries import Queries
from genre.core.run import RunContext
from genre.data.dataset import Dataset, Entities
from genre.recommenders.base import Recommender, RecommenderConfig, ScoringRecommender, State
from genre.recommenders.growth import grown
from genre.recommenders.members import named_members, scores_of, standardised
from genre.recommenders.updating import updated

_APART = 1_000_003
"""Between the seeds of two fits, so that an experiment's own seeds 0, 1, 2 ... do not meet them."""


class EnsembleConfig(RecommenderConfig):
    """Settings of `ensemble`."""

    kind: Literal["ensemble"] = "ensemble"
    members: tuple[str, ...] = Field(min_length=1)
    """The models to average, by name; none of them may be made of others."""
    num_seeds: int = Field(default=3, ge=1)
    """Fits of each member, the member's own among them. Most of the gain comes with the second and the third."""

    @property
    def learns_from_validation(self) -> bool:
        """Every model says as much as any other: there is nothing to weigh."""
        return False

    def build(self, members: Mapping[str, Recommender]) -> Ensemble:
        """Return the unfitted component.

        Raises:
            ConfigError: A member is made of others.
        """
        named = named_members(self.members, members, "ensemble")
        for name, member in named.items():
            if member.config.member_names:
                raise ConfigError(
                    f"{name!r} is made of other models and cannot be fitted again by itself",
                    place="ensemble.members",
                    remedy="Name models that are not made of others; combine the ensemble with `fusion`.",
                )
        return Ensemble(self, named)

    @property
    def refits(self) -> int:
        """Every seed but the members' own."""
        return self.num_seeds - 1


class Ensemble(ScoringRecommender[EnsembleConfig]):
    """Average ``z(i) = (score(i) - mean) / standard deviation`` over all members and seeds.

    Members are fitted again with other seeds, everything else equal, and their standardised scores are averaged. An
    item that a model does not score counts as that model's worst. Fitting and answering take `num_seeds` times what
    the members take; the extra models are saved with the ensemble.
    """

    def __init__(self, config: EnsembleConfig, members: Mapping[str, Recommender]) -> None:
        """Keep the settings and the fitted members."""
        super().__init__(config)
        self.members = dict(members)
        self.others: dict[str, Recommender] = {}
        self.num_items = 0

    def fit(self, data: Dataset, run: RunContext) -> Self:
        """Fit every member again, once for each further seed."""
        self.num_items = data.num_items
        places = [(name, number) for name in self.members for number in range(1, self.config.num_seeds)]
        for name, number in run.progress.track(places, "ensemble: fit again", len(places)):
            place = f"{name}.{number}"
            directory = None if run.directory is None else run.directory / place
            again = replace(run, seed=run.seed + number * _APART, directory=directory)
            self.others[place] = self.members[name].config.build({}).fit(data, again)
        return self

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """Return (B, I) mean standardised scores, minus infinity for what no model scores."""
        total = np.zeros((len(queries), self.num_items), np.float32)
        scored = np.zeros(total.shape, bool)
        models = [*self.members.values(), *self.others.values()]
        for model in models:
            raw = scores_of(model, queries, self.num_items)
            scored |= raw > -np.inf
            total += standardised(raw)
        total /= len(models)
        total[~scored] = -np.inf
        return total

    def index(self, items: Entities, run: RunContext) -> Self:
        """Return an ensemble over a longer catalogue; new items are scored by the models that read them."""
        ensemble = copy(self)
        for name in ("members", "others"):
            models: dict[str, Recommender] = getattr(self, name)
            longer = {place: grown(model, items, self.num_items, run) for place, model in models.items()}
            setattr(ensemble, name, longer)
        ensemble.num_items = len(items)
        return ensemble

    def update(self, data: Dataset, new: NDArray[np.bool_], run: RunContext) -> Self:
        """Return an ensemble of models that have learned from the new events."""
        members = {name: updated(member, data, new, run)[0] for name, member in self.members.items()}
        return self.update_with(members, data, new, run)

    def update_with(
        self, members: Mapping[str, Recommender], data: Dataset, new: NDArray[np.bool_], run: RunContext
    ) -> Self:
        """Return an ensemble of updated members; the further models are updated here."""
        ensemble = copy(self)
        ensemble.members = {name: members[name] for name in self.members}
        ensemble.others = {}
        for place, model in self.others.items():
            again = replace(run, seed=run.seed + int(place.rpartition(".")[2]) * _APART)
            ensemble.others[place] = updated(model, data, new, again)[0]
        ensemble.num_items = data.num_items
        return ensemble

    def state(self) -> State:
        """Return what the further models have learned."""
        found: State = {"num_items": np.array([self.num_items])}
        for place, model in self.others.items():
            found |= with_prefix(f"{place}/", model.state())
        return found

    def restore(self, state: State) -> None:
        """Take the further models back; the members are those that it was built with."""
        self.num_items = int(state["num_items"][0])
        for name, member in self.members.items():
            for number in range(1, self.config.num_seeds):
                place = f"{name}.{number}"
                model = member.config.build({})
                model.restore(below(f"{place}/", state))
                self.others[place] = model
