"""What a service answers, one file for each kind of question."""
