"""Serving: the stores of a running service, who may ask it, and how much."""
