"""``mig-kit rehearse`` on a demo: tables, JSON, exit codes, Ctrl-C. Embedded PostgreSQL 18."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema

import mig_kit.hazards
from mig_kit.demo import Demo
from tests.cli.commands import Cli, interrupt, running

SCHEMA = json.loads((Path(mig_kit.hazards.__file__).parent / "assessment.schema.json").read_text("utf-8"))


def write(root: Path, operations: str, number: int = 5) -> Path:
    path = root / f"backend/apps/blog/migrations/{number:04}_more.py"
    path.write_text(
        "from django.db import migrations, models\n\n\nclass Migration(migrations.Migration):\n"
        '    dependencies = [("blog", "0004_category_position_post_status_idx")]\n'
        f"    operations = [\n        {operations},\n    ]\n"
    )
    return path


def test_nothing_pending_is_fine(cli: Cli, demo: Demo) -> None:
    done = cli("rehearse", "--project", demo.root, root=demo.root)
    assert (done.code, done.out) == (0, "Nothing is pending.\n")


def test_without_a_backup_it_says_what_to_do(cli: Cli, copy: Path) -> None:
    write(copy, 'migrations.RunSQL("SELECT 1")')
    done = cli("rehearse", "--project", copy, root=copy)
    assert done.code == 3
    assert done.err == "Error: There is no backup of this database to rehearse on.\nNext: mig-kit backup\n"


def test_what_is_safe_passes_and_what_is_not_is_found(cli: Cli, copy: Path) -> None:
    assert cli("backup", "--project", copy, root=copy).code == 0
    write(copy, 'migrations.AddField("Post", "note", models.TextField(null=True))')
    done = cli("rehearse", "--project", copy, root=copy)
    lines = done.out.splitlines()
    assert done.code == 0, done.out
    assert lines[0].split() == ["migration", "lock", "safety", "old", "code", "reversible", "findings", "why"]
    assert lines[1].split() == ["blog.0005_more", "safe", "safe", "yes"]
    assert any('ALTER TABLE "blog_post" ADD COLUMN "note" text NULL' in line for line in lines)
    assert "  way back: goes back" in lines
    assert lines[-1].startswith("1 migration on ")
    assert lines[-1].endswith(" in all: passed.")
    assert "every row of every table was there." in done.err
    assert "Record: " in done.err

    write(copy, 'migrations.RemoveField("Post", "excerpt")')
    done = cli("rehearse", "blog", "0005", "--project", copy, root=copy)
    assert done.code == 1
    assert "  error MK301: " in done.out
    assert "  warning MK525: Taken back, it has lost data: blog_post.excerpt: " in done.out
    assert done.out.endswith("passed, with 1 error.\n")

    write(copy, 'migrations.RunSQL("SELECT 1 / 0")')
    done = cli("rehearse", "--project", copy, "--forwards-only", root=copy)
    assert done.code == 1
    assert "  error MK521: It failed on the copy: " in done.out
    assert done.out.endswith(": did not pass.\n")

    write(copy, 'migrations.AddField("Post", "note", models.TextField(null=True))')
    done = cli("rehearse", "--project", copy, "--json", "--mode", "affected", "--limit-mb", "100", root=copy)
    assert done.code == 0
    jsonschema.validate(done.document, SCHEMA)
    (migration,) = done.document["migrations"]
    assert (migration["lock_safety"], migration["statements"][0]["evidence"]) == ("safe", "measured")


def test_ctrl_c_says_that_nothing_was_touched(cli: Cli, copy: Path) -> None:
    assert cli("backup", "--project", copy, root=copy).code == 0
    note = copy / "begun"
    write(
        copy,
        f"migrations.RunPython(lambda *_: open({str(note)!r}, 'w').close()), migrations.RunSQL('SELECT pg_sleep(60)')",
    )
    with running("rehearse", "--project", copy) as process:
        while not note.exists():
            assert process.poll() is None
        done = interrupt(process)
    assert done.code == 130
    assert done.err.splitlines()[-1] == "Interrupted: the copy is gone, and the database was not touched."
