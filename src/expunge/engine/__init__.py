"""The engine: recipes, one loop for every method, checkpoints, run directories, training."""
