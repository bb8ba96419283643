"""Collections served to other programs: over HTTP, in a browser, and as tools for assistants."""
