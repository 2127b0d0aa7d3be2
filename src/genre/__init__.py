"""Genre: recommendation that reads, ranks and writes."""

from genre._version import __version__

__all__ = ["__version__"]
