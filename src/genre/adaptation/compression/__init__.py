"""Models made smaller, beside what they were: what it saves, what it costs, and where it costs too much."""
