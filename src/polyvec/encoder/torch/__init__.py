"""The forward pass on torch, with sentence-transformers' modules."""
