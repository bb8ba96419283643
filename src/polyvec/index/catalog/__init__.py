"""One SQLite database: ids, texts, metadata, deletes, and the list of live segments."""
