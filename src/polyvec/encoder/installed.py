"""Whether torch is here, without loading it."""

from __future__ import annotations

from importlib.util import find_spec

from polyvec.errors import MissingExtraError

_PACKAGES = ("torch", "transformers", "sentence_transformers")


def torch_is_installed() -> bool:
    """Whether the packages of polyvec[torch] are installed."""
    return all(find_spec(name) is not None for name in _PACKAGES)


def need_torch(what: str) -> None:
    """Check that torch is here.

    Args:
        what: Needs it, for the message, such as "Saving a model".

    Raises:
        MissingExtraError: It is not.
    """
    if not torch_is_installed():
        raise MissingExtraError(f"{what} needs torch, which is not installed: pip install 'polyvec[torch]'.")
