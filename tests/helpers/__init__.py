"""Builders and models that several test modules share."""
