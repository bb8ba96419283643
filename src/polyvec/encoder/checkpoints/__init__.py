"""Published layouts read, written and packed."""
