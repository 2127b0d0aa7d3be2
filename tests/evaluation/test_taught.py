"""What a report says of teachers."""

from __future__ import annotations

from typing import Any

import pytest

from genre.evaluation._taught import lessons

TOLD: dict[str, Any] = {
    "teacher": "fusion",
    "student": "sasrec",
    "lists": 1200,
    "unlabelled": 0,
    "align": None,
    "weight": 1.0,
    "ended": None,
    "NDCG@10": {"teacher": 0.07, "student": 0.065},
}


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        ({}, "(1,200 lists after histories). NDCG@10 on validation: teacher 0.0700, student 0.0650."),
        (
            {"unlabelled": 30, "align": "llm"},
            "(1,200 lists after histories, with 30 unlabelled ones among those). Vectors of items were aligned with "
            "those of llm. NDCG@10 on validation: teacher 0.0700, student 0.0650.",
        ),
        (
            {"ended": 2, "weight": 0.0, "NDCG@10": {"teacher": 0.05, "student": 0.065}},
            "NDCG@10 on validation: teacher 0.0500, student 0.0650. The teacher is worse: from epoch 3 on it counted "
            "nothing (weight 0).",
        ),
        (
            {"NDCG@10": {"teacher": None, "student": None}},
            "nobody knows how good the teacher is: it counted to the end.",
        ),
        ({"lists": 0, "weight": 0.0}, "The teacher had nothing to say of the student's items: it counted nothing."),
    ],
)
def test_it_says_what_the_teacher_was_worth(changes: dict[str, Any], end: str) -> None:
    (found,) = lessons({"small": {"distillation": TOLD | changes}, "guarded": {"points": []}})
    assert found.startswith("small (sasrec) was taught by fusion")
    assert found.endswith(end)
