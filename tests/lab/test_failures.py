"""Errors in a cell, in a real IPython."""

from __future__ import annotations

import re
import sys

import pytest
from IPython.core.interactiveshell import InteractiveShell

from mig_kit.errors import BackupError, OperationFailed, UnansweredQuestions
from mig_kit.lab import connect
from mig_kit.lab.failures import FULL_TRACEBACK, brief
from mig_kit.record import clear_secrets, register_secret

ANSI = re.compile(r"\x1b\[[\d;]*m")

RAISES = (
    "from mig_kit.errors import BackupError\nraise BackupError('The disk is full.', hint='free some, then rb.backup()')"
)


def test_an_error_is_one_block_and_the_cell_has_failed(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    connect()
    result = shell.run_cell(RAISES)
    assert isinstance(result.error_in_exec, BackupError)
    assert ANSI.sub("", capsys.readouterr().out) == (
        "BackupError: The disk is full.\nNext: free some, then rb.backup()\n(%tb shows the traceback)\n"
    )


def test_the_traceback_is_still_at_hand(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    connect()
    shell.run_cell(RAISES)
    assert isinstance(sys.last_value, BackupError)
    capsys.readouterr()
    shell.run_line_magic("tb", "")
    shown = ANSI.sub("", capsys.readouterr().out)
    assert "Traceback (most recent call last)" in shown
    assert "raise BackupError" in shown


def test_the_environment_brings_the_traceback_back(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FULL_TRACEBACK, "1")
    connect()
    assert not shell.run_cell(RAISES).success
    assert "Traceback (most recent call last)" in ANSI.sub("", capsys.readouterr().out)


def test_other_errors_look_as_ever(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    connect()
    assert not shell.run_cell("1 / 0").success
    assert "Traceback (most recent call last)" in ANSI.sub("", capsys.readouterr().out)


def test_the_projects_own_traceback_is_named() -> None:
    error = OperationFailed("It failed.", traceback="Traceback …")
    assert "rb.traceback() shows the project's traceback" in brief(OperationFailed, error)[-1]


def test_an_open_question_names_the_form() -> None:
    error = UnansweredQuestions("Asked.", questions=(), hint="answers={…}")
    assert "  or answer in the form of rb.questions(), and run this cell again" in brief(UnansweredQuestions, error)


def test_a_secret_and_an_escape_sequence_are_not_shown() -> None:
    register_secret("hunter2-hunter2")
    try:
        shown = "".join(brief(BackupError, BackupError("with hunter2-hunter2 \x1b[2J", hint="hunter2-hunter2")))
    finally:
        clear_secrets()
    assert "hunter2" not in shown
    assert "\\x1b[2J" in shown
