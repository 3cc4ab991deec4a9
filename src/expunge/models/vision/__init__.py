"""Image-text models: inputs, processor, feature cache, tiny models."""
