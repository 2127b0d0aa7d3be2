"""Genre: recommendation that reads, ranks and writes.

::

    import genre

    data = genre.load("ratings.csv", "films.csv")
    engine = genre.fit("ease", data)
    print(engine.recommend("some user", n=5))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genre._version import __version__

if TYPE_CHECKING:
    from genre.api import fit as fit
    from genre.api import load as load
    from genre.api import open_run as open_run

__all__ = ["__version__", "fit", "load", "open_run"]


def __getattr__(name: str) -> Any:
    """Import the Python interface when it is first used, so that the command line answers `--help` at once."""
    if name in {"fit", "load", "open_run"}:
        from genre import api

        return getattr(api, name)
    raise AttributeError(f"module 'genre' has no attribute {name!r}")
