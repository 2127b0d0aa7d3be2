"""From one task to another without losing what a model could do before."""
