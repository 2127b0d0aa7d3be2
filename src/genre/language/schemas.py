"""What a JSON Schema says of a text."""

from __future__ import annotations

import json
from typing import Any

from genre.core.errors import ConfigError
from genre.language.base import Schema


def check_schema(schema: Schema) -> None:
    """Make sure that a schema is one.

    Raises:
        ConfigError: It is not.
    """
    from jsonschema import SchemaError  # type: ignore[import-untyped]

    try:
        _validator(schema).check_schema(schema)
    except SchemaError as error:
        raise ConfigError(
            f"this is no JSON Schema: {error.message}", place="schema", remedy="See https://json-schema.org/learn."
        ) from error


def schema_problem(text: str, schema: Schema) -> str | None:
    """Return what is wrong with a text that should be JSON and valid by the schema, or None."""
    from jsonschema.exceptions import best_match  # type: ignore[import-untyped]

    try:
        value = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        return f"the answer is no JSON: {error}"
    problem = best_match(_validator(schema).iter_errors(value))
    return None if problem is None else f"the answer is not valid by the schema: {problem.message[:200]}"


def _validator(schema: Schema) -> Any:
    from jsonschema.validators import validator_for  # type: ignore[import-untyped]

    return validator_for(schema)(schema)


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")
