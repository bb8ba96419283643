"""Judgements + runs -> measures."""
