"""Measures of what a recommender answers: pure functions, arrays in, numbers out."""
