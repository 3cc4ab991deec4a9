"""Synthetic bodies of knowledge on four concept levels."""
