"""A model folder's tokenizer -> the object that texts are tokenized with, from its files alone.

tokenizer.json says how text becomes tokens; tokenizer_config.json and special_tokens_map.json which tokens are special. Answers
by the names that transformers' tokenizers have, so that the rest of the encoder takes either.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyvec.encoder.model_folder.files import read_object
from polyvec.encoder.native.architecture import not_native
from polyvec.errors import ModelError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_MORE = ("additional_special_tokens", "extra_special_tokens")
_OTHER_TOKENIZERS = ("vocab.*", "*.model", "merges.txt", "*.tiktoken")
_UNLIMITED = 1 << 20  # some files write 10^30 where they know no limit


class FolderTokenizer:
    """The tokenizer of a model folder.

    Raises:
        ModelError: for a folder whose tokenizer files are missing or broken.
    """

    is_fast = True  # it gives character offsets
    unshared = True  # made for one encoder

    def __init__(self, folder: Path, name: str) -> None:
        self.backend_tokenizer = _backend(folder, name)
        config = self.init_kwargs = read_object(folder / "tokenizer_config.json")
        given = {**read_object(folder / "special_tokens_map.json"), **config}
        self._names = {key: _content(given[key]) for key in _NAMED if given.get(key)}
        self._more = [token for key in _MORE for token in _contents(given.get(key))]
        self._add_declared(config.get("added_tokens_decoder"))
        self._register([*self._names.values(), *self._more])
        limit = config.get("model_max_length")
        said = isinstance(limit, (int, float)) and not isinstance(limit, bool) and limit >= 1
        self.model_max_length: int = int(min(float(str(limit)), _UNLIMITED)) if said else _UNLIMITED

    # -- as transformers' tokenizers answer ----------------------------------------------------------------------------

    def __len__(self) -> int:
        return self.backend_tokenizer.get_vocab_size(with_added_tokens=True)

    def get_vocab(self) -> dict[str, int]:
        """Every piece and its id."""
        return self.backend_tokenizer.get_vocab(with_added_tokens=True)

    @property
    def highest_id(self) -> int:
        """The highest id of a piece, -1 where there is none."""
        from tokenizers.models import Unigram

        if isinstance(self.backend_tokenizer.model, Unigram):  # its pieces are numbered in their order
            known = self.backend_tokenizer.get_vocab_size(with_added_tokens=False)
            return max([known - 1, *self.backend_tokenizer.get_added_tokens_decoder()])
        return max(self.get_vocab().values(), default=-1)

    @property
    def unk_token(self) -> str | None:
        """The token that stands for what is not in the vocabulary."""
        return self._names.get("unk_token")

    @property
    def unk_token_id(self) -> int | None:
        """Its id."""
        return self._id("unk_token")

    @property
    def mask_token_id(self) -> int | None:
        """The id of the mask token."""
        return self._id("mask_token")

    @property
    def eos_token_id(self) -> int | None:
        """The id of the end token."""
        return self._id("eos_token")

    @property
    def all_special_ids(self) -> list[int]:
        """Ids of every token that these files call special."""
        tokens = dict.fromkeys([*self._names.values(), *self._more])
        ids = (self.backend_tokenizer.token_to_id(token) for token in tokens)
        return [number for number in ids if number is not None]

    def convert_tokens_to_ids(self, token: str) -> int | None:
        """The id of a piece; of the unknown token where it is none."""
        found = self.backend_tokenizer.token_to_id(token)
        return self.unk_token_id if found is None else found

    def convert_ids_to_tokens(self, ids: Iterable[int]) -> list[str]:
        """The pieces of some ids."""
        return [str(self.backend_tokenizer.id_to_token(int(number))) for number in ids]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """The text that pieces stand for."""
        decoder = self.backend_tokenizer.decoder
        return decoder.decode(tokens) if decoder is not None else " ".join(tokens)

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """The ids of a text."""
        return list(self.backend_tokenizer.encode(text, add_special_tokens=add_special_tokens).ids)

    def tokenize(self, text: str) -> list[str]:
        """The pieces of a text, without special tokens around it."""
        return list(self.backend_tokenizer.encode(text, add_special_tokens=False).tokens)

    def add_special_token(self, token: str) -> None:
        """Make a piece that the model has a row for one token wherever it stands in a text."""
        from tokenizers import AddedToken

        self.backend_tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True)])

    # -- reading -------------------------------------------------------------------------------------------------------

    def _id(self, name: str) -> int | None:
        token = self._names.get(name)
        return None if token is None else self.backend_tokenizer.token_to_id(token)

    def _add_declared(self, declared: Any) -> None:
        """Tokens that tokenizer_config.json adds beyond tokenizer.json."""
        from tokenizers import AddedToken

        if not isinstance(declared, dict):
            return
        flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
        for entry in declared.values():
            if isinstance(entry, dict) and self.backend_tokenizer.token_to_id(_content(entry)) is None:
                given = {flag: bool(entry[flag]) for flag in flags if flag in entry}
                self.backend_tokenizer.add_tokens([AddedToken(_content(entry), **given)])

    def _register(self, tokens: Iterable[str]) -> None:
        """Special tokens are one token wherever they stand, as transformers makes them."""
        from tokenizers import AddedToken

        known = {token.content for token in self.backend_tokenizer.get_added_tokens_decoder().values() if token.special}
        missing = [token for token in dict.fromkeys(tokens) if token not in known]
        self.backend_tokenizer.add_special_tokens(
            [AddedToken(token, normalized=False, special=True) for token in missing]
        )


def _backend(folder: Path, name: str) -> Tokenizer:
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        if any(file for pattern in _OTHER_TOKENIZERS for file in folder.glob(pattern)):
            raise not_native(name, "a tokenizer without tokenizer.json")
        raise ModelError(f"{folder} holds no tokenizer: no tokenizer.json. Is the download complete?")
    try:
        backend = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception for any broken file
        raise ModelError(f"{path} is not a tokenizer ({str(error)[:200]}).") from error
    backend.no_truncation()
    backend.no_padding()
    return backend


def _content(token: Any) -> str:
    return str(token.get("content", "")) if isinstance(token, dict) else str(token)


def _contents(tokens: Any) -> list[str]:
    if isinstance(tokens, dict):  # some files name extra tokens
        tokens = list(tokens.values())
    return [_content(token) for token in tokens] if isinstance(tokens, list) else []
