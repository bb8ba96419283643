"""An index that is open: its session, its model, its place. What reading, searching and writing stand on.

Opening one loads no model: that happens on the first text, and never for vectors.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from polyvec.collection.settings import check_model, load_model
from polyvec.errors import IndexIncompleteError, InputError
from polyvec.index.catalog.settings import IndexSettings
from polyvec.index.place import absolute
from polyvec.index.session import Session
from polyvec.index.views import View

if TYPE_CHECKING:
    from polyvec.encoder import TokenEncoder


class Opened:
    """An index that is open.

    Raises:
        IndexIncompleteError: Building it was interrupted, and it is not to be resumed.
        ModelMismatchError: The encoder is another model than the one that made it.
    """

    def __init__(
        self, path: Path, *, encoder: TokenEncoder | None, resume: bool = False, auto_refresh: bool = False
    ) -> None:
        self.path = absolute(path)
        self._given_encoder = encoder
        self._encoder: TokenEncoder | None = None
        self._session = Session(self.path)
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

    @property
    def _view(self) -> View:
        return self._session.views.view

    @contextmanager
    def _current(self) -> Iterator[View]:
        """The state to read, kept open: with what this object wrote, and with auto_refresh what anybody did."""
        with self._session.current() as view:
            yield view
