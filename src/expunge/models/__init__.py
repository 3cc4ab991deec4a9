"""Models: load, save, adapters, tokens, batches, one forward pass, tiny models from scratch."""
