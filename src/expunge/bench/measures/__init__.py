"""What an experiment measures: one file each, registered by name."""
