"""Pages, one module with a `router` each; the application takes in every module here."""
