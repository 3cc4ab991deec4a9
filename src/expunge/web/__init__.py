"""The web desk: pages and an API over the functions of the desk. It decides nothing that the desk does not decide."""

DEFAULT_PORT = 8765  # where commands and settings find the web desk
