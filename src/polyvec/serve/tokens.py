"""Who may ask: tokens from a file or the environment, kept as hashes, compared in constant time, each to read or to write.

[tokens.search-page]
rights = "read"
secret = "at least 16 characters"        # or sha256 = "the secret's SHA-256 in hex"
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from polyvec.data.toml_tables import checked_table, read_toml
from polyvec.errors import InputError

Rights = Literal["read", "write"]

_SHORTEST = 16  # characters of a secret
_HEX = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class _Row:
    rights: Rights
    secret: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Token:
    """One token: its name in the log, what it may do, and the SHA-256 of its secret."""

    name: str
    rights: Rights
    digest: bytes

    @property
    def may_write(self) -> bool:
        """Whether it may change a collection."""
        return self.rights == "write"


class Tokens:
    """The tokens of a server; empty: nobody needs one."""

    def __init__(self, tokens: Iterable[Token] = ()) -> None:
        self._tokens = tuple(tokens)

    def __len__(self) -> int:
        return len(self._tokens)

    def find(self, secret: bytes) -> Token | None:
        """The token with this secret. Takes as long whichever it is, and whether there is one."""
        digest = hashlib.sha256(secret).digest()
        found = None
        for token in self._tokens:
            if hmac.compare_digest(token.digest, digest):
                found = token
        return found


def load_tokens(path: str | None, given: Iterable[str]) -> Tokens:
    """The tokens of a file, and those given as "read:SECRET" or "write:SECRET".

    Raises InputError for a file that is not as described, a short secret, or a right that does not exist. The message never holds
    a secret.
    """
    tokens = [] if path is None else _tokens_of(Path(path))
    for place, text in enumerate(given):
        rights, colon, secret = text.partition(":")
        if not colon or rights not in ("read", "write"):
            raise InputError(f"tokens[{place}]: expected read:SECRET or write:SECRET.")
        tokens.append(_token(f"token-{place}", rights, secret))  # type: ignore[arg-type]
    return Tokens(tokens)


def _tokens_of(path: Path) -> list[Token]:
    tables: Any = read_toml(path)
    unknown = sorted(tables.keys() - {"tokens"})
    if unknown or not isinstance(tables.get("tokens"), dict):
        raise InputError(f"{path}: expected tables [tokens.NAME] and nothing else.")
    tokens = []
    for name, table in tables["tokens"].items():
        where = f"{path}: tokens.{name}"
        if not isinstance(table, dict):
            raise InputError(f"{where}: expected a table with rights and secret.")
        row: _Row = checked_table(_Row, {key: value for key, value in table.items() if key != "secret"}, where)
        secret = table.get("secret")
        if (secret is None) == (row.sha256 is None) or not isinstance(secret, str | None):
            raise InputError(f"{where}: expected one of secret and sha256, as a text.")
        if row.sha256 is not None:
            if not _HEX.fullmatch(row.sha256):
                raise InputError(f"{where}: expected sha256 as 64 digits 0-9 and a-f.")
            tokens.append(Token(name, row.rights, bytes.fromhex(row.sha256)))
        else:
            assert secret is not None
            tokens.append(_token(name, row.rights, secret))
    if not tokens:
        raise InputError(f"{path}: no tokens in it.")
    return tokens


def _token(name: str, rights: Rights, secret: str) -> Token:
    if len(secret) < _SHORTEST:
        raise InputError(f"The secret of token {name!r} has {len(secret)} characters; expected at least {_SHORTEST}.")
    return Token(name, rights, hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest())
