"""Places of histories that are several tokens each, side by side in the rows of one table. Needs torch.

Shapes: R rows, L places of a row, M tokens of the longest row.
"""

from __future__ import annotations

import torch
from torch import Tensor


def owners(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Return which place each token belongs to (R, M), -1 behind the last one, and which of its tokens it is (R, M).

    Args:
        counts: (R, L) tokens of each place, 0 for an empty one.
    """
    sums = counts.cumsum(1)
    width = max(1, int(counts.sum(1).max()))
    at = torch.arange(width, device=counts.device).expand(len(counts), width).contiguous()
    owner = torch.searchsorted((sums - 1).contiguous(), at)
    owner = torch.where(at < sums[:, -1:], owner, -1)
    return owner, at - (sums - counts).gather(1, owner.clamp(min=0))


def positions(segments: Tensor) -> Tensor:
    """Return the place of each token in its own history (R, M), from 0, where `segments` tell histories apart."""
    at = torch.arange(segments.shape[1], device=segments.device).expand_as(segments)
    begins = torch.ones_like(segments, dtype=torch.bool)
    begins[:, 1:] = segments[:, 1:] != segments[:, :-1]
    return at - torch.where(begins, at, 0).cummax(1).values
