"""Named arrays, as what a model has learned is kept: parts of several under one roof, and texts among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


def with_prefix(prefix: str, parts: Mapping[str, T]) -> dict[str, T]:
    """Return the parts under longer names."""
    return {prefix + name: part for name, part in parts.items()}


def below(prefix: str, parts: Mapping[str, T]) -> dict[str, T]:
    """Return those parts whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): part for name, part in parts.items() if name.startswith(prefix)}


def text_as_array(text: str) -> NDArray[np.uint8]:
    """Return a text as bytes; what is no text in UTF-8, such as half of a pair, becomes a question mark."""
    return np.frombuffer(text.encode("utf-8", "replace"), np.uint8)


def text_of_array(part: NDArray[Any]) -> str:
    """Return what `text_as_array` was given."""
    return bytes(part).decode()


def lines_as_array(texts: Sequence[str]) -> NDArray[np.uint8]:
    """Return texts as bytes, a line for each."""
    return text_as_array("\n".join(text.replace("\n", " ") for text in texts))


def lines_of_array(part: NDArray[Any]) -> list[str]:
    """Return what `lines_as_array` was given, line breaks as spaces."""
    return text_of_array(part).split("\n")
