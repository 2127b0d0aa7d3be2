"""A conversation about what is recommended: the person says what is wanted, rules say so to the recommender."""
