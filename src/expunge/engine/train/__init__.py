"""Training of original and retrained models."""
