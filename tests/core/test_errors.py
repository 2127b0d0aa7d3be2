from __future__ import annotations

import pytest

from genre.core import errors


def test_a_message_names_place_value_and_remedy() -> None:
    error = errors.DataError("the value 'x' is no number", place="log.csv:3", remedy="Write a number.")
    assert str(error) == "log.csv:3: the value 'x' is no number. Write a number."
    assert (error.place, error.remedy) == ("log.csv:3", "Write a number.")


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.DataError, ValueError),
        (errors.ConfigError, ValueError),
        (errors.ModelError, RuntimeError),
        (errors.ArtifactError, RuntimeError),
        (errors.ResourceError, RuntimeError),
        (errors.DependencyError, ImportError),
    ],
)
def test_errors_stand_in_the_tree_as_drawn(error: type[errors.GenreError], builtin: type[Exception]) -> None:
    assert issubclass(error, errors.GenreError)
    assert issubclass(error, builtin)
    assert error.__name__ in (errors.__doc__ or "")
