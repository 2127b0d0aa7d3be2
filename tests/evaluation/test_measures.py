from __future__ import annotations

import math

import pytest

from genre.evaluation._measures import decimals, measure, number, size
from genre.metrics.ranking import METRICS


@pytest.mark.parametrize(
    "name", [*(f"{metric}@7" for metric in METRICS), "coverage", "novelty", "serendipity", "diversity"]
)
def test_a_measure_is_explained_in_one_sentence(name: str) -> None:
    explained = measure(name)
    assert explained.meaning.endswith(".")
    assert "{" not in explained.meaning
    assert explained.title[0].isupper()
    assert (("7" in explained.label) and ("7" in explained.meaning or name.startswith("MAP"))) == ("@" in name)


def test_a_measure_that_nobody_knows_is_called_by_its_name() -> None:
    assert (measure("shelf_life@5").label, measure("shelf_life").meaning) == ("shelf life@5", "")


def test_numbers_are_written_with_the_decimals_that_their_column_needs() -> None:
    assert [decimals([x, math.nan]) for x in (0.004, 0.3, 7.1, 23.0, 4000.0)] == [4, 3, 2, 1, 0]
    assert decimals([]) == 4
    assert [number(-0.25, 2), number(12345.6, 0), number(math.nan)] == ["−0.25", "12,346", "–"]
    assert [size(x) for x in (900 << 10, 3 << 20, 12 << 20, 1.5 * 2**30)] == [
        "< 1 MiB",
        "3.0 MiB",
        "12 MiB",
        "1.5 GiB",
    ]
