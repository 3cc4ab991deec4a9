"""Estimates of time and memory before a run."""
