"""The sample worlds by name, and their settings."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from genre.core.config import Config
from genre.data.sample.behaviour import Weights
from genre.data.sample.courses import COURSES
from genre.data.sample.films import FILMS
from genre.data.sample.world import World, simulate
from genre.data.tables import Tables

WORLDS: Final[dict[str, World]] = {"films": FILMS, "courses": COURSES}


class SampleConfig(Config):
    """Settings of a sample world."""

    kind: Literal["sample"] = "sample"
    world: Literal["films", "courses"] = "films"
    """What there is to choose from: 280 real films, or 120 invented courses."""
    seed: int = Field(default=7, ge=0)
    """Another seed is another world with the same items."""
    num_viewers: int = Field(default=600, ge=20, le=10_000)
    """Viewers, with about 20 viewings each, or learners, with about 13 courses each. 600 are enough to tell a good
    method from a bad one within seconds."""
    weights: Weights = Weights()
    """What the choice of an item depends on."""

    @property
    def notice(self) -> str:
        """Say what is real in the world; stands wherever results on it are shown."""
        return WORLDS[self.world].notice


def sample_tables(config: SampleConfig | None = None) -> Tables:
    """Simulate a world: interactions, items, users and impressions, the same for the same settings."""
    config = config or SampleConfig()
    return simulate(WORLDS[config.world], config.seed, config.num_viewers, config.weights)
