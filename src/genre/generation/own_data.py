"""What a person may be addressed by, and what stands in a text of somebody else."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from genre.core.errors import ConfigError
from genre.core.words import CJK
from genre.data.dataset import Entities
from genre.features.enrich.untrusted import neutralise

_LONGEST: Final = 40
"""Characters of a value that are taken."""
_WORD: Final = re.compile(rf"[{CJK}]|[^\W{CJK}]+(?:['’@.-][^\W{CJK}]+)*")


class OwnData:
    """Columns of the user table that texts for a person may hold of that person, and of nobody else."""

    def __init__(self, users: Entities, columns: Sequence[str] = ()) -> None:
        """Read the columns.

        Args:
            users: The user table.
            columns: Those that people agree to be addressed by, such as `name`; none gives and looks for nothing.

        Raises:
            ConfigError: There is no such column of texts.
        """
        check_columns(users, columns)
        self._values = {name: users.frame[name].to_list() for name in columns}
        said = {_said(cell) for cells in self._values.values() for cell in cells}
        self._known = {tuple(_WORD.findall(value)): value for value in said if len(value) > 1}
        self._longest = max(map(len, self._known), default=0)

    def of(self, user: int) -> dict[str, str]:
        """Return what a user, given by row, may be addressed by: each column, "" where nothing is known.

        What could pass for an order to a language model is left out: people write what they are called themselves.
        """
        return {name: _said(cells[user]) if user >= 0 else "" for name, cells in self._values.items()}

    def others_in(self, text: str, allowed: Sequence[str]) -> list[str]:
        """Return values of users that stand in a text and not in what is allowed: the facts, and its reader's own."""
        found = self._in(text)
        return sorted(found - set().union(*map(self._in, allowed))) if found else []

    def _in(self, text: str) -> set[str]:
        """Return the values that a text holds as whole words, of Chinese as runs of characters."""
        if not self._longest:
            return set()
        words = _WORD.findall(text)
        return {
            self._known[run]
            for start in range(len(words))
            for size in range(1, min(self._longest, len(words) - start) + 1)
            if (run := tuple(words[start : start + size])) in self._known
        }


def check_columns(users: Entities, columns: Sequence[str]) -> None:
    """Make sure that people can be addressed by columns.

    Raises:
        ConfigError: There is no such column of texts.
    """
    texts = [name for name, dtype in users.frame.schema.items() if dtype in (pl.String, pl.List(pl.String))][1:]
    if strangers := [name for name in columns if name not in texts]:
        raise ConfigError(
            f"nobody can be addressed by {strangers[0]!r}: it is no column of texts in the user table",
            place="write.address_by",
            remedy=f"Choose from {', '.join(texts)}." if texts else "Leave it out: users have no such columns.",
        )


def spared(text: str, own: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return a text with a person's own values replaced by marks that nothing else holds, and the values in order."""
    values = sorted(filter(None, own.values()), key=len, reverse=True)
    for at, value in enumerate(values):
        text = text.replace(value, chr(0xE000 + at))
    return text, values


def restored(text: str, values: Sequence[str]) -> str:
    """Return a text as it was before `spared`."""
    for at, value in enumerate(values):
        text = text.replace(chr(0xE000 + at), value)
    return text


def _said(value: object) -> str:
    """Return a cell of the user table as it may stand in a prompt."""
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    return "" if value is None else neutralise(str(value)).text[:_LONGEST].strip()
