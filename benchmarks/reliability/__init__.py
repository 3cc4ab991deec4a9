"""Programs that kill, damage and fill, and tell what held."""
