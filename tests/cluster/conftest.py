"""Fixtures of these tests."""

from tests.cluster.builds import here

__all__ = ["here"]
