"""The base of every configuration class."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class Config(BaseModel):
    """A frozen set of settings; unknown keys are errors, and a field's docstring is its documentation."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _parts_keep_their_defaults(cls, value: Any) -> Any:
        """Let `training: {epochs: 5}` change the epochs alone, where a field's default differs from its class's."""
        if not isinstance(value, dict):
            return value
        parts = {}
        for name, field in cls.model_fields.items():
            given, default = value.get(name), field.default
            if isinstance(given, dict) and isinstance(default, Config) and "kind" not in type(default).model_fields:
                parts[name] = default.model_dump(exclude_unset=True) | given
        return {**value, **parts}
