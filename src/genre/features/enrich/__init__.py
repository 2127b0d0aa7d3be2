"""Enrichment: a language model writes what catalogue and log do not say: summaries, profiles, imagined items."""
