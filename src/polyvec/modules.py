"""Modules of polyvec that saved models name: the import path that stays the same from version to version.

A model folder's modules.json says `polyvec.modules.MatryoshkaHeads`; sentence-transformers imports that name. Loads torch.
"""

from polyvec.encoder.torch.bigrams import HashedBigrams
from polyvec.encoder.torch.heads import MatryoshkaHeads

__all__ = ["HashedBigrams", "MatryoshkaHeads"]
