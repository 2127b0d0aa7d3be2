"""Times in whatever form a file has them, as whole seconds since 1970, UTC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from genre.data.cells import as_text, is_missing, without

EARLIEST: Final = 31_536_000
"""1971-01-01. What lies before is no time of an event but a zero, a sign error or a running number."""
LATEST: Final = 4_102_444_800
"""2100-01-01. What lies behind is in another unit, or stands for "never"."""

_UNITS: Final = (("seconds", 1, 1e11), ("milliseconds", 10**3, 1e14), ("microseconds", 10**6, 1e17))
"""Name, how many make a second, and the number from which on it must be a smaller unit: each limit is a date some
thousands of years ahead in its own unit, and in early 1973 in the next smaller one."""
_FORMATS: Final = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%Y年%m月%d日", "%m %d, %Y", "%d-%b-%Y")
"""ISO 8601 and its shorter forms; the last two are what Amazon and MovieLens files hold."""
_OFFSET: Final = r":\d\d(\.\d+)? ?(Z|[+-]\d\d:?\d\d)$"


@dataclass(frozen=True)
class Times:
    """A column of times."""

    seconds: pl.Series
    """Int64; null where the file has none, or has what is no time."""
    unreadable: pl.Series
    """Boolean; true where there is something, and it is no time."""
    unit: str
    """Of the numbers in the file; "seconds" where it holds dates."""


def to_seconds(column: pl.Series) -> Times:
    """Read times: numbers in any unit, ISO texts, dates.

    Numbers are in seconds, milli-, micro- or nanoseconds; the median tells which. A date without an offset is in UTC.
    Fractions of a second are cut off.
    """
    if column.dtype.is_temporal() and column.dtype not in (pl.Time, pl.Duration):
        return _read_all(column, column.cast(pl.Datetime("us")).dt.timestamp("us") // 1_000_000, "seconds")
    if column.dtype.is_numeric():
        return _from_numbers(column, column)
    text, numbers = column, as_text(column).cast(pl.Int64, strict=False)
    if numbers.null_count() > text.null_count():
        text = as_text(column).str.strip_chars()
        text = without(text, is_missing(text))
        numbers = text.cast(pl.Float64, strict=False)
    if 2 * numbers.count() >= text.count():
        return _from_numbers(text, numbers)
    return _read_all(text, _from_text(as_text(text)), "seconds")


def _from_numbers(column: pl.Series, numbers: pl.Series) -> Times:
    """Turn numbers of one unit into seconds."""
    if not numbers.dtype.is_integer():
        numbers = numbers.cast(pl.Float64)
        column = without(column, numbers.is_nan())
        numbers = without(numbers, ~numbers.is_finite())
    typical = numbers.abs().median()
    unit, factor = _unit_of(typical if isinstance(typical, float) else 0.0)
    seconds = numbers if factor == 1 and numbers.dtype.is_integer() else numbers // factor
    return _read_all(column, seconds.cast(pl.Int64, strict=False), unit)


def _unit_of(typical: float) -> tuple[str, int]:
    for unit, factor, limit in _UNITS:
        if typical < limit:
            return unit, factor
    return "nanoseconds", 10**9


def _from_text(text: pl.Series) -> pl.Series:
    """Try one format after the other on what is still unread."""
    plain = text.str.replace_all("/", "-", literal=True).str.replace(r"(\d)[T ]+(\d)", "${1} ${2}")
    seconds = _parse(without(plain, ~plain.str.contains(_OFFSET)), "%+")
    for form in _FORMATS:
        if seconds.null_count() == text.null_count():
            break
        seconds = seconds.zip_with(seconds.is_not_null(), _parse(without(plain, seconds.is_not_null()), form))
    return seconds


def _parse(text: pl.Series, form: str) -> pl.Series:
    parsed = text.str.to_datetime(form, strict=False, time_unit="us", time_zone="UTC")
    return parsed.dt.timestamp("us") // 1_000_000


def _read_all(column: pl.Series, seconds: pl.Series, unit: str) -> Times:
    return Times(seconds, column.is_not_null() & seconds.is_null(), unit)
