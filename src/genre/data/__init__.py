"""From files to a `Dataset`: reading, cleaning, privacy, splits, and the sample worlds."""
