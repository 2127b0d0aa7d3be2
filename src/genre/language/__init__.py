"""Language models as parts: what reads texts into vectors, and what writes."""
