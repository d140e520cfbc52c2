"""The second opinion on raw SQL, by the real program in an environment of its own; no database."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from mig_kit.hazards.squawk import SquawkFailed, ask_squawk, find_squawk
from tests.venvs import venv


@pytest.fixture(scope="module")
def squawk() -> Path:
    version = "{}.{}".format(*sys.version_info[:2])
    return venv(version, ("squawk-cli>=2",)).parent / "squawk"


def test_tells_what_its_rules_find_and_leaves_style_out(squawk: Path) -> None:
    given = [
        ("CREATE INDEX i ON t (n);", True),
        ("CREATE TABLE t (id serial PRIMARY KEY, c char(3), name varchar(10));", True),
        ("CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (n);", False),
    ]
    said = ask_squawk(squawk, given, major=15)
    assert set(said) == {text for text, _inside in given}
    assert [each.rule for each in said[given[0][0]]] == ["require-concurrent-index-creation"]
    assert "table updates are blocked" in said[given[0][0]][0].message
    assert said[given[1][0]] == said[given[2][0]] == ()


def test_a_text_that_is_no_sql_is_a_finding_not_a_failure(squawk: Path) -> None:
    said = ask_squawk(squawk, [("SELECT f(;", True)])
    assert {each.rule for each in said["SELECT f(;"]} == {"syntax-error"}


def test_is_found_on_the_path(squawk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.pathsep.join((str(squawk.parent), os.environ["PATH"])))
    assert find_squawk() in (squawk, Path(sys.executable).parent / "squawk")


def test_a_program_that_is_something_else_has_failed(tmp_path: Path) -> None:
    other = tmp_path / "squawk"
    other.write_text("#!/bin/sh\necho caw >&2; exit 7\n")
    other.chmod(0o755)
    with pytest.raises(SquawkFailed, match="caw"):
        ask_squawk(other, [("SELECT 1", True)])
    other.write_text("#!/bin/sh\nexit 7\n")
    with pytest.raises(SquawkFailed, match="it ended with 7"):
        ask_squawk(other, [("SELECT 1", True)])
    with pytest.raises(SquawkFailed, match="No such file"):
        ask_squawk(tmp_path / "none", [("SELECT 1", True)])
