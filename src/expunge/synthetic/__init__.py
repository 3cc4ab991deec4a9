"""Worlds: synthetic corpora whose truth is known."""
