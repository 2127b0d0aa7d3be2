"""How models are judged."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, field_validator, model_validator

from genre.core.config import Config
from genre.metrics.ranking import METRICS
from genre.metrics.statistics import PairedTest


class FullRanking(Config):
    """Every target is ranked among all items."""

    kind: Literal["full"] = "full"


class SampledRanking(Config):
    """Every target is ranked among a sample of items that the query has not seen; the same sample for every model.

    Sampled metrics are not comparable with full ones, and may order models otherwise; older papers report them.

    Krichene and Rendle: On Sampled Metrics for Item Recommendation. KDD 2020.
    """

    kind: Literal["sampled"] = "sampled"
    num: int = Field(default=100, ge=1)
    """Items drawn for each query beside its targets; 100 is what most papers that sample use."""
    by: Literal["uniform", "popularity"] = "popularity"
    """Whether an item is drawn as often as any other, or in proportion to its likes in training. Popular items make
    the task harder: a sample of items that nobody knows is beaten by counting likes."""


CandidatesConfig: TypeAlias = Annotated[FullRanking | SampledRanking, Field(discriminator="kind")]


class SliceConfig(Config):
    """Parts of the users and of the items that are also judged alone."""

    history_lengths: tuple[int, ...] = (0, 1, 4, 8, 16, 32)
    """Where each bin of history lengths begins, in likes."""
    cold_history: int = Field(default=3, ge=0)
    """Users with at most this many likes in the history count as cold; few more, and behaviour says enough."""
    user_columns: tuple[str, ...] | None = None
    """Columns of the user table whose values are compared; None, the default, takes every column of labels or
    numbers."""
    max_groups: int = Field(default=10, ge=2)
    """Values of a user column that become groups, the most frequent; more would be too small to tell anything."""
    min_queries: int = Field(default=30, ge=1)
    """Queries that a group needs to count in the gap between the best and the worst group: below, chance decides."""

    @field_validator("history_lengths")
    @classmethod
    def _rise(cls, lengths: tuple[int, ...]) -> tuple[int, ...]:
        if not lengths or lengths[0] < 0 or list(lengths) != sorted(set(lengths)):
            raise ValueError(f"{lengths!r} must be rising numbers from 0 or more")
        return lengths


class EvaluationConfig(Config):
    """What is measured, and against which candidates."""

    ks: tuple[int, ...] = Field(default=(5, 10, 20), min_length=1)
    """Lengths of the lists that are judged."""
    primary: str = "NDCG@10"
    """The metric that models are chosen and compared by."""
    hide_seen: bool = True
    """Whether items of the history are no answers. False suits data in which people come back for the same items."""
    candidates: CandidatesConfig = FullRanking()
    memory_mib: int = Field(default=256, ge=1)
    """Most that a block of scores may take. Larger ones are hardly faster, and a model may need as much once more."""
    slices: SliceConfig = SliceConfig()
    click_negatives: int = Field(default=10, ge=1)
    """Unseen items drawn for each query where clicks are judged without a log of impressions: about a page of items."""
    click_queries: int = Field(default=2000, ge=1)
    """Queries drawn to judge clicks on where there is no log of impressions; 2000 fix an AUC to about 0.005."""
    bootstrap: int = Field(default=1000, ge=1)
    """Samples behind every interval."""
    confidence: float = Field(default=0.95, gt=0, lt=1)
    """Probability that an interval holds the true value."""
    paired_test: PairedTest = "t"
    """How the p-value of a difference between two models is found."""

    @field_validator("ks")
    @classmethod
    def _sorted(cls, ks: tuple[int, ...]) -> tuple[int, ...]:
        if min(ks) < 1:
            raise ValueError(f"{ks!r} must be 1 or more")
        return tuple(sorted(set(ks)))

    @model_validator(mode="after")
    def _primary_is_measured(self) -> EvaluationConfig:
        self.check_measured(self.primary, "`primary`")
        return self

    def check_measured(self, metric: str, place: str) -> None:
        """Make sure that a metric is measured.

        Raises:
            ValueError: It is not; the message begins with `place`.
        """
        name, _, k = metric.partition("@")
        if name not in METRICS or k not in {str(length) for length in self.ks}:
            raise ValueError(
                f"{place} is {metric!r}, which is not measured: it must be one of {', '.join(METRICS)}, "
                f"an @ and one of `ks` {list(self.ks)}"
            )

    @property
    def primary_k(self) -> int:
        """Return the list length of the primary metric, at which lists are judged beyond accuracy too."""
        return int(self.primary.partition("@")[2])
