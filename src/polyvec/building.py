"""The earlier path of `polyvec.build_index`, kept for programs that import it from here."""

from polyvec.collection.build import build_index

__all__ = ["build_index"]
