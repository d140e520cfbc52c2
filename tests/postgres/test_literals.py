"""Statements shown without their values."""

from __future__ import annotations

import pytest

from mig_kit.postgres.literals import without_literals


@pytest.mark.parametrize(
    ("sql", "shown"),
    [
        ("UPDATE t SET a = 'it''s', b = 12.5e3 WHERE id = 7", "UPDATE t SET a = ?, b = ? WHERE id = ?"),
        ("SELECT E'a\\'secret', n'x', U&'\\0441', b'01', x'ff'", "SELECT ?, ?, ?, ?, ?"),
        ("SELECT $$secret$$, $tag$se$$cret$tag$, $1, $2", "SELECT ?, ?, $1, $2"),
        ('SELECT "a 1", col2, t1.c3 FROM "it""s" t1', 'SELECT "a 1", col2, t1.c3 FROM "it""s" t1'),
        ("SELECT 1 -- the 'secret'\n, 2 /* 'a /* b */ secret' */ + .5", "SELECT ? , ? + ?"),
        ("INSERT INTO t VALUES ('cut in the midd", "INSERT INTO t VALUES (?"),
        ("SELECT $a$ cut in the midd", "SELECT ?"),
        ("SELECT 1 /* cut in the midd", "SELECT ?"),
        ("SELECT interval'1 day', 0xFF, 1_000", "SELECT interval?, ?, ?"),
        ("SELECT a$b, 'x' FROM t", "SELECT a$b, ? FROM t"),
    ],
)
def test_each_literal_is_a_question_mark(sql: str, shown: str) -> None:
    assert without_literals(sql) == shown


def test_a_long_one_is_cut() -> None:
    assert without_literals("SELECT " + "a, " * 200, limit=20) == "SELECT a, a, a, a, …"
    assert without_literals("") == ""
