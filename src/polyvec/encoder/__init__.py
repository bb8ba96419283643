"""Text -> token vectors, with any published late-interaction checkpoint.

Files in reading order: options (every knob) · protocol (what others ask of an encoder) · encoder (the class a user holds) ·
locate (a name -> a folder) · tokens (text -> ids and offsets) · batches (stream -> batches) · streaming (batches -> vectors).
Importing this package loads neither torch nor transformers.
"""

from polyvec.encoder.encoded import Encoded
from polyvec.encoder.encoder import Encoder
from polyvec.encoder.options import EncoderOptions
from polyvec.encoder.protocol import LocatesTokens, TokenEncoder

__all__ = ["Encoded", "Encoder", "EncoderOptions", "LocatesTokens", "TokenEncoder"]
