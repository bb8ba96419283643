"""Text -> token vectors, with any published late-interaction checkpoint.

Files in reading order: options (every knob) · encoder (the class a user holds) · checkpoint (a name -> a folder) ·
loading (a folder -> a sentence-transformers model) · tokens (text -> ids and offsets) · batches (stream -> batches) ·
forward (batch -> vectors). Importing this package loads neither torch nor transformers.
"""

from polyvec.encoder.encoded import Encoded
from polyvec.encoder.encoder import Encoder
from polyvec.encoder.options import EncoderOptions

__all__ = ["Encoded", "Encoder", "EncoderOptions"]
