"""The SQL script of a run: no database needed."""

from __future__ import annotations

from pathlib import Path

from mig_kit.record import Journal, export_sql


def test_groups_the_statements_by_migration_in_their_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.append("session opened", project="shop")
    journal.append("statement", app="blog", name="0002_a", sql="ALTER TABLE a ADD b int")
    journal.append("statement", app="blog", name="0002_a", sql="SELECT 1;\n")
    journal.append("migration applied", app="blog", name="0002_a")
    journal.append("statement", app="blog", name="0003\nDROP TABLE x", sql="ALTER ROLE a PASSWORD 'abc'")
    assert export_sql(journal) == (
        "-- blog.0002_a\nALTER TABLE a ADD b int;\nSELECT 1;\n\n"
        "-- blog.0003 DROP TABLE x\nALTER ROLE a PASSWORD '***';\n"
    )


def test_a_run_without_statements_has_no_script(tmp_path: Path) -> None:
    assert export_sql(Journal(tmp_path / "j")) == ""
