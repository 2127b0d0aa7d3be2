"""Training of torch models: the losses, the loop, its checkpoints. Needs the extra `torch`; knows no model."""
