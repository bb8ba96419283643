"""A first question to every collection, so that no client waits for files and models to be read."""

from __future__ import annotations

import logging
import threading

from polyvec.errors import PolyvecError
from polyvec.serve.serving import Serving

logger = logging.getLogger("polyvec.serve")


def warm(serving: Serving) -> None:
    """Begin in a thread of its own; `serving.ready` says when it is done."""
    threading.Thread(target=_ask, args=(serving,), name="polyvec-warming", daemon=True).start()


def _ask(serving: Serving) -> None:
    for name, one in serving.collections.items():
        try:
            one.index.search("ready", k=1, mode="keyword" if one.encoder is None else "late")
        except PolyvecError as error:
            logger.error("collection %s cannot be searched: %s", name, error)
            return
    serving.ready = True
