"""Spaces of settings, the study that searches one, and what came of it."""
