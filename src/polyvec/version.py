"""The version of polyvec, in a file of its own so that every other file may read it."""

__version__ = "0.1.0"
