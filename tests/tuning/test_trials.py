"""What is known of trials: the best, the table and the plot."""

from __future__ import annotations

from pathlib import Path

import pytest

from genre.tuning.picture import draw_history
from genre.tuning.trials import Found, best_of, table_of

PATH = "models.ease.regularization"
FOUND = [
    Found(0, {PATH: 1}, 0.2, "ease", 1.0),
    Found(1, {PATH: 2}, 0.9, "ease", 1.0, "size is over by 2", feasible=False),
    Found(2, {PATH: 3}, None, None, 0.1, "too large"),
    Found(3, {PATH: 4}, 0.3, "ease", 1.0),
    Found(4, {PATH: 5}, 0.3, "ease", 1.0),
]


def test_the_best_keeps_to_the_constraints_and_is_the_first_of_equals() -> None:
    best = best_of(FOUND)
    assert best is not None
    assert best.number == 3
    assert best_of(FOUND[1:3]) is None


def test_the_table_begins_with_the_best_and_ends_with_what_was_given_up() -> None:
    table = table_of(FOUND, "NDCG@10")
    assert table["trial"].to_list() == [3, 4, 0, 1, 2]
    assert table[PATH].to_list() == [4, 5, 1, 2, 3]


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1, 2.5], [1.0, 2.5]), ([1, "all"], ["1", "all"]), ([[], ["crop"]], ["[]", "['crop']"]), ([None, 5], [None, 5])],
)
def test_choices_of_any_kind_stand_in_the_table(values: list[object], expected: list[object]) -> None:
    found = [Found(number, {PATH: value}, -float(number), "ease", 1.0) for number, value in enumerate(values)]
    assert table_of(found, "NDCG@10")[PATH].to_list() == expected


@pytest.mark.parametrize("found", [FOUND, FOUND[2:3]])
def test_the_plot_is_a_picture(tmp_path: Path, found: list[Found]) -> None:
    draw_history(found, "NDCG@10", tmp_path / "history.png")
    assert (tmp_path / "history.png").read_bytes().startswith(b"\x89PNG")
