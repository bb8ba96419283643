"""Speed and quality of this machine, or of one index."""
