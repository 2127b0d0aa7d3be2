"""From what a model knows to what a person is shown: rules over items, diversity, limits, and the fallback."""
