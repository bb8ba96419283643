"""Documents and vectors -> a new segment and one transaction."""
