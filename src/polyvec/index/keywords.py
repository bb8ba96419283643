"""The earlier path of the keyword tokenizer, kept for programs that import it from here."""

from polyvec.index.catalog.keywords import match_expression, tokenize

__all__ = ["match_expression", "tokenize"]
