"""Queries -> hits, explained and reranked."""
