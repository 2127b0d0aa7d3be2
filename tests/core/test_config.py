"""The base of configuration classes."""

from __future__ import annotations

import pytest
from pydantic import Field, ValidationError

from genre.core.config import Config


class Part(Config):
    size: int = Field(default=1, ge=0)
    rate: float = 0.5


class Whole(Config):
    part: Part = Part(size=7)


def test_a_part_given_in_part_keeps_the_default_of_its_place() -> None:
    assert Whole().part == Part(size=7)
    assert Whole.model_validate({"part": {"rate": 0.1}}).part == Part(size=7, rate=0.1)
    assert Whole.model_validate({"part": {"size": 2}}).part == Part(size=2)
    assert Whole(part=Part()).part == Part()


def test_mistakes_in_a_part_are_still_found() -> None:
    with pytest.raises(ValidationError, match=r"part\.sise\n.*Extra inputs"):
        Whole.model_validate({"part": {"sise": 2}})
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        Whole.model_validate({"part": {"size": -2}})
