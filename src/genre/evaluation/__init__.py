"""How good a model is, for whom, and how sure one can be of it."""
