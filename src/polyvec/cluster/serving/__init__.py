"""Shards on many machines -> answers: what a machine with a shard does, and what the machine that clients ask does."""
