"""Differential privacy for unlearning runs (`recipe.privacy`): what is drawn, clipped, noised, counted and claimed."""
