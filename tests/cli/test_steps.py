"""The steps on a real demo, for people and as JSON (embedded PostgreSQL 18)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mig_kit.demo import Demo
from tests.cli.commands import RENAME, Cli, edit, secrets_of

BLOG = "blog.0005_comment_comment_post_created_idx"


def test_shows_what_is_applied(demo: Demo, cli: Cli) -> None:
    shown = cli("status", "contact", "--project", demo.root)
    assert (shown.code, shown.err) == (0, "")
    lines = [line.split() for line in shown.out.splitlines()]
    assert lines[0][:3] == ["app", "migration", "applied"]
    assert [line[:3] for line in lines[1:5]] == [
        ["contact", "0001_initial", "[X]"],
        ["contact", "0002_message_answered_at_message_source", "[X]"],
        ["contact", "0003_message_created_idx", "[X]"],
        ["contact", "0004_subscriber", "[X]"],
    ]
    assert shown.out.endswith("\n4 migrations, none pending.\n")
    assert not any(line.endswith(" ") for line in shown.out.splitlines())


def test_gives_the_status_as_json(demo: Demo, cli: Cli) -> None:
    shown = cli("status", "--project", demo.root, "--json", root=demo.root)
    document = shown.document
    assert (shown.code, shown.err) == (0, "")
    assert document["project"] == str(demo.root)
    assert (document["database"], document["stage"], document["pending"]) == ("default", "development", 0)
    assert document["server"] == demo.database.safe
    row = next(each for each in document["migrations"] if each["app"] == "contact")
    assert row["migration"] == "0001_initial"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", row["applied"])
    assert (row["state"], row["operations"], row["note"]) == ("[X]", 1, "")


def test_review_lists_operations_and_how_to_answer(demo: Demo, cli: Cli) -> None:
    shown = cli("review", "portfolio", "--project", demo.root)
    assert (shown.code, shown.err) == (0, "")
    assert "~  Rename field link on project to live_url\n" in shown.out
    assert shown.out.endswith(
        "\nWas the field portfolio.project.link renamed to portfolio.project.live_url (a URLField)?\n"
        f"  mig-kit generate --answer '{RENAME}=yes|no'\n"
    )
    assert "-    link = " not in shown.out
    assert "-    link = models.URLField" in cli("review", "portfolio", "--diff", "--project", demo.root).out


def test_review_exits_with_1_only_when_asked_to_check(demo: Demo, cli: Cli) -> None:
    shown = cli("review", "--json", "--project", demo.root, "--check", root=demo.root)
    assert shown.code == 1
    assert shown.document["apps"] == ["blog", "contact", "portfolio"]
    assert [each["id"] for each in shown.document["questions"]] == [RENAME]
    assert cli("review", "--json", "--project", demo.root).code == 0


def test_a_question_without_an_answer_writes_nothing(demo: Demo, cli: Cli) -> None:
    before = sorted(demo.backend.rglob("migrations/*.py"))
    told = cli("generate", "--project", demo.root)
    assert (told.code, told.out) == (2, "")
    assert told.err == (
        "Error: makemigrations asks a question that has no answer yet:\n"
        f"  {RENAME}\n"
        "    Was the field portfolio.project.link renamed to portfolio.project.live_url (a URLField)?\n"
        f"Next: answer by id: mig-kit generate --answer '{RENAME}=yes'\n"
    )
    assert cli("generate", "--json", "--project", demo.root).error["questions"][0]["id"] == RENAME
    assert sorted(demo.backend.rglob("migrations/*.py")) == before


def test_queries_read_only(demo: Demo, cli: Cli) -> None:
    sql = "SELECT id, name FROM portfolio_skill WHERE id <= %(most)s ORDER BY id"
    shown = cli("query", sql, "-p", "most", "2", "--project", demo.root)
    assert (shown.code, shown.err) == (0, "")
    lines = [line.split() for line in shown.out.splitlines()]
    assert [line[:1] for line in lines[:3]] == [["id"], ["1"], ["2"]]
    assert shown.out.endswith("\n2 rows.\n")


def test_loses_no_value_on_the_way_to_json(demo: Demo, cli: Cli) -> None:
    sql = (
        r"SELECT 1 AS a, 2 AS a, NULL::int AS n, 1.50::numeric AS d, '\x01ff'::bytea AS b, 'NaN'::float8 AS f,"
        """ '2026-01-02'::date AS t, '{"k": [1]}'::jsonb AS j, true AS y"""
    )
    shown = cli("query", sql, "--project", demo.root, "--json")
    assert shown.document["columns"] == ["a", "a", "n", "d", "b", "f", "t", "j", "y"]
    assert shown.document["rows"] == [
        {
            "a": 1,
            "a_2": 2,
            "n": None,
            "d": "1.50",
            "b": "\\x01ff",
            "f": None,
            "t": "2026-01-02",
            "j": {"k": [1]},
            "y": True,
        }
    ]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        (
            "DELETE FROM portfolio_skill",
            "Error: The query begins with DELETE; a verification query reads: "
            "EXPLAIN, SELECT, SHOW, TABLE, VALUES, WITH.\nNext: nothing was run; write it as a SELECT\n",
        ),
        (
            "SELECT * FROM portfolio_skil",
            'Error: The query failed: relation "portfolio_skil" does not exist '
            "(at line 1, column 15: portfolio_skil).\n"
            "Next: check the table's name; mig-kit status tells whether its migration has been applied\n",
        ),
    ],
)
def test_a_query_that_cannot_be_run_says_why(demo: Demo, cli: Cli, sql: str, said: str) -> None:
    told = cli("query", sql, "--project", demo.root)
    assert (told.code, told.out, told.err) == (3, "", said)


def test_production_is_not_migrated_without_its_name(demo: Demo, cli: Cli) -> None:
    told = cli("apply", "--stage", "production", "--project", demo.root)
    assert (told.code, told.out) == (2, "")
    assert told.err == (
        "Error: This is production: the name of the database has to be typed, and no name was given.\n"
        f"Next: mig-kit apply --confirm 'portfolio', when {demo.database.safe} is the one you mean\n"
    )
    refused = cli("apply", "--stage", "production", "--confirm", "other", "--json", "--project", demo.root)
    assert (refused.code, refused.error["gate"]) == (2, "name typed")


def test_a_way_back_needs_a_migration(demo: Demo, cli: Cli) -> None:
    told = cli("preview", "contact", "--backwards", "--project", demo.root)
    assert told.code == 2
    assert told.err == (
        "Error: A way back needs to know from where.\nNext: name a migration: mig-kit preview APP NAME --backwards\n"
    )


def test_exits_with_1_when_the_checks_find_an_error_in_a_new_file(copy: Path, cli: Cli) -> None:
    models = copy / "backend" / "apps" / "contact" / "models.py"
    edit(models, "subject = models.CharField(max_length=160)", "subject = models.CharField(max_length=16)")
    found = cli("generate", "--app", "contact", "--name", "narrows", "--answer", f"{RENAME}=yes", "--project", copy)
    assert found.code == 1
    assert (copy / "backend" / "apps" / "contact" / "migrations" / "0005_narrows.py").is_file()
    assert re.search(r"^error +MK101 +contact\.0005_narrows +", found.out, re.MULTILINE)


def test_walks_the_runbook_from_generate_to_verify(own_demo: Demo, cli: Cli) -> None:
    where = ("--project", own_demo.root)
    generated = cli("generate", "--answer", f"{RENAME}=yes", "--answer", "typo=1", *where, root=own_demo.root)
    assert generated.code == 0
    assert generated.err.startswith("Warning: No question has the id 'typo': that answer was not used.\nRecord: ")
    assert generated.out.endswith("3 files written. Nothing found in field types, deletions and dependencies.\n")

    pending = cli("preview", *where)
    assert pending.code == 0
    assert pending.out.count("BEGIN;") == pending.out.count("COMMIT;") == 3
    assert 'CREATE INDEX "comment_post_created_idx" ON "blog_comment" ("post_id", "created_at" DESC);' in pending.out
    one = cli("preview", "blog", "0005", "--json", *where)
    assert (one.code, one.err) == (0, "")
    [migration] = one.document["migrations"]
    assert len(migration["statements"]) == 1
    back = cli("preview", "blog", "0003", "--backwards", *where)
    assert "-- NOT KNOWN HERE: " in back.out

    unverified = cli("verify", *where)
    assert unverified.code == 1
    assert re.search(r"^ +next: .*mig-kit apply$", unverified.out, re.MULTILINE)
    assert unverified.out.endswith("failed.\n")

    applied = cli("apply", "blog", *where, root=own_demo.root)
    assert applied.code == 0
    assert re.search(r"^ +[\d.]+ ms  CREATE INDEX", applied.err, re.MULTILINE)
    assert re.search(rf"^{BLOG}: OK \([\d.]+ s\)$", applied.err, re.MULTILINE)
    assert re.search(rf"^{BLOG} +2 +[\d.]+$", applied.out, re.MULTILINE)
    rest = cli("apply", *where, "--json", root=own_demo.root)
    assert [each["app"] for each in rest.document["migrations"]] == ["portfolio", "contact"]
    assert cli("apply", *where).out == "Nothing to apply: no migration is pending.\n"

    verified = cli("verify", *where, root=own_demo.root)
    assert verified.code == 0
    assert verified.out.endswith("\nNo check failed.\n")
    document = cli("verify", *where, "--json", root=own_demo.root).document
    assert document["ok"] is True
    assert document["queries"]["unanswered messages"] == [{"count": 1800}]
    assert cli("review", "--check", *where).code == 0
    assert cli("review", *where).out.startswith("No changes detected.\n")

    kept = "".join(path.read_text() for path in own_demo.root.glob(".mig/runs/*/journal.jsonl"))
    assert kept.count('"session opened"') >= 5
    assert not [secret for secret in secrets_of(own_demo.root) if secret in kept]
