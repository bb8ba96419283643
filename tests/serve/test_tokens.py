"""Tokens: read from a file or the environment, kept as hashes, never shown."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from polyvec.errors import InputError
from polyvec.serve.tokens import Tokens, load_tokens

SECRET = "a secret of 24 letters.."


def test_a_file_of_tokens(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    digest = hashlib.sha256(b"another secret, hashed").hexdigest()
    path.write_text(
        f'[tokens.page]\nrights = "read"\nsecret = "{SECRET}"\n[tokens.loader]\nrights = "write"\nsha256 = "{digest}"\n'
    )
    tokens = load_tokens(str(path), ["write:from-the-environment"])
    page, loader, last = (tokens.find(s) for s in (SECRET.encode(), b"another secret, hashed", b"from-the-environment"))
    assert page is not None
    assert (page.name, page.may_write) == ("page", False)
    assert loader is not None
    assert (loader.name, loader.may_write) == ("loader", True)
    assert last is not None
    assert (last.name, last.may_write) == ("token-0", True)
    assert tokens.find(b"") is tokens.find(SECRET[:-1].encode()) is tokens.find(digest.encode()) is None
    assert SECRET not in repr(vars(tokens)), "only hashes are kept"


def test_no_tokens_are_none() -> None:
    assert not Tokens()
    assert load_tokens(None, []).find(b"anything at all.") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "other = 1",
        "[tokens]",
        "tokens = 5",
        "[tokens]\na = 5",
        f'[tokens.a]\nsecret = "{SECRET}"',
        f'[tokens.a]\nrights = "admin"\nsecret = "{SECRET}"',
        '[tokens.a]\nrights = "read"',
        '[tokens.a]\nrights = "read"\nsecret = "short"',
        '[tokens.a]\nrights = "read"\nsecret = 5',
        '[tokens.a]\nrights = "read"\nsha256 = "abc"',
        f'[tokens.a]\nrights = "read"\nsecret = "{SECRET}"\nsha256 = "{"0" * 64}"',
        f'[tokens.a]\nrights = "read"\nsecret = "{SECRET}"\nmore = 1',
        "not toml",
    ],
)
def test_files_that_are_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(text)
    with pytest.raises(InputError) as raised:
        load_tokens(str(path), [])
    assert "token" in str(raised.value)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("given", [SECRET, f"admin:{SECRET}", "read:short", "read:"])
def test_tokens_of_the_environment_that_are_none(given: str) -> None:
    with pytest.raises(InputError) as raised:
        load_tokens(None, [given])
    assert SECRET not in str(raised.value)
