"""What the training loop says when it cannot begin, or not go on."""

from __future__ import annotations

from importlib.util import find_spec

import torch

from genre.core.errors import DependencyError, ResourceError
from genre.training.config import TrainingConfig


def check_tracker(tracker: str, name: str) -> None:
    """Make sure that what is logged to is there.

    Raises:
        DependencyError: It is not installed.
    """
    if find_spec(tracker) is None:
        raise DependencyError(
            f"needs the library {tracker!r}, which is not installed, to log to it",
            place=name,
            remedy=f"Install it with `pip install {tracker}`, or set training.tracker=none.",
        )


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether torch says so."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def too_large(config: TrainingConfig, name: str) -> ResourceError:
    """Return an error with settings that take less memory."""
    parts = min(2 * config.accumulate, config.batch_size)
    return ResourceError(
        f"the memory does not suffice for batch_size={config.batch_size} in {config.accumulate} part(s)",
        place=name,
        remedy=f"Set training.accumulate={parts}, which gives the same result in about half the memory; "
        "a shorter `length` or a smaller `size` takes less too.",
    )
