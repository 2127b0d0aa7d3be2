"""The sample world that ships with Genre: real films, simulated viewers."""

from genre.data.sample.world import NOTICE, SampleConfig, sample_tables

__all__ = ["NOTICE", "SampleConfig", "sample_tables"]
