"""What items and users say of themselves, as numbers that models can learn from."""
