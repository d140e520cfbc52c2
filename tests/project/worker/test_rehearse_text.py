"""Statements' texts as the worker of a rehearsal reads them: scripts taken apart, values left out, kinds."""

from __future__ import annotations

import time

import pytest

from mig_kit.project.worker.clock import Clock
from mig_kit.project.worker.fences import started
from mig_kit.project.worker.script import is_look_up, kind_of_all, split_script, without_values
from mig_kit.project.worker.statement_kind import ALONE, CHANGE, CONCURRENT, CONTROL, READ, STRONG
from mig_kit.project.worker.withhold import without_role


@pytest.mark.parametrize(
    ("script", "parts"),
    [
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT 1;", ["SELECT 1;"]),
        ("SELECT 1; SELECT 2", ["SELECT 1", "SELECT 2"]),
        ("SELECT ';' || \"a;b\"; SELECT 'it''s;'", ["SELECT ';' || \"a;b\"", "SELECT 'it''s;'"]),
        ("DO $$ BEGIN a; b; END $$; SELECT 1", ["DO $$ BEGIN a; b; END $$", "SELECT 1"]),
        ("DO $x$ a $$ ; $$ b; $x$; SELECT 1", ["DO $x$ a $$ ; $$ b; $x$", "SELECT 1"]),
        ("SELECT 1; -- a; b\n; SELECT 2 /* c; d */; -- the end", ["SELECT 1", "SELECT 2 /* c; d */"]),
        (
            "CREATE RULE r AS ON INSERT TO t DO (a; b); SELECT 1",
            ["CREATE RULE r AS ON INSERT TO t DO (a; b)", "SELECT 1"],
        ),
        # What is not certain stays one text.
        ("CREATE FUNCTION f() BEGIN ATOMIC a; b; END; SELECT 1", None),
        (r"SELECT E'\'; '; SELECT 1", None),
        ("SELECT (1; SELECT 2", None),
        ("-- nothing; but a comment", None),
    ],
)
def test_takes_a_script_apart(script: str, parts: list[str] | None) -> None:
    assert split_script(script) == (parts or [script])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("UPDATE t SET a = 1 WHERE id = 2", "UPDATE t SET a = 17 WHERE id = -3.5"),
        ("INSERT INTO t VALUES ('it''s')", "INSERT INTO t VALUES ('x')"),
        ("DELETE FROM t WHERE id IN (1, 2)", "DELETE FROM t WHERE id IN (1, 2, 3, 4)"),
        ("INSERT INTO t (a) VALUES (%s, %s), (%s, %s)", "INSERT INTO t (a) VALUES (%s, %s)"),
    ],
)
def test_statements_that_differ_in_values_only_are_one(one: str, other: str) -> None:
    assert without_values(one) == without_values(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("UPDATE t1 SET a = 1", "UPDATE t2 SET a = 1"), ('SELECT "a1"', 'SELECT "a2"'), ("SELECT a", "SELECT b")],
)
def test_statements_that_differ_in_names_are_two(one: str, other: str) -> None:
    assert without_values(one) != without_values(other)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("SELECT 1", READ),
        ("UPDATE t SET a = 1; SET CONSTRAINTS ALL IMMEDIATE", STRONG),
        ("SET CONSTRAINTS x IMMEDIATE; ALTER TABLE t DROP CONSTRAINT x", STRONG),
        ("SET CONSTRAINTS ALL IMMEDIATE", STRONG),
        ("SET lock_timeout = 1", CONTROL),
        ("SAVEPOINT x", CONTROL),
        ("EXECUTE x", STRONG),
        ("DELETE FROM t", CHANGE),
        ("CREATE INDEX CONCURRENTLY i ON t (a)", CONCURRENT),
        ("VACUUM t", ALONE),
    ],
)
def test_a_text_is_of_the_kind_that_asks_for_most(text: str, kind: str) -> None:
    assert kind_of_all(text) == kind


def test_djangos_look_into_the_catalog_is_told_from_a_migrations_read() -> None:
    assert is_look_up("\n  SELECT c.relname FROM pg_catalog.pg_class c")
    assert not is_look_up("SELECT name FROM pg_notes")
    assert not is_look_up("UPDATE pg_class SET relname = 'x'")


def test_the_clock_stands_still_while_something_is_looked_at() -> None:
    clock = Clock()
    with clock.still():
        time.sleep(0.05)
        with clock.still():
            time.sleep(0.01)
    assert clock.now() < 40
    assert 55 < clock.stood < 1000
    clock.restart()
    assert clock.now() < 5


@pytest.mark.parametrize(
    ("event", "args", "program"),
    [
        ("subprocess.Popen", ("psql", ["psql", "-h", "x"], None, None), "psql"),
        (
            "subprocess.Popen",
            ("/bin/sh", ["/bin/sh", "-c", "cd /tmp; /usr/bin/pg_dump x | cat"], None, None),
            "pg_dump",
        ),
        ("subprocess.Popen", ("/opt/python3.8", ["/opt/python3.8", "manage.py"], None, None), "python3.8"),
        ("os.system", (b"python manage.py migrate",), "python"),
        ("os.posix_spawn", ("/usr/bin/env", ["env", "django-admin"], None), "django-admin"),
        ("subprocess.Popen", ("git", ["git", "log", "docs/python-notes"], None, None), ""),
        ("os.system", (b"ls psqlrc pg_",), ""),
    ],
)
def test_programs_that_would_go_their_own_way_are_known(event: str, args: tuple[object, ...], program: str) -> None:
    assert started(event, args) == program


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ("-c search_path=a,b -c role=owner", "-c search_path=a,b"),
        ("-crole=owner --statement_timeout=5s", "--statement_timeout=5s"),
        ("", ""),
    ],
)
def test_a_role_is_left_out_of_the_options(given: str, left: str) -> None:
    assert without_role(given) == left
