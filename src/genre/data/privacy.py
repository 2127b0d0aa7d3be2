"""Privacy: pseudonyms in place of user ids, and personal data masked in free text, before anything is stored."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import polars as pl
from pydantic import Field

from genre.core.config import Config
from genre.core.errors import ConfigError
from genre.data._personal import KINDS
from genre.data.columns import EVENT, ITEM_ID, LIST_ID, USER_ID
from genre.data.tables import Tables

SHORTEST_KEY = 16
"""Characters; a shorter key can be found by trying."""
_TABLES = ("interactions", "items", "users", "impressions")
_NO_TEXT = frozenset({USER_ID, ITEM_ID, LIST_ID, EVENT})


class PrivacyConfig(Config):
    """What is hidden; nothing by default, since a run on one's own machine need not lose the ids one knows."""

    hash_users: bool = False
    """Replace user ids by keyed hashes (HMAC-SHA256): the same id gives the same pseudonym in all tables and runs, and
    without the key nobody can tell whose it is, or try out the ids one knows."""
    key_env: str = Field(default="GENRE_PRIVACY_KEY", min_length=1)
    """Name of the environment variable that holds the key. The key itself is never stored: whoever loses it cannot
    continue the pseudonyms."""
    hash_bits: Literal[64, 128, 256] = 128
    """Length of a pseudonym. 128, the default, makes two equal ones unlikely (1e-22) even among 100 million users."""
    mask_text: tuple[Literal["email", "phone", "card", "address"], ...] = ()
    """Kinds of personal data to replace in free text by "[email]", "[phone]", "[card]" and "[address]". Finds English
    and Chinese ones by their form; what is disguised, and names of people, it does not find."""


@dataclass(frozen=True)
class Masked:
    """What was masked of one kind in one column."""

    table: str
    column: str
    kind: str
    rows: int
    """Texts that held one."""
    places: int
    """How many were found in all."""


@dataclass(frozen=True)
class PrivacyReport:
    """What was hidden. Holds no personal data itself."""

    users_hashed: int
    """Distinct user ids."""
    masked: tuple[Masked, ...]
    """Every column and kind that was looked at, those without a find included."""

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"{self.users_hashed:,} user ids replaced by pseudonyms"] if self.users_hashed else []
        lines += [f"{m.table}.{m.column}: {m.places:,} x [{m.kind}] in {m.rows:,} rows" for m in self.masked if m.rows]
        return "\n".join(lines) or "nothing hidden"


def protect(
    tables: Tables, config: PrivacyConfig, text_columns: Mapping[str, Sequence[str]] | None = None
) -> tuple[Tables, PrivacyReport]:
    """Hide who people are.

    Args:
        tables: What was read.
        config: What to hide.
        text_columns: Columns of free text by table, as in `{"items": ["title"]}`; by default every column of strings
            but ids and event types.

    Raises:
        ConfigError: User ids are to be hashed and the key is missing or short, or a text column is not there.
    """
    hashed = 0
    if config.hash_users:
        tables, hashed = _hash_users(tables, _key(config), config.hash_bits)
    masked: list[Masked] = []
    if config.mask_text:
        for table, columns in (_text_columns(tables) if text_columns is None else text_columns).items():
            for column in columns:
                tables, finds = _mask_column(tables, table, column, config)
                masked += finds
    return tables, PrivacyReport(hashed, tuple(masked))


def pseudonym(user_id: str, key: bytes, bits: int) -> str:
    """Return the first `bits` of HMAC-SHA256(key, id) in hexadecimal."""
    return hmac.digest(key, user_id.encode(), hashlib.sha256).hex()[: bits // 4]


def pseudonymiser(config: PrivacyConfig) -> Callable[[str], str] | None:
    """Return what hashes a user's id as `protect` does; None where ids are not hashed, or the key is not at hand."""
    if not config.hash_users or not os.environ.get(config.key_env):
        return None
    key = _key(config)
    return lambda user_id: pseudonym(user_id, key, config.hash_bits)


def _key(config: PrivacyConfig) -> bytes:
    key = os.environ.get(config.key_env, "")
    if len(key) < SHORTEST_KEY:
        problem = f"has {len(key)} characters, at least {SHORTEST_KEY} are needed" if key else "is not set"
        raise ConfigError(
            f"the environment variable {config.key_env!r} {problem}",
            place="privacy.key_env",
            remedy='Make a key once with `python -c "import secrets; print(secrets.token_hex(32))"`, keep it in your '
            "secret store, and export it before each run; or set `hash_users: false`.",
        )
    return key.encode()


def _hash_users(tables: Tables, key: bytes, bits: int) -> tuple[Tables, int]:
    present = {table: frame for table in _TABLES if (frame := _frame(tables, table)) is not None and USER_ID in frame}
    ids = pl.concat([frame[USER_ID] for frame in present.values()]).drop_nulls().unique()
    names = pl.Series(USER_ID, [pseudonym(user_id, key, bits) for user_id in ids], dtype=pl.String)
    place = pl.Enum(ids)  # Numbers the ids: several times faster than replacing strings by strings.
    changed: dict[str, Any] = {
        table: frame.with_columns(names.gather(frame[USER_ID].cast(place).to_physical()))
        for table, frame in present.items()
    }
    return replace(tables, **changed), len(ids)


def _frame(tables: Tables, table: str) -> pl.DataFrame | None:
    frame: pl.DataFrame | None = getattr(tables, table, None)
    return frame


def _text_columns(tables: Tables) -> dict[str, list[str]]:
    frames = {table: frame for table in _TABLES if (frame := _frame(tables, table)) is not None}
    return {
        table: [name for name, dtype in frame.schema.items() if dtype == pl.String and name not in _NO_TEXT]
        for table, frame in frames.items()
    }


def _mask_column(tables: Tables, table: str, column: str, config: PrivacyConfig) -> tuple[Tables, list[Masked]]:
    frame = _frame(tables, table)
    if frame is None or frame.schema.get(column) != pl.String:
        raise ConfigError(
            f"{column!r} is not a column of strings",
            place=f"privacy, table {table!r}",
            remedy=f"Choose from {_text_columns(tables).get(table, [])}.",
        )
    texts, finds = frame[column], []
    for kind in KINDS:
        if kind in config.mask_text:
            texts, rows, places = mask_texts(texts, kind)
            finds.append(Masked(table, column, kind, rows, places))
    changed: dict[str, Any] = {table: frame.with_columns(texts.alias(column))}
    return replace(tables, **changed), finds


def mask_all(texts: pl.Series) -> tuple[pl.Series, int]:
    """Return the texts with personal data of all kinds masked, and the number of finds."""
    places = 0
    for kind in KINDS:
        texts, _, found = mask_texts(texts, kind)
        places += found
    return texts, places


def mask_texts(texts: pl.Series, kind: str) -> tuple[pl.Series, int, int]:
    """Return the texts with all personal data of one kind masked, the number of texts changed, and of finds."""
    likely = np.flatnonzero(texts.str.contains(KINDS[kind].hint).fill_null(value=False).to_numpy())
    results = [KINDS[kind].mask(text, f"[{kind}]") for text in texts.gather(likely)]
    found = np.array([count for _, count in results], np.int64)
    changed = likely[found > 0]
    masked = pl.Series([text for text, count in results if count], dtype=pl.String)
    return texts.clone().scatter(changed, masked), len(changed), int(found.sum())
