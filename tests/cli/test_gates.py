"""Gates and going back in a terminal, on a real demo (embedded PostgreSQL 18)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import connect

from mig_kit.demo import Demo
from tests.cli.commands import Cli
from tests.steps.projects import Copy, empty_migration

PARENT = "0004_category_position_post_status_idx"
NEW = "blog.0005_code"


@pytest.fixture
def pending(own_demo: Demo) -> Iterator[Path]:
    """The demo with one migration to apply, which has no way back; the file and what was kept go after the test."""
    root = own_demo.root
    project = Copy(root, own_demo.database, own_demo.database)
    path = empty_migration(project, "blog", "0005_code", PARENT, "[migrations.RunPython(lambda apps, editor: None)]")
    yield root
    path.unlink()
    (root / ".mig" / "gates.jsonl").unlink(missing_ok=True)
    with connect(**own_demo.database.params()) as connection:
        connection.execute("DELETE FROM django_migrations WHERE name = '0005_code'")


def test_shows_each_gate_with_what_opens_it_as_commands(pending: Path, cli: Cli) -> None:
    shown = cli("gates", "--stage", "production", "--project", pending, root=pending)
    assert shown.code == 1
    lines = [" ".join(line.split()) for line in shown.out.splitlines()]
    assert "closed reviewed Nobody was shown what blog.0005_code would run." in lines
    assert "next: mig-kit preview" in lines
    assert "open nobody else migrating No session holds the lock on migrating." in lines
    assert "next: resolve it, or --acknowledge 'MK401 in blog.0005_code=REASON'" in lines
    assert lines[-1] == "Before apply in production: 6 required and closed."
    relaxed = cli("gates", "--project", pending, root=pending)
    assert (relaxed.code, relaxed.out.count("not required")) == (0, 9)
    assert relaxed.out.endswith("Before apply in development: No gate keeps it from running.\n")


def test_what_preview_showed_and_what_was_acknowledged_is_found_by_the_next_command(pending: Path, cli: Cli) -> None:
    where = ("--stage", "staging", "--project", pending)
    refused = cli("apply", *where, root=pending)
    assert refused.code == 2
    assert refused.err == (
        "Error: The gate 'reviewed' is closed: Nobody was shown what blog.0005_code would run. Closed as well: hazards "
        "answered.\nNext: mig-kit preview\n"
    )
    assert cli("preview", *where).code == 0
    again = cli("apply", "--json", *where)
    assert (again.code, again.error["gate"]) == (2, "hazards answered")
    opened = cli("gates", *where, "--acknowledge", f"MK401 in {NEW}=nobody goes back", "--json", root=pending)
    points = {each["id"]: each["reason"] for each in opened.document["points"]}
    assert points["MK401"] == "nobody goes back"
    others = [each for each, reason in points.items() if not reason and each not in ("old code",)]
    for each in others:
        cli("gates", *where, "--acknowledge", f"{each}=it does nothing")
    applied = cli("apply", *where, "--json", root=pending)
    assert applied.code == 0
    assert {each["name"]: each["state"] for each in applied.document["gates"]} == {
        "reviewed": "open",
        "hazards answered": "open",
        "nobody else migrating": "open",
        "a direct connection": "open",
        "record writable": "open",
    }
    assert applied.document["plan"]["migrations"] == [NEW]


def test_an_override_is_in_the_json_and_in_the_record(pending: Path, cli: Cli) -> None:
    reasons = [f"--override={gate}=a rescue at night" for gate in ("reviewed", "backed up", "rehearsed", "hazards")]
    applied = cli(
        "apply",
        "--stage",
        "production",
        "--confirm",
        "portfolio",
        *reasons,
        "--override=old code=a rescue at night",
        "--json",
        "--project",
        pending,
        root=pending,
    )
    assert applied.code == 0
    overridden = {each["name"]: each["reason"] for each in applied.document["gates"] if each["state"] == "overridden"}
    assert overridden["rehearsed"] == "a rescue at night"
    journal = (Path(applied.document["record"]) / "journal.jsonl").read_text()
    kept = [json.loads(line) for line in journal.splitlines()]
    said = {each["data"]["gate"] for each in kept if each["kind"] == "gate overridden"}
    assert said >= set(overridden)


def test_a_reason_that_is_none_is_wrong_usage(pending: Path, cli: Cli) -> None:
    told = cli("apply", "--override", "rehearsed", "--project", pending)
    assert (told.code, told.err) == (
        2,
        "Error: 'rehearsed' is not GATE=REASON.\nNext: mig-kit gates lists what there is\n",
    )
    told = cli("apply", "--override", "name typed=because", "--project", pending)
    assert told.code == 2
    assert "cannot be overridden" in told.err


def test_a_rollback_shows_what_is_lost_and_goes_with_the_name(own_demo: Demo, cli: Cli) -> None:
    where = ("--project", own_demo.root)
    shown = cli("rollback", "contact", "0003", *where, root=own_demo.root)
    assert shown.code == 0
    assert shown.out.startswith("Would be taken back, in this order: contact.0004_subscriber\n")
    assert "contact_subscriber" in shown.out
    assert "the table is dropped" in shown.out
    assert shown.err == "Nothing was run. To do it: mig-kit rollback contact 0003 --confirm 'portfolio'\n"
    document = cli("rollback", "contact", "0003", "--json", *where, root=own_demo.root).document
    [loss] = document["losses"]
    assert (loss["table"], loss["lost"]) == ("contact_subscriber", loss["rows"])
    assert document["sql"].startswith("BEGIN;")
    wrong = cli("rollback", "contact", "0003", "--confirm", "contact", *where)
    assert (wrong.code, wrong.err) == (
        2,
        "Error: The name of the database has to be typed, and 'contact' was given.\nNext: mig-kit rollback contact "
        f"0003 --confirm 'portfolio', when {own_demo.database.safe} is the one you mean\n",
    )
    assert cli("backup", *where, root=own_demo.root).code == 0
    tried = cli("rollback", "contact", "0003", "--rehearse", *where, root=own_demo.root)
    assert tried.code == 0
    assert re.search(r"^contact\.0004_subscriber +taken back ", tried.out, re.MULTILINE)
    assert "\nThe way back passed on portfolio-" in tried.out
    done = cli("rollback", "contact", "0003", "--confirm", "portfolio", *where, root=own_demo.root)
    assert done.code == 0
    assert done.out.endswith("\n1 migration taken back.\n")
    assert cli("rollback", "contact", "0003", *where).out == "Nothing to take back: contact is at 0003 already.\n"
    assert cli("apply", "contact", *where).code == 0


def test_an_irreversible_way_back_exits_with_2_and_names_the_alternative(pending: Path, cli: Cli) -> None:
    assert cli("apply", "--project", pending).code == 0
    shown = cli("rollback", "blog", "0004", "--project", pending)
    assert shown.code == 2
    assert f"Irreversible: {NEW}: Raw Python operation\n" in shown.out
    assert shown.err == "It is refused. The alternative is to restore a backup from before it: mig-kit restore\n"
    refused = cli("rollback", "blog", "0004", "--confirm", "portfolio", "--json", "--project", pending)
    assert (refused.code, refused.error["gate"]) == (2, "reversible")
