"""Models: load and save, adapters, tokens, batches, forward passes, tiny models from scratch."""
