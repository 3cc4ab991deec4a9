"""Synthetic radiographs and their records."""
