"""Judgments + runs -> measures."""
