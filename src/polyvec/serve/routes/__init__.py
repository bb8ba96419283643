"""The calls of the HTTP API, one file a noun."""
