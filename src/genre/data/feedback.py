"""From what happened to how much it was liked."""

from __future__ import annotations

from pydantic import Field

import polars as pl

from genre.core.config import Config
from genre.core.errors import ConfigError
from genre.data.columns import EVENT, VALUE
