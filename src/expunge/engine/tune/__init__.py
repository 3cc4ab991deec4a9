"""Search for a recipe on stand-ins: subjects of the same corpus that nobody asked to forget."""
