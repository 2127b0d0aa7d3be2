"""Amazon reviews and products, as released in 2014, 2018 and 2023.

The releases differ in names (`reviewerID` or `user_id`, `asin` or `parent_asin`) and in types: categories are lists or
lists of lists, a description is a text or a list, a price is a number or "$5.99". The product file of 2014 holds
Python literals in place of JSON. Ratings averaged over all reviews (2023) are not read: they know the test reviews.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any, Final

import polars as pl

from genre.data.columns import ITEM_ID, TIMESTAMP, USER_ID, VALUE
from genre.data.readers.file_table import FileTable
from genre.data.readers.jsonl import read_jsonl
from genre.data.readers.sources import Source

_REVIEW_KEYS: Final = {
    USER_ID: ("reviewerID", "user_id"),
    ITEM_ID: ("parent_asin", "asin"),
    TIMESTAMP: ("unixReviewTime", "timestamp"),
    VALUE: ("overall", "rating"),
}
_PRODUCT_KEYS: Final = {
    ITEM_ID: ("parent_asin", "asin"),
    "title": ("title",),
    "brand": ("brand", "store"),
    "categories": ("categories", "category"),
    "main_category": ("main_category", "main_cat"),
    "price": ("price",),
    "description": ("description",),
    "features": ("features", "feature"),
}
"""Genre's name, and those of the releases: the first that has any value counts."""
_PRODUCT: Final = r"""\{.*["'](parent_)?asin["']\s*:"""
_PRICE: Final = r"^\$?\s*(\d[\d,]*(?:\.\d+)?)(?:\s*-.*)?$"


def is_amazon(line: str) -> bool:
    """Return whether a line of JSON (or a Python literal) is one of Amazon's."""
    return re.match(_PRODUCT, line) is not None


def read_reviews(source: Source) -> tuple[FileTable, dict[str, str]]:
    """Return who rated what and when, and which key means what; texts of reviews are left out."""
    return _read(source, _REVIEW_KEYS)


def read_products(source: Source) -> tuple[FileTable, dict[str, str]]:
    """Return the products, their categories as lists, their texts in one piece, their price as a number."""
    raw, mapping = _read(source, _PRODUCT_KEYS)
    frame = raw.frame
    for name, key in mapping.items():
        if name in _SHAPES:
            frame = frame.with_columns(_SHAPES[name](frame[key]))
    return raw.with_frame(frame), mapping


def _read(source: Source, keys: Mapping[str, tuple[str, ...]]) -> tuple[FileTable, dict[str, str]]:
    literal = source.head[0].lstrip().startswith("{'")
    raw = read_jsonl(source, list(chain(*keys.values())), parse=ast.literal_eval if literal else json.loads)
    mapping: dict[str, str] = {}
    for name, candidates in keys.items():
        used = next((key for key in candidates if raw.frame[key].null_count() < len(raw.frame)), None)
        if used is not None:
            mapping[name] = used
    return raw.with_frame(raw.frame.select(mapping.values())), mapping


def _labels(column: pl.Series) -> pl.Series:
    """Return lists of labels, each once, from JSON lists that may hold lists."""
    return _mapped(column, lambda cell: list(dict.fromkeys(_flat(cell))) or None, pl.List(pl.String))


def _text(column: pl.Series) -> pl.Series:
    """Return the paragraphs of a JSON list as one text."""
    return _mapped(column, lambda cell: "\n".join(_flat(cell)) or None, pl.String())


def _price(column: pl.Series) -> pl.Series:
    """Return a price in dollars; the lower end of a range, and null for anything else."""
    return column.str.extract(_PRICE).str.replace_all(",", "").cast(pl.Float64)


def _mapped(column: pl.Series, function: Callable[[str], Any], dtype: pl.DataType) -> pl.Series:
    values = [None if cell is None else function(cell) for cell in column]
    return pl.Series(column.name, values, dtype=dtype)


def _flat(cell: str) -> list[str]:
    """Return all texts of a JSON list, however deep; a text that is no list stands for itself."""
    try:
        content = json.loads(cell) if cell.startswith("[") else cell
    except ValueError:
        content = cell
    if isinstance(content, list):
        return [text for part in content for text in _flat_part(part)]
    return [content.strip()] if content.strip() else []


def _flat_part(part: Any) -> list[str]:
    if isinstance(part, list):
        return [text for inner in part for text in _flat_part(inner)]
    text = str(part).strip()
    return [text] if text else []


_SHAPES: Final[Mapping[str, Callable[[pl.Series], pl.Series]]] = {
    "categories": _labels,
    "description": _text,
    "features": _text,
    "price": _price,
}
