"""An index that is open: its session, its model, its place. What reading, searching and writing stand on.

Opening one loads no model: that happens on the first text, and never for vectors.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from polyvec.collection.settings import check_model, load_model
from polyvec.errors import IndexIncompleteError, InputError
from polyvec.index.catalog.settings import IndexSettings
from polyvec.index.place import absolute
from polyvec.index.session import Session
from polyvec.index.views import ReadableView

if TYPE_CHECKING:
    from polyvec.encoder import TokenEncoder


class OpenSession(Protocol):
    """What is open of an index, or of several as one; see `polyvec.index.session.Session` for what each call does."""

    @property
    def loading(self) -> AbstractContextManager[Any]:
        """Held while the model is loaded."""

    @property
    def settings(self) -> IndexSettings:
        """What holds for the whole; there even after close()."""

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""

    def current(self) -> AbstractContextManager[ReadableView]:
        """The state to read, kept open."""

    def refresh(self) -> None:
        """Move on to the newest committed state."""

    def follow(self) -> None:
        """From now on, every read sees the newest committed state."""

    def check_open(self) -> None:
        """Raise StorageError after close()."""

    def facts(self) -> dict[str, Any]:
        """Counts, sizes in bytes, languages, model and codec."""

    def problems(self) -> list[str]:
        """Read everything. Returns the problems found."""

    def copy_to(self, target: Path, *, hard_links: bool, progress: Callable[[int, int], None] | None) -> int:
        """Copy the newest committed state. Returns the size of the copy, in bytes."""

    def close(self) -> None:
        """Let go of everything that is held."""

    def close_unused(self) -> None:
        """`close`, for an object that nobody holds any more."""


class Opened:
    """An index that is open.

    Args:
        path: Its folder.
        encoder: Its model; None to load it on first use.
        resume: Whether one may be opened whose building was interrupted.
        auto_refresh: Whether every read sees the newest committed state.
        session: What is open of it; None for a `Session` of the folder.

    Raises:
        IndexIncompleteError: Building it was interrupted, and it is not to be resumed.
        ModelMismatchError: The encoder is another model than the one that made it.
    """

    def __init__(
        self,
        path: Path,
        *,
        encoder: TokenEncoder | None,
        resume: bool = False,
        auto_refresh: bool = False,
        session: OpenSession | None = None,
    ) -> None:
        self.path = absolute(path)
        self._given_encoder = encoder
        self._encoder: TokenEncoder | None = None
        self._session: OpenSession = Session(self.path) if session is None else session
        self._let_go = weakref.finalize(self, self._session.close_unused)  # when nobody holds this object any more
        self._let_go.atexit = False
        try:
            if self._settings.state != "ready" and not resume:
                raise IndexIncompleteError(
                    f"{path} is not complete: building it was interrupted. Run the same `polyvec index` command again to "
                    "resume, or delete the folder."
                )
            if encoder is not None:
                check_model(path, self._settings, encoder)
            if auto_refresh:
                self._session.follow()
        except BaseException:
            self.close()
            raise

    def __reduce__(self) -> NoReturn:
        raise InputError(
            f"The index {self.path} cannot be pickled or copied as an object: it holds open files and a lock. Pass its path "
            "on, and call Index.open there."
        )

    @property
    def name(self) -> str:
        """What the index is called: the name of its folder, such as "wiki.polyvec"."""
        return self.path.name

    @property
    def dim(self) -> int:
        """Dimensions of a token vector."""
        return self._settings.dim

    @property
    def encoder(self) -> TokenEncoder:
        """The model of this index, loaded on first use.

        Raises:
            InputError: The index holds vectors only, and has no model.
            ModelMismatchError: The model's weights have changed since it made the index.
        """
        if self._encoder is None:
            with self._session.loading:
                if self._encoder is None:
                    self._encoder = self._given_encoder or load_model(self.path, self._settings)
        return self._encoder

    def refresh(self) -> None:
        """Move on to the newest committed state, as another process may have written it. Searches under way keep theirs.

        Raises:
            StorageError: The index is closed, or does not lie any more where it was opened.
        """
        self._session.refresh()

    def close(self) -> None:
        """Let go of files and the writer's lock; safe to call twice. Every later call but this one raises StorageError.

        Raises:
            IndexLockedError: It is called by the stream of documents that this index is adding.
        """
        self._session.close()

    @property
    def _settings(self) -> IndexSettings:
        return self._session.settings

    @contextmanager
    def _current(self) -> Iterator[ReadableView]:
        """The state to read, kept open: with what this object wrote, and with auto_refresh what anybody did."""
        with self._session.current() as view:
            yield view
