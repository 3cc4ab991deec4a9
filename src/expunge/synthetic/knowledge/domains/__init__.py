"""Worlds of knowledge, one file a domain."""
