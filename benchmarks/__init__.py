"""Experiments, their results and speed programs; not part of the wheel."""
