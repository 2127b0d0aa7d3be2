"""Which of several true texts is the best: by the facts, by the language model, by what the person liked.

Shapes: N texts, D numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from genre.core.config import Config
from genre.core.run import Progress
from genre.generation.checks import share_told
from genre.generation.requests import Request
from genre.language.base import Generator, LearnsFromTexts, TextEncoder

_MOST_TOKENS = 256
Scores = Mapping[str, float | None]
"""By the names of `Weights`; None where it is not known."""


class Weights(Config):
    """What counts how much in the sum by which one of several texts is the best."""

    grounding: float = Field(default=1.0, ge=0)
    """Of the share of its words that stand in the facts."""
    fluency: float = Field(default=0.5, ge=0)
    """Of how likely it is to the language model, in bits per byte; only where the model runs here."""
    preference: float = Field(default=1.0, ge=0)
    """Of the cosine of its vector and that of what the person liked."""

    def total(self, scores: Scores) -> float:
        """Return the sum of what is known."""
        weights: dict[str, float] = self.model_dump()
        return sum(weight * (scores[name] or 0.0) for name, weight in weights.items())


@dataclass(frozen=True, eq=False)
class Scales:
    """Weighs candidates."""

    generator: Generator
    encoder: TextEncoder

    def scores(self, texts: Sequence[tuple[Request, str]], progress: Progress) -> list[Scores]:
        """Return how well each of N texts stands in the facts, reads, and suits the person."""
        if not texts:
            return []
        grounding = [share_told(text, [*request.facts.lines, *request.told]) for request, text in texts]
        fluency = self._fluency([text for _, text in texts], progress)
        preference = self._preference(texts, progress)
        return [
            {"grounding": first, "fluency": second, "preference": third}
            for first, second, third in zip(grounding, fluency, preference, strict=True)
        ]

    def _fluency(self, texts: Sequence[str], progress: Progress) -> list[float | None]:
        """Return minus the bits per byte that the language model needs for each; None where it does not run here."""
        load = getattr(self.generator, "load", None)
        if load is None:
            return [None] * len(texts)
        from genre.language.scoring import bits_and_bytes

        pairs = bits_and_bytes(load(), texts, max_tokens=_MOST_TOKENS, progress=progress)
        return [float(-bits / max(1.0, size)) for bits, size in pairs]

    def _preference(self, texts: Sequence[tuple[Request, str]], progress: Progress) -> list[float | None]:
        """Return the cosine of each text and the mean of what its person liked; None for somebody without a history."""
        liked = list(dict.fromkeys(text for request, _ in texts for text in request.liked))
        vectors = self._vectors([*(text for _, text in texts), *liked], progress)
        row = {text: vectors[len(texts) + at] for at, text in enumerate(liked)}
        found: list[float | None] = []
        for at, (request, _) in enumerate(texts):
            if not request.liked:
                found.append(None)
                continue
            mean = np.mean([row[text] for text in request.liked], axis=0)
            found.append(float(vectors[at] @ mean / max(1e-9, float(np.linalg.norm(mean)))))
        return found

    def _vectors(self, texts: Sequence[str], progress: Progress) -> NDArray[np.float32]:
        """Return (N, D); an encoder that has to see texts first sees these."""
        encoder = self.encoder.fit(texts) if isinstance(self.encoder, LearnsFromTexts) else self.encoder
        found: NDArray[np.float32] = encoder.encode(texts, progress=progress)
        return found
