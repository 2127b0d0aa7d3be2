"""The sample worlds that ship with Genre: catalogues to choose from, and simulated people who do."""

from genre.data.sample.worlds import SampleConfig, sample_tables

__all__ = ["SampleConfig", "sample_tables"]
