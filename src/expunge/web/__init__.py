"""The web desk: pages and an API over the functions of the desk. It decides nothing that the desk does not decide."""
