"""The HTTP server: collections, opened once, behind one application."""
