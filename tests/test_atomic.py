"""Output files appear whole or not at all, never over an input, and are refused before the work."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyvec.atomic import (
    aside,
    check_destination,
    check_destination_folder,
    check_new_folder,
    staged,
    write_text,
    written,
)
from polyvec.errors import InputError, PolyvecError, StorageError

posix = pytest.mark.skipif(sys.platform == "win32", reason="links and pipes as POSIX has them")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.text(st.characters(exclude_categories=("Cs",))), st.one_of(st.none(), st.text("ab\n")))
def test_what_is_written_is_there_and_nothing_else(tmp_path: Path, text: str, before: str | None) -> None:
    path = tmp_path / "out.txt"
    path.unlink(missing_ok=True)
    if before is not None:
        path.write_text(before, encoding="utf-8")
    write_text(path, text)
    assert path.read_bytes().decode() == text
    assert [one.name for one in tmp_path.iterdir()] == ["out.txt"]


@pytest.mark.parametrize("error", [InputError("no"), KeyboardInterrupt(), OSError(28, "No space left on device")])
@pytest.mark.parametrize("before", [None, "kept"])
def test_a_failure_leaves_what_was_there(tmp_path: Path, error: BaseException, before: str | None) -> None:
    path = tmp_path / "out.txt"
    if before is not None:
        path.write_text(before, encoding="utf-8")

    def fail() -> None:
        with written(path) as stream:
            stream.write("half")
            raise error

    with pytest.raises(StorageError if isinstance(error, OSError) else type(error)):
        fail()
    assert (path.read_text(encoding="utf-8") if path.exists() else None) == before
    assert len(list(tmp_path.iterdir())) == (before is not None)


def test_an_error_of_reading_keeps_its_own_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="elsewhere"), written(tmp_path / "out.txt"):
        (tmp_path / "elsewhere").read_text(encoding="utf-8")


def test_destinations_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x", encoding="utf-8")
    for path in (tmp_path / "folder", tmp_path / "no" / "out", tmp_path / "file" / "out"):
        with pytest.raises(StorageError):
            check_destination(path)
        with pytest.raises(PolyvecError):
            write_text(path, "x")
    for nothing in ("", " ", "a\0b", "x" * 300, tmp_path / ("x" * 300), 7, b"out", None, "\ud800"):
        with pytest.raises(InputError):
            check_destination(nothing)  # type: ignore[arg-type]
    with pytest.raises(StorageError, match="exists already"):
        check_destination(tmp_path / "file", new=True)
    with pytest.raises(StorageError, match="not a folder"):
        check_destination_folder(tmp_path / "file" / "report")
    check_destination_folder(tmp_path / "new" / "report")
    check_destination("-")


@posix
def test_inputs_are_never_written_over(tmp_path: Path) -> None:
    docs, folder = tmp_path / "docs.jsonl", tmp_path / "beir"
    docs.write_text("{}", encoding="utf-8")
    folder.mkdir()
    (folder / "corpus.jsonl").write_text("{}", encoding="utf-8")
    (folder / "old.run").write_text("", encoding="utf-8")
    (tmp_path / "symbolic").symlink_to(docs)
    os.link(docs, tmp_path / "hard")
    (tmp_path / "way").symlink_to(folder)
    for path in (docs, tmp_path / "symbolic", tmp_path / "hard", tmp_path / "way" / "corpus.jsonl"):
        with pytest.raises(InputError, match="is an input"):
            check_destination(path, inputs=[None, "-", docs, folder])
    check_destination(folder / "old.run", inputs=[folder])
    check_destination(folder / "new.jsonl", inputs=[folder])


@posix
def test_links_modes_and_devices(tmp_path: Path) -> None:
    real = tmp_path / "real.txt"
    real.write_text("before", encoding="utf-8")
    real.chmod(0o640)
    (tmp_path / "link").symlink_to(real)
    write_text(tmp_path / "link", "after")
    assert (tmp_path / "link").is_symlink()
    assert real.read_text(encoding="utf-8") == "after"
    assert real.stat().st_mode & 0o777 == 0o640
    write_text(os.devnull, "gone")
    assert not Path(os.devnull).is_file()


def test_folders_appear_whole(tmp_path: Path) -> None:
    with staged(tmp_path / "model") as staging:
        (staging / "a").write_text("x", encoding="utf-8")
        assert not (tmp_path / "model").exists()
    assert (tmp_path / "model" / "a").read_text(encoding="utf-8") == "x"
    with pytest.raises(StorageError, match="something is there"):
        check_new_folder(tmp_path / "model")

    def fail() -> None:
        with staged(tmp_path / "other") as staging:
            (staging / "a").write_text("x", encoding="utf-8")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_the_path_to_write_has_the_ending_of_the_destination(tmp_path: Path) -> None:
    with aside(tmp_path / "picture.png") as staging:
        assert staging.suffix == ".png"
        staging.write_bytes(b"x")
    assert (tmp_path / "picture.png").read_bytes() == b"x"


@posix
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_files_of_a_new_folder_are_as_readable_as_the_umask_says(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with staged(tmp_path / "made") as staging:
            (staging / "inside").mkdir()
            for name in ("one", "inside/two"):
                (staging / name).touch(mode=0o600)
            (staging / "run").touch(mode=0o700)
        with aside(tmp_path / "file") as staging:
            staging.unlink()
            staging.touch(mode=0o600)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "made").rglob("*") if path.is_file()}
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~umask
    assert modes == {"one": 0o666 & ~umask, "two": 0o666 & ~umask, "run": 0o700 | (0o666 & ~umask)}
