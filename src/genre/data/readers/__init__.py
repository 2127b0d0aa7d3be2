"""Reading files: CSV, TSV, JSON lines, Parquet, and the layouts of well-known data sets, into `Tables`."""

from genre.data.readers.files import FilesConfig, Loaded, load_files, read_impressions, read_items, read_tables

__all__ = ["FilesConfig", "Loaded", "load_files", "read_impressions", "read_items", "read_tables"]
