"""Every error that Genre raises on purpose.

::

    GenreError
    ├── DataError (ValueError)           a file, a column or a value in the data
    ├── ConfigError (ValueError)         a setting, in YAML or in Python
    ├── ModelError (RuntimeError)        a model used before it was fitted, or with what it cannot take
    ├── ArtifactError (RuntimeError)     a run directory that is missing, incomplete, damaged or too new
    ├── ResourceError (RuntimeError)     memory, disk or time that is not there
    └── DependencyError (ImportError)    an optional library that is not installed

A message names the place, the value and the remedy, in this order.
"""

from __future__ import annotations


class GenreError(Exception):
    """Base of all deliberate errors: catch this one to catch them all."""

    def __init__(self, problem: str, *, place: str | None = None, remedy: str | None = None) -> None:
        """Compose the message.

        Args:
            problem: What is wrong, with the offending value in it.
            place: Where it is wrong: a file and line, a column, a config path.
            remedy: What to do about it.
        """
        self.problem = problem
        self.place = place
        self.remedy = remedy
        message = f"{place}: {problem}" if place else problem
        super().__init__(f"{message.rstrip('.')}. {remedy}" if remedy else message)


class DataError(GenreError, ValueError):
    """A file, a column or a value in the data is wrong."""


class ConfigError(GenreError, ValueError):
    """A setting is wrong."""


class ModelError(GenreError, RuntimeError):
    """A model was used before it was fitted, or with something that it cannot take."""


class ArtifactError(GenreError, RuntimeError):
    """A saved run or model is missing, incomplete, damaged or newer than this version."""


class ResourceError(GenreError, RuntimeError):
    """Memory, disk or time that the machine does not have."""


class DependencyError(GenreError, ImportError):
    """An optional library is not installed or cannot be loaded."""
