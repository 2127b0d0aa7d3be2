"""How good models are with the events of a few users: what a scenario begins with."""

from __future__ import annotations

from pydantic import Field, field_validator

from genre.core.config import Config


class FewUsersConfig(Config):
    """Which models are fitted again with the events of a share of the users, and judged by the same questions."""

    models: tuple[str, ...] = Field(min_length=1)
    """By their names; the others are compared with the first."""
    shares: tuple[float, ...] = Field(default=(0, 0.01, 0.05, 0.2), min_length=1)
    """Shares of the users whose training and validation events are left; the users of a smaller share are among those
    of a larger one. 0 leaves none: what then answers has learned elsewhere, and a model that cannot be fitted with
    nothing has no value there. All of them is what the run judges anyway."""

    @field_validator("shares")
    @classmethod
    def _are_shares(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 <= share < 1 for share in shares) or len(set(shares)) < len(shares):
            raise ValueError(f"{list(shares)} must be different numbers from 0 to below 1")
        return tuple(sorted(shares))
