"""The base of every configuration class."""

from __future__ import annotations

import hashlib
import json

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """A frozen set of settings; unknown keys are errors, and a field's docstring is its documentation."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    def digest(self) -> str:
        """Return a short hash of the resolved settings, equal for equal settings."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
