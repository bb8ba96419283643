"""One name for every setting: flags before environment before file."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvec.cli.serve import serve
from polyvec.errors import InputError
from polyvec.serve.config import ServeConfig, load_config

_NOT_FLAGS = {"tokens"}  # secrets, which other users of the machine would see


def test_every_setting_is_a_flag() -> None:
    flags = {parameter.name for parameter in serve.params} - {"index_paths", "config_path"}
    assert flags == {one.name for one in fields(ServeConfig)} - _NOT_FLAGS


def test_flags_count_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    path = tmp_path / "serve.toml"
    path.write_text('port = 1\nqueue = 1\ntimeout = "1s"\ncors_origin = ["https://a.example"]\n')
    environment = {"POLYVEC_PORT": "2", "POLYVEC_QUEUE": "2", "OTHER": "x", "POLYVEC_UNRELATED": "x"}
    config = load_config({"port": 3, "host": None}, environment=environment, path=path)
    assert (config.port, config.queue, config.timeout, config.host) == (3, 2, 1.0, "127.0.0.1")
    assert config.cors_origin == ("https://a.example",)


def test_every_setting_is_an_environment_variable() -> None:
    given_as = {
        "host": ("0.0.0.0", "0.0.0.0"), "port": ("0", 0), "token_file": ("t.toml", "t.toml"),
        "tokens": ("read:a, write:b", ("read:a", "write:b")), "anonymous": ("true", True), "read_only": ("1", True),
        "follow": ("no", False), "max_body": ("1MiB", 2**20), "max_upload": ("1GB", 10**9), "max_k": ("5", 5),
        "max_batch": ("6", 6), "max_text": ("7", 7), "max_connections": ("8", 8), "queue": ("9", 9), "threads": ("2", 2),
        "timeout": ("500ms", 0.5), "write_timeout": ("2m", 120.0), "stop_timeout": ("3", 3.0),
        "cors_origin": ("https://a,https://b", ("https://a", "https://b")), "allowed_host": ("a.example", ("a.example",)),
        "log_format": ("json", "json"),
    }  # fmt: skip
    assert given_as.keys() == {one.name for one in fields(ServeConfig)}
    config = load_config({}, environment={f"POLYVEC_{name.upper()}": text for name, (text, _) in given_as.items()})
    assert {name: getattr(config, name) for name in given_as} == {name: value for name, (_, value) in given_as.items()}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"port": 65536}, "port=65536"),
        ({"port": "80"}, "port='80'"),
        ({"max_body": "8XB"}, "max_body='8XB': expected a size such as 8MB"),
        ({"max_body": 0}, "max_body=0"),
        ({"timeout": 0}, "timeout=0: expected a time above 0"),
        ({"timeout": "soon"}, "timeout='soon': expected a time"),
        ({"timeout": float("nan")}, "timeout=nan"),
        ({"log_format": "xml"}, "log_format='xml': expected one of text, json, none."),
        ({"read_only": "yes"}, "read_only='yes': expected True or False."),
        ({"tokens": "read:x"}, "tokens: got one str, expected a list"),
        ({"host": ""}, "host=''"),
        ({"queue": 0}, "queue=0: expected a whole number of requests"),
    ],
    ids=str,
)
def test_values_that_make_no_sense(values: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as raised:
        ServeConfig(**values)
    assert words in str(raised.value)


def test_unknown_keys_of_the_file_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "serve.toml"
    path.write_text("prot = 1\n")
    with pytest.raises(InputError, match="unknown setting 'prot'"):
        load_config({}, environment={}, path=path)
    for name, text in (("PORT", "x"), ("READ_ONLY", "maybe"), ("MAX_BODY", "-1")):
        with pytest.raises(InputError, match=name.lower() if name == "MAX_BODY" else f"POLYVEC_{name}"):
            load_config({}, environment={f"POLYVEC_{name}": text})


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("10.0.0.1", False), ("example.org", False)],
)  # fmt: skip
def test_which_addresses_others_reach(host: str, loopback: bool) -> None:
    assert ServeConfig(host=host).on_loopback == loopback


def test_places_grow_with_threads() -> None:
    assert [ServeConfig(threads=n).places for n in (1, 2, 4)] == [32, 32, 64]
    assert ServeConfig(queue=5).places == 5


@given(
    st.dictionaries(st.sampled_from([one.name for one in fields(ServeConfig)]), st.text() | st.integers() | st.none())
)
def test_any_value_is_taken_or_refused_in_one_line(values: dict[str, Any]) -> None:
    error = ""
    try:
        ServeConfig(**values)
    except InputError as refused:
        error = str(refused)
    assert "\n" not in error
