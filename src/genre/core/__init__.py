"""Value types, configuration base, errors and the run context. Imports nothing else of Genre's."""
