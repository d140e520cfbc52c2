"""The project's .env, in real files; python-dotenv does the parsing."""

from __future__ import annotations

import io
import logging
import os
from pathlib import Path

import pytest
from dotenv import dotenv_values

from mig_kit.errors import ConfigError
from mig_kit.project.env_file import Variables, find_env_file, read_env_file
from tests.project.folders import as_nobody, open_folder


def write(folder: Path, text: str | bytes, mode: int = 0o600) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".env"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)
    return path


def test_shows_names_and_never_values() -> None:
    variables = Variables({"DB_PASSWORD": "s3cret", "DB_USER": "anna"})
    assert repr(variables) == str(variables) == f"{variables}" == "<DB_PASSWORD, DB_USER>"
    assert repr(Variables()) == "<none>"
    assert variables["DB_PASSWORD"] == "s3cret"
    assert dict(variables) == {"DB_PASSWORD": "s3cret", "DB_USER": "anna"}


def test_reads_as_python_dotenv_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        "# credentials\n"
        "export DB_USER=anna\n"
        "DB_NAME = 'port folio'\n"
        'GREETING="Grüß\\nGott"\n'
        "URL=postgres://${DB_USER}@${DB_HOST:-localhost}/x\n"
        "EMPTY=\n"
        "BARE\n"
        "COMMENTED=value # not this\n"
    )
    monkeypatch.delenv("DB_USER", raising=False)
    path = write(tmp_path, text)
    expected = {k: v for k, v in dotenv_values(stream=io.StringIO(text)).items() if v is not None}
    assert dict(read_env_file(path, {}).variables) == expected
    assert expected["URL"] == "postgres://anna@localhost/x"


def test_fills_in_from_the_environment_first(tmp_path: Path) -> None:
    path = write(tmp_path, "DB_USER=anna\nURL=postgres://${DB_USER}@h/x\n")
    assert read_env_file(path, {"DB_USER": "bert"}).variables["URL"] == "postgres://bert@h/x"


def test_reads_a_file_saved_with_a_byte_order_mark(tmp_path: Path) -> None:
    assert dict(read_env_file(write(tmp_path, b"\xef\xbb\xbfA=1\r\nB=2\r\n"), {}).variables) == {
        "A": "1",
        "B": "2",
    }


def test_names_the_values_that_another_reader_would_read_otherwise(tmp_path: Path) -> None:
    """A password with a $ came out shortened and hid the right one, which the project reads by itself."""
    path = write(tmp_path, "DB_PASSWORD=a${b}c\nPLAIN=abc\nQUOTED='abc'\n")
    notes = read_env_file(path, {}).notes
    assert notes[0] == f".env: {path} (3 variables, used where the environment does not set them)."
    assert notes[1] == (
        f"DB_PASSWORD in {path}: quotes, $, \\ or # were read by python-dotenv's rules; "
        "when the project reads them otherwise, name the value with environ=…."
    )
    assert len(notes) == 2


def test_names_the_line_it_cannot_read_and_reads_the_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path, "A=1\nwhat is = this 's3cret\nB=2\n")
    with caplog.at_level(logging.DEBUG):
        read = read_env_file(path, {})
    assert dict(read.variables) == {"A": "1", "B": "2"}
    assert f"Line 2 of {path} cannot be read and was left out." in read.notes
    assert "s3cret" not in "".join(read.notes)
    assert not caplog.records


def test_refuses_a_file_that_is_not_utf8_naming_the_line_and_no_secret(tmp_path: Path) -> None:
    path = write(tmp_path, b"A=1\nDB_PASSWORD=s3cr\xe9t\n")
    with pytest.raises(ConfigError) as caught:
        read_env_file(path, {})
    assert str(caught.value) == f"{path} is not UTF-8: line 2.\nNext: save the file as UTF-8"
    assert caught.value.__context__ is None  # the decoding error would carry the whole file


def test_refuses_a_nul(tmp_path: Path) -> None:
    path = write(tmp_path, "A=1\n\nB=x\0y\n")
    with pytest.raises(ConfigError, match=r"holds a NUL character: line 3\."):
        read_env_file(path, {})


def test_refuses_a_file_it_may_not_read() -> None:
    with open_folder() as folder:
        path = write(folder, "A=1\n", mode=0o000)
        with as_nobody(), pytest.raises(ConfigError) as caught:
            read_env_file(path, {})
    assert caught.value.message == f"{path} cannot be read: Permission denied."


@pytest.mark.parametrize(("mode", "said"), [(0o600, False), (0o400, False), (0o640, True), (0o644, True)])
def test_says_when_others_can_read_it(tmp_path: Path, mode: int, said: bool) -> None:
    path = write(tmp_path, "A=1\n", mode=mode)
    note = f"Other users can read {path} (mode {mode:04o}); chmod 600 keeps it to its owner."
    assert (note in read_env_file(path, {}).notes) is said


def test_leaves_the_environment_of_this_process_alone(tmp_path: Path) -> None:
    before = dict(os.environ)
    read_env_file(write(tmp_path, "MIG_KIT_TEST_ONLY=1\n"), {})
    assert dict(os.environ) == before


def test_prefers_the_one_nearer_to_manage_py_and_says_so(tmp_path: Path) -> None:
    far, near = write(tmp_path, "A=1\n"), write(tmp_path / "backend", "A=2\n")
    found, notes = find_env_file(tmp_path / "backend", tmp_path)
    assert found == near
    assert notes == (f"Two .env files: {near} is used, because it lies nearer to manage.py; {far} is not.",)


def test_takes_no_virtual_environment_of_that_name_for_a_file(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    assert find_env_file(tmp_path, tmp_path) == (None, (f"No .env in {tmp_path}.",))
