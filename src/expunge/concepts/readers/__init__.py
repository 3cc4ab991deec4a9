"""Readers of published ontologies and of term tables."""
