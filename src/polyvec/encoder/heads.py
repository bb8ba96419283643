"""The earlier path of `polyvec.modules.MatryoshkaHeads`, which model folders saved earlier name."""

from polyvec.encoder.torch.heads import MatryoshkaHeads

__all__ = ["MatryoshkaHeads"]
