"""Concepts: which words mean what, on four levels from L1 (fundamental) to L4 (to be forgotten)."""
