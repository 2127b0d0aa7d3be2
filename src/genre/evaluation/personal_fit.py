"""Personal fit: whether one can tell from texts for whom they were written, by events that the writer was not shown.

Shapes: N texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from genre.core.run import Progress
from genre.language.base import LearnsFromTexts, TextEncoder
from genre.metrics.personal import AMONG, by_person, own_places
from genre.metrics.statistics import Interval, bootstrap_interval
from genre.metrics.variety import distinct


@dataclass(frozen=True)
class PersonalFit:
    """How well texts about the same items fit those they are for."""

    texts: int
    people: int
    """Those whose texts could be compared with enough others."""
    among: int
    """Texts that a person's own one is found among."""
    rank: Interval
    """Of the own text, from 1."""
    first: Interval
    """Share of own texts that are nearest to their person: 1 / `among` by chance."""
    mrr: Interval
    """Mean of 1 / rank."""
    distinct_2: float
    """Different pairs of words, over all, in the texts about one item: 1 / people where all get the same text."""


def personal_fit(
    texts: Sequence[str],
    users: Sequence[str],
    about: Sequence[str],
    withheld: Mapping[str, Sequence[str]],
    encoder: TextEncoder,
    *,
    rng: np.random.Generator,
    among: int = AMONG,
    samples: int = 1000,
    confidence: float = 0.95,
    progress: Progress | None = None,
) -> PersonalFit:
    """Find each text among texts about the same item for others, by nearness to what its reader liked later.

    A person is the mean of the vectors of the withheld texts, scaled to length 1, less the mean of all people: each
    person counts the same in that mean, however alike the texts of one are. The intervals are over people.

    Args:
        texts: N texts.
        users: (N,) for whom each was written.
        about: (N,) the item that each is about.
        withheld: For each user, the texts of liked items that the writer knew nothing of.
        encoder: One that the writer did not choose its texts with, or it would judge itself.
        rng: Draws the resamples.
        among: Texts that are compared, the own one included.
        samples: Resamples of people.
        confidence: Probability that an interval holds the true mean.
        progress: Shows how far it has come.
    """
    people = [user for user in dict.fromkeys(users) if withheld.get(user)]
    known = [at for at, user in enumerate(users) if withheld.get(user)]
    liked = [(row, text) for row, user in enumerate(people) for text in withheld[user]]
    read = [*(texts[at] for at in known), *(text for _, text in liked)]
    if not known:
        nothing = Interval(np.nan, np.nan, np.nan)
        return PersonalFit(0, 0, among, nothing, nothing, nothing, np.nan)
    fitted = encoder.fit(read) if isinstance(encoder, LearnsFromTexts) else encoder
    vectors = fitted.encode(read, progress=progress)
    tastes = np.zeros((len(people), vectors.shape[1]))
    np.add.at(tastes, [row for row, _ in liked], vectors[len(known) :])
    # What all people have in common says nothing of any, and is most of a mean of vectors.
    tastes /= np.maximum(1e-9, np.linalg.norm(tastes, axis=1, keepdims=True))
    tastes -= tastes.mean(0)
    row_of = {user: row for row, user in enumerate(people)}
    owners = np.array([row_of[users[at]] for at in known])
    _, groups = np.unique([about[at] for at in known], return_inverse=True)
    places = own_places(vectors[: len(known)], tastes[owners], owners, groups, among=among)
    means = by_person(places, owners)
    rank, first, mrr = (
        bootstrap_interval(means[:, column], samples=samples, confidence=confidence, rng=rng) for column in range(3)
    )
    compared = int((~np.isnan(places[:, 0])).sum())
    return PersonalFit(compared, len(means), among, rank, first, mrr, _distinct_in_groups(texts, about))


def _distinct_in_groups(texts: Sequence[str], about: Sequence[str]) -> float:
    sums = np.zeros(2)
    for item in dict.fromkeys(about):
        sums += distinct([text for text, other in zip(texts, about, strict=True) if other == item], 2).sum(0)
    return float(sums[0] / sums[1]) if sums[1] else float("nan")
