"""Several indexes as one: documents are routed by their ids, questions are asked of all of them at once."""
