"""Text -> token vectors on polyvec's own kernels: no torch, no transformers.

Files in reading order: tensors (safetensors files to arrays) · tokenizer (tokenizer.json) · spec (what a model folder says) ·
weights (names to layers) · forward (token ids to vectors) · bigrams · encoder (the class a user holds).
"""

from polyvec.encoder.native.encoder import NativeEncoder

__all__ = ["NativeEncoder"]
