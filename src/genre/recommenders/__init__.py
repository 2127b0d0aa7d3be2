"""One file per recommender, over the contract in `base.py`."""
