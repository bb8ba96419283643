"""Text -> token vectors on polyvec's own kernels: no torch, no transformers.

Files in reading order: architecture (config.json to numbers) · tokenizer (tokenizer.json) ·
weights (names to layers) · spec (what a model folder says) · layout (the caller's options on top) · bigrams · forward (token ids to
vectors) · encoder (the class a user holds). Import `polyvec.encoder.native.encoder` for that class.
"""
