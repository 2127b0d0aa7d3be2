"""Where files are kept that can be made again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_directory() -> Path:
    """Return `$GENRE_CACHE`, or `genre` in the user's directory of caches."""
    if own := os.environ.get("GENRE_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "genre"
