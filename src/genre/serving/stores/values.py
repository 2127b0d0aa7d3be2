"""What may stand in the stores: ids, times and JSON that both databases keep exactly as they were given."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Annotated, Any, Final, TypeAlias, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, Strict, StringConstraints

from genre.core.errors import DataError

T = TypeVar("T")
LONGEST_ID: Final = 256
"""Characters of an id."""
LONGEST_NOTE: Final = 1_000
"""Characters of a note."""
LARGEST_JSON: Final = 65_536
"""Bytes of an item's columns, of what is known of a user, or of an event's context."""
LATEST: Final = 1e11
"""Seconds, in the year 5138: a time past it is in milliseconds."""
IDS_AT_ONCE: Final = 500
"""Ids that one statement asks for."""
_NO_NUL: Final[dict[str, Any]] = {"pattern": "^[^\\u0000]*$"}
"""What the description says of a text that is kept; `check_text` says it better to whoever sends another."""
ID_SCHEMA: Final[dict[str, Any]] = {"type": "string", "minLength": 1, "maxLength": LONGEST_ID, **_NO_NUL}
"""The description of an id."""


def check_text(value: str) -> str:
    """Refuse a text that not every database can keep.

    Raises:
        ValueError: It holds a NUL or half a surrogate pair.
    """
    if "\0" in value:
        raise ValueError("holds a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("holds half a character (a lone surrogate)") from None
    return value


def check_object(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Refuse a JSON object that not every database can keep.

    Raises:
        ValueError: It is too large, or holds what is no JSON or no text.
    """
    size = len(check_text(json.dumps(value, ensure_ascii=False, allow_nan=False)).encode())
    if size > LARGEST_JSON:
        raise ValueError(f"is {size:,} bytes of JSON, at most {LARGEST_JSON:,} are kept")
    return value


def _whole(value: Any) -> Any:
    """Return a whole number as one, however it is written: to JSON, 3.0 is 3."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Id: TypeAlias = Annotated[
    str,
    StringConstraints(min_length=1, max_length=LONGEST_ID),
    AfterValidator(check_text),
    Field(json_schema_extra=_NO_NUL),
]
Note: TypeAlias = Annotated[
    str,
    StringConstraints(max_length=LONGEST_NOTE),
    AfterValidator(check_text),
    Field(json_schema_extra=_NO_NUL),
]
"""Why something was done, in words."""
Whole: TypeAlias = Annotated[int, Strict()]
AS_JSON: Final = BeforeValidator(_whole)
"""Stands behind a `Whole` and its bounds."""
Number: TypeAlias = Annotated[float, Strict()]
"""Neither a text nor true or false can pass for a number."""
Time: TypeAlias = Annotated[float, Field(ge=0, lt=LATEST, allow_inf_nan=False)]
"""Seconds since 1970."""
JsonObject: TypeAlias = Annotated[dict[str, JsonValue], AfterValidator(check_object)]


def checked_id(value: str, place: str) -> str:
    """Return an id that can be kept.

    Raises:
        DataError: It is empty, too long, or holds what is no text.
    """
    try:
        check_text(value)
    except ValueError as error:
        raise DataError(f"{value!r} {error}", place=place, remedy="Send another id.") from None
    if not 0 < len(value) <= LONGEST_ID:
        raise DataError(
            f"{value[:40]!r} has {len(value):,} characters", place=place, remedy=f"An id has 1 to {LONGEST_ID}."
        )
    return value


def checked_object(value: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Return a JSON object that can be kept.

    Raises:
        DataError: It is too large, or holds what is no JSON.
    """
    try:
        return check_object(dict(value))
    except (TypeError, ValueError) as error:
        raise DataError(f"the columns cannot be kept: {error}", place=place, remedy="Send plain JSON.") from None


def chunks(values: Iterable[T], size: int) -> Iterable[Sequence[T]]:
    """Yield the values in lists of at most `size`."""
    rest = iter(values)
    while chunk := list(islice(rest, size)):
        yield chunk
