"""The API under `/api/v1`, one module with a `router` each; the application takes in every module here."""
