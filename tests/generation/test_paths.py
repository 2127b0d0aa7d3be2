"""In which order items are taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genre.data.build import build_dataset
from genre.data.dataset import Entities, Roles, Vocabulary
from genre.data.sample import SampleConfig, sample_tables
from genre.features.text import Language
from genre.generation.facts import FactBook
from genre.generation.paths import Paths, Step


def paths(columns: dict[str, Sequence[Any]], language: Language = "en", **roles: tuple[str, ...]) -> Paths:
    size = len(next(iter(columns.values())))
    frame = pl.DataFrame({"item_id": [f"i{row}" for row in range(size)], **columns})
    items = Entities(Vocabulary(frame["item_id"]), frame, Roles(text=("title",), **roles))
    return Paths(items, FactBook(items, language), language)


TITLES = ["Zero", "One", "Two", "Three"]


@pytest.mark.parametrize(
    ("levels", "order"),
    [
        (["Advanced", "Beginner", "Expert", "Intermediate"], [1, 3, 0, 2]),
        (["高级", "入门", "进阶", "中级"], [1, 3, 2, 0]),
        (["中级", "初级", "专家", "入门"], [3, 1, 0, 2]),
        (["Level 3", "Level 1", "Level 10", "Level 2"], [1, 3, 0, 2]),
        (["Intermediate to advanced", "Beginner to intermediate", "All levels", "Advanced"], [1, 0, 3, 2]),
        ([None, "Advanced", None, "Beginner"], [3, 1, 0, 2]),
        ([None, None, None, None], [0, 1, 2, 3]),
    ],
)
@pytest.mark.parametrize("column", ["level", "difficulty", "course_level", "难度"])
def test_the_easiest_comes_first(levels: list[str | None], order: list[int], column: str) -> None:
    found, steps, about = paths({"title": TITLES, column: levels}, category=(column,)).ordered([0, 1, 2, 3], ())
    assert found == order
    assert [step.level for step in steps] == [levels[row] or "" for row in order]
    assert ("level" in about["ordered_by"]) == any(levels)


def test_numbers_are_levels_too() -> None:
    found, steps, _ = paths({"title": TITLES, "difficulty": [3.0, 1.5, 10.0, 2.0]}, number=("difficulty",)).ordered(
        [0, 1, 2, 3], ()
    )
    assert found == [1, 3, 0, 2]
    assert [step.level for step in steps] == ["1.5", "2", "3", "10"]


@pytest.mark.parametrize("column", ["prerequisites", "requires", "先修课程"])
@pytest.mark.parametrize("needs", [[["i1"], ["i3"], None, None], [["One"], ["three"], None, None]])
def test_what_is_needed_comes_before(column: str, needs: list[list[str] | None]) -> None:
    found, steps, about = paths({"title": TITLES, column: needs}, category=(column,)).ordered([0, 1, 2, 3], ())
    assert found.index(3) < found.index(1) < found.index(0)
    assert about["items"] == [f"i{row}" for row in found]
    assert about["ordered_by"][0] == "prerequisites"
    assert "circular" not in about
    assert steps[found.index(0)].builds_on == ("One",)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_courses_of_the_sample_world_stand_in_the_order_in_which_they_can_be_taken(language: Language) -> None:
    items = build_dataset(sample_tables(SampleConfig(world="courses", num_viewers=20))).items
    wanted = ["machine-learning-from-scratch", "statistics-from-raw-data", "first-programs", "lists-trees-and-tables"]
    rows = items.vocabulary.rows(wanted).tolist()
    order, steps, about = Paths(items, FactBook(items, language), language).ordered(rows, ())
    assert [wanted[rows.index(row)] for row in order] == [wanted[2], wanted[1], wanted[3], wanted[0]]
    assert [step.level for step in steps] == ["introductory", "intermediate", "intermediate", "advanced"]
    title = {"en": "Linear Algebra for Makers", "zh": "实用线性代数"}[language]
    assert steps[3].needs == (title,)
    assert about["ordered_by"] == ["prerequisites", "level", "what is new"]


def test_prerequisites_count_more_than_levels_and_go_through_what_is_not_chosen() -> None:
    columns = {"title": TITLES, "level": ["easy", "hard", "hard", "hard"], "requires": ["i1; none", "Two", None, None]}
    found, steps, _ = paths(columns, category=("level",)).ordered([0, 2], ())
    assert found == [2, 0]
    assert steps[1].needs == ("One",)
    assert paths(columns, category=("level",)).ordered([0, 2], (1,))[1][1].needs == ()


def test_a_circle_is_entered_once_and_told() -> None:
    needs = [["i1"], ["i0"], ["i1"], None]
    found, steps, about = paths({"title": TITLES, "requires": needs}, category=("requires",)).ordered([2, 1, 0, 3], ())
    assert found.index(2) > found.index(1)
    assert about["circular"] == ["i1"]
    assert all(not step.needs for step in steps)


@given(
    st.lists(st.lists(st.integers(0, 5), max_size=3), min_size=6, max_size=6),
    st.lists(st.sampled_from([None, "beginner", "advanced"]), min_size=6, max_size=6),
    st.permutations(range(6)),
)
def test_no_order_contradicts_what_is_needed(needs: list[list[int]], levels: list[str | None], rows: list[int]) -> None:
    columns = {"title": list("abcdef"), "level": levels, "requires": [[f"i{row}" for row in one] for one in needs]}
    found, _, about = paths(columns, category=("level", "requires")).ordered(rows, ())
    assert sorted(found) == list(range(6))
    reach = np.eye(6, dtype=int)
    for row, one in enumerate(needs):
        reach[row, [other for other in one if other != row]] = 1
    reach = np.linalg.matrix_power(reach, 6) > 0
    for row in range(6):
        for other in np.flatnonzero(reach[row] & ~reach[:, row]):
            assert found.index(other) < found.index(row)
    circles = (reach & reach.T & ~np.eye(6, dtype=bool)).any()
    assert ("circular" in about) == circles


def test_without_columns_half_of_each_next_item_is_new() -> None:
    genres = [["Drama"], ["Western", "War"], ["Drama", "Crime"], ["Drama"]]
    found, steps, about = paths({"title": TITLES, "genres": genres}, category=("genres",)).ordered([0, 1, 2, 3], ())
    assert found == [0, 2, 1, 3]
    assert about["ordered_by"] == ["what is new"]
    assert steps == [
        Step(1, 4, adds=("Drama",), later=("Two", "One", "Three")),
        Step(2, 4, adds=("Crime",), keeps=("Drama",), earlier=("Zero",), later=("One", "Three")),
        Step(3, 4, adds=("Western", "War"), earlier=("Zero", "Two"), later=("Three",)),
        Step(4, 4, keeps=("Drama",), earlier=("Zero", "Two", "One")),
    ]


def test_words_decide_where_labels_do_not() -> None:
    texts = ["A robot wakes.", "Nobody sleeps.", "The robot sleeps.", "Fine salt."]
    columns = {"title": TITLES, "text": texts}
    frame = pl.DataFrame({"item_id": ["a", "b", "c", "d"], **columns})
    items = Entities(Vocabulary(frame["item_id"]), frame, Roles(text=("title", "text")))
    assert Paths(items, FactBook(items, "en"), "en").ordered([0, 1, 2, 3], ())[0][:2] == [0, 2]


def test_in_chinese_titles_are_chinese() -> None:
    columns = {"title": TITLES, "title_zh": ["零", "一号", "二号", "三号"], "requires": [["一号"], None, None, None]}
    found, steps, _ = paths(columns, "zh", category=("requires",)).ordered([0, 1], ())
    assert found == [1, 0]
    assert steps[1].builds_on == ("一号",)
