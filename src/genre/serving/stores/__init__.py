"""What a service remembers, in SQL: events, items, users, keys, models, experiments, and who changed what.

Each store is a few statements over a `Database`, which is SQLite or PostgreSQL; `tables` says what is kept.
"""
