"""What reaches a terminal, a pipe, a full device or a closed stream, whatever documents, ids and arguments hold."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.text import Text

from polyvec import Index
from polyvec.cli import cli, main
from polyvec.cli.lines import flowing, printable, shortened
from polyvec.cli.render import console, line, print_hits, print_json
from polyvec.search.hits import Hit
from tests.conftest import WordEncoder

NASTY_TITLES = [
    1984,
    0,
    1.5,
    True,
    ["a", {"b": None}],
    {"c": "\x1b[31m"},
    "[red]title[/red]",
    "[/nope]",
    ":smile:",
    "a\nb",
    "\u202ex",
    "x" * 5000,
]
ANY_TEXT = st.text(st.characters(), max_size=40)  # half surrogate pairs too
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=6,
)


def acts_on_terminals(text: str) -> bool:
    return any(
        unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")
        or (unicodedata.category(c) == "Cf" and c not in "\u200c\u200d")
        for c in text
    )


@given(ANY_JSON)
def test_any_value_is_one_printable_line(value: Any) -> None:
    assert not acts_on_terminals(printable(value))
    assert len(printable(value, 10)) <= 100  # ten characters, each at most an escape of ten
    if isinstance(value, str) and value.isprintable():
        assert printable(value) == value
        assert flowing(value) == value


@given(ANY_TEXT)
def test_flowing_text_is_one_line(text: str) -> None:
    assert not acts_on_terminals(flowing(text))
    assert printable(Path("a") / "\udce9") == "a/\\udce9"


@given(ANY_TEXT, ANY_JSON, ANY_JSON, ANY_TEXT)
@settings(deadline=None)
def test_hits_print_whatever_they_hold(identifier: str, title: Any, lang: Any, text: str) -> None:
    hit = Hit(identifier, 1.0, 1, text, {"title": title, "lang": lang})
    with console.capture() as captured:
        print_hits(text, [hit], [None], 0.1)
    assert not acts_on_terminals(captured.get().replace("\n", ""))


@pytest.mark.parametrize("word", ["[red]", "[/nope]", "[bold]x[/]", ":smile:", "[link=x]y[/link]", "\\[red]"])
def test_markup_of_users_is_shown_as_it_stands(word: str) -> None:
    with console.capture() as captured:
        console.print(line("id ", (word, "bold")), word)
        print_hits(word, [Hit(word, 1.0, 1, word, {"title": word, "lang": word})], [None], 0.1)
    assert captured.get().count(word) == 7


@given(ANY_JSON)
def test_json_on_any_stream_has_the_same_value(value: Any) -> None:
    for encoding in ("utf-8", "cp1252", "ascii", "utf-16"):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        before, sys.stdout = sys.stdout, stream
        try:
            print_json(value)
        finally:
            sys.stdout = before
        stream.flush()
        text = stream.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
        assert json.dumps(json.loads(text)) == json.dumps(value)
        assert text.count("\n") == 1
        assert not acts_on_terminals(text[:-1])


def test_a_long_message_keeps_both_ends() -> None:
    text = shortened("start " + "x" * 100_000 + " end", 200)
    assert len(text) < 210
    assert text.startswith("start")
    assert text.endswith("end")


# -- as a process ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("terminal") / "i.polyvec"
    with Index.create(path, encoder=WordEncoder()) as index:
        index.add(
            {"id": f"d{i}", "text": f"水平線 café red {i}", "title": title} for i, title in enumerate(NASTY_TITLES)
        )
        index.add({"id": f"long{i}", "text": "blue " * 200} for i in range(50))
    return path


def run(command: str, index: Path, *words: bytes, **environment: str) -> tuple[int, str, str]:
    """A shell command in which $P is polyvec, $I the index; returns (exit code, stdout, stderr)."""
    python = f"{sys.executable} -m polyvec"
    variables = {**os.environ, "P": python, "I": str(index), "TERM": "xterm", **environment}
    done = subprocess.run(
        [b"bash", b"-c", command.encode(), b"-", *words], capture_output=True, env=variables, check=False
    )
    err = done.stderr.decode("latin-1")
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    return done.returncode, done.stdout.decode("latin-1"), err


SEARCH = "$P search $I red --mode keyword"


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "cp1252"},
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"COLUMNS": "0"},
        {"COLUMNS": "1"},
        {"COLUMNS": "99999999999"},
        {"COLUMNS": "²", "LINES": "x"},
        {"TERM": "dumb", "NO_COLOR": "1"},
        {"FORCE_COLOR": "1"},
    ],
    ids=str,
)
def test_any_terminal(index: Path, environment: dict[str, str]) -> None:
    code, out, err = run(f"{SEARCH} && $P info $I && {SEARCH} --json", index, **environment)
    assert (code, err) == (0, "")
    assert out.count("red") >= 2 * 10
    answer = json.loads(out.splitlines()[-1].encode("latin-1"))
    assert {hit["text"][:8] for hit in answer["hits"]} == {"水平線 café"}


def test_marks_have_a_form_in_ascii(index: Path) -> None:
    assert run("$P verify $I", index, PYTHONIOENCODING="ascii")[1].startswith("ok every checksum")
    assert "\\u6c34" in run(SEARCH, index, PYTHONIOENCODING="ascii")[1]


def test_runs_are_utf8_whatever_the_locale(tmp_path: Path) -> None:
    with Index.create(tmp_path / "i", encoder=WordEncoder()) as index:
        index.add([{"id": "水", "text": "red"}])
    _, out, _ = run(f"{SEARCH} --run-out -", tmp_path / "i", PYTHONIOENCODING="cp1252")
    assert out.encode("latin-1").decode("utf-8").startswith("1 Q0 水 1 ")


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        (f"{SEARCH} >&-", 1, "stdout: closed"),
        (f"{SEARCH} --json >&-", 1, "stdout: closed"),
        ("$P info $I >&-", 1, "stdout: closed"),
        ("$P verify $I >&-", 0, ""),  # nobody wants to hear that all is well
        ("$P delete $I nothing >&-", 0, ""),
        (f"{SEARCH} > /dev/full", 1, "stdout: No space left"),
        (f"{SEARCH} --json > /dev/full", 1, "stdout: No space left"),
        (f"{SEARCH} --run-out - > /dev/full", 1, "stdout: No space left"),
        ("$P verify $I > /dev/full", 1, "stdout: No space left"),
        ("$P search $I --mode keyword <&-", 2, "stdin is closed"),
        ("$P delete $I - <&-", 2, "stdin is closed"),
        ("$P verify nowhere 2>&-", 1, ""),
        ("$P verify nowhere 2> /dev/full", 1, ""),
        ("$P verify $I <&- >&- 2>&-", 0, ""),
        ("$P --help >&-", 1, "stdout: closed"),
    ],
)
def test_closed_and_full_streams(index: Path, command: str, code: int, message: str) -> None:
    found = run(command, index)
    assert found[0] == code, found
    assert message in found[2]
    assert len(found[2].splitlines()) == (1 if message else 0), found


@pytest.mark.parametrize(
    "what", [SEARCH, f"{SEARCH} --json", "$P --help", f"yes red | head -3000 | {SEARCH.replace(' red', '')} --json"]
)
def test_a_reader_that_goes_away(index: Path, what: str) -> None:
    code, _, err = run(f"set -o pipefail; {what} | true; {what} | head -c 1; true", index)
    assert (code, err) == (0, "")


def test_bytes_that_are_not_utf8(index: Path, tmp_path: Path) -> None:
    code, _, err = run('$P delete $I "$1"', index, b"caf\xe9")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "not valid UTF-8" in err
    code, _, err = run("printf 'd0\\ncaf\\xe9\\n' | $P delete $I -", index)
    assert code == 2
    assert "stdin:2: broken UTF-8 at byte 3" in err
    for command in (f'{SEARCH} --filter "$1"', f'{SEARCH} --tag "$1" --run-out -', '$P search $I "$1" --mode keyword'):
        code, _, err = run(command, index, b"\xff")
        assert (code, len(err.splitlines())) == (2, 1), (command, err)
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    assert run('cp -r $I "$1" && $P verify "$1" && $P search "$1" red --mode keyword --json', index, folder)[0] == 0
    code, _, err = run('$P verify "$1"', index, folder + b"\xe8")
    assert code == 1
    assert "caf\\udce9\\udce8 is not a polyvec index" in err


def test_utf8_arguments_in_another_locale(index: Path) -> None:
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    code, out, _ = run("$P search $I café --mode keyword --json -k 1", index, **plain)
    assert code == 0
    assert json.loads(out)["query"] == "café"
    assert json.loads(out)["hits"]


# -- arguments ---------------------------------------------------------------------------------------------------------


def vectors_index(path: Path, ids: list[str]) -> Index:
    index = Index.create(path, dim=4)
    index.add_vectors(ids, [np.eye(1, 4, dtype=np.float32)] * len(ids))
    return index


SEPARATORS = "\u2028\u2029\x0b\x0c\x1c\x1d\x1e\x85\r"


ANY_ID = st.text(st.sampled_from("ab " + SEPARATORS), min_size=1, max_size=5).filter(
    lambda text: bool(text.strip()) and not text.endswith("\r")
)


@settings(max_examples=25, deadline=None)
@given(ids=st.lists(ANY_ID, min_size=2, max_size=6, unique=True))
def test_ids_on_stdin_are_lines_and_nothing_else(ids: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("ids") / "i"
    vectors_index(path, ids).close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(f"\r\n{ids[0]}\r\n\n{ids[1]}".encode("utf-8-sig"))))
        patch.setattr("sys.stdout", io.StringIO())
        assert main(["delete", str(path), "-"]) == 0
    with Index.open(path) as index:
        assert [document.id for document in index.documents()] == ids[2:]


@pytest.mark.parametrize("bad", ["", "a\0b"])
def test_an_empty_path_is_not_the_current_folder(bad: str, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    vectors_index(tmp_path / "i", ["a"]).close()
    monkeypatch.chdir(tmp_path / "i")
    for words in (
        ["search", bad, "q"], ["index", "docs", bad], ["index", bad, "new"], ["info", bad], ["verify", bad], ["add", ".", bad],
        ["search", ".", "q", "--queries", bad], ["search", ".", "q", "--run-out", bad], ["rerank", "q", bad], ["evaluate", bad],
        ["encode", bad, "x.npz"], ["convert", bad, "x"], ["doctor", bad], ["train", bad], ["mine", bad, "x"],
        ["demo", bad],
        ["index", "docs", "new", "--model", bad], ["reproduce", bad], ["bench", "--audit", bad],
        ["teach", "x", bad, "--late", "y"],
    ):  # fmt: skip
        assert main(words) == 2, words
        err = capsys.readouterr().err
        assert len(err.splitlines()) == 1, err
        assert ("empty" if not bad else "NUL") in err
    assert main(["info", "."]) == 0


@pytest.mark.parametrize(
    "words",
    ["-k nan", "-k 0", "-k -1", "-k 1.5", f"-k {10**30}", "--weight nan", "--weight inf", "--weight 2", "--min-score nan",
     "--threads -1", "--threads 0", "--recall 1.5", "--recall nan", "--nprobe 0", "--candidates -3", "--mode late,keyword",
     "--fusion x",
     "--filter {", "--filter []", "--filter nan"],
)  # fmt: skip
def test_numbers_and_choices_that_make_no_sense(words: str, index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", str(index), "red", "--mode", "keyword", *words.split()]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1, err


def test_the_nearest_command_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serch"]) == 2
    assert "'search'?" in capsys.readouterr().err
    assert main(["\x1b[31m"]) == 2
    assert "\\x1b[31m" in capsys.readouterr().err


def test_help_fits_a_terminal_and_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "..." not in shown.split("Make and keep")[1]
    names = [row.split()[0] for row in shown.split("Make and keep")[1].splitlines()[1:] if row.startswith("  ")]
    assert names == cli.list_commands(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "Interrupted."),
        (MemoryError(), 1, "Out of memory"),
        (RecursionError(), 2, "nested too deeply"),
        (OSError(28, "No space left on device", "a\x1bb"), 1, "a\\x1bb: No space left on device."),
        (KeyError("x\ny"), 1, "A fault of polyvec itself, KeyError"),
        (SystemExit(3), 3, ""),
        (EOFError("cut short"), 1, "EOFError: cut short"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_end_is_one_line(
    error: BaseException, code: int, message: str, index: Path, monkeypatch: Any, capsys: Any
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Index, "open", fail)
    assert main(["info", str(index)]) == code
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == (1 if message else 0)


def test_line_takes_styles_and_values() -> None:
    assert line("a", ("b", "bold"), 3, Path("x")) == Text.assemble("a", ("b", "bold"), "3", "x")
