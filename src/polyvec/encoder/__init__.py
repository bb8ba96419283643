"""Text -> token vectors, with any published late-interaction checkpoint.

Files in reading order: options (every setting) · encoder (the class a user holds) · locate (a name -> a folder) · tokens
(text -> ids and offsets) · batches, streaming (stream -> batches -> vectors in order). native/ is the forward pass on polyvec's
own kernels, torch/ the one on sentence-transformers, checkpoints/ reads and writes published layouts. Importing this package
loads neither torch nor transformers.
"""

from polyvec.encoder.encoded import Encoded
from polyvec.encoder.encoder import Encoder
from polyvec.encoder.options import EncoderOptions

__all__ = ["Encoded", "Encoder", "EncoderOptions"]
