"""The words of the worlds of knowledge, one file per domain."""
