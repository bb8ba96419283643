"""Shards built and served by many machines. Ray places the work, watches it and starts it again; nothing of that is ours.

Needs the extra `polyvec[ray]`; importing this needs nothing.
"""
