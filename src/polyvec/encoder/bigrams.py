"""The earlier path of `polyvec.modules.HashedBigrams`, which model folders saved earlier name."""

from polyvec.encoder.torch.bigrams import HashedBigrams

__all__ = ["HashedBigrams"]
