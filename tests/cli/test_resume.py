"""Finishing in a terminal what was left unfinished, on a demo of its own (embedded PostgreSQL 18)."""

from __future__ import annotations

from contextlib import closing

from mig_kit.demo import Demo
from mig_kit.postgres import connect
from tests.cli.commands import Cli

PARTS = """from django.db import migrations


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("blog", "0004_category_position_post_status_idx")]
    operations = [
        migrations.RunSQL("CREATE TABLE made (id int)", "DROP TABLE made"),
        migrations.RunSQL("INSERT INTO elsewhere VALUES (1)", migrations.RunSQL.noop),
    ]
"""


def test_a_half_done_migration_is_shown_refused_and_finished(own_demo: Demo, cli: Cli) -> None:
    looked = cli("resume", "--look", "--project", own_demo.root)
    assert (looked.code, looked.out) == (0, "Nothing was left unfinished.\n")
    nothing = cli("resume", "--project", own_demo.root)
    assert nothing.code == 2
    assert nothing.err.endswith("Error: Nothing was left unfinished.\nNext: mig-kit status shows what is pending\n")

    (own_demo.root / "backend/apps/blog/migrations/0005_parts.py").write_text(PARTS)
    failed = cli("apply", "blog", "--project", own_demo.root)
    assert failed.code == 3
    assert "It stopped in operation 2 of 2, Raw SQL operation." in failed.err
    assert "mig-kit resume: it goes on where this stopped" in failed.err

    looked = cli("resume", "--look", "--project", own_demo.root)
    assert looked.code == 1
    assert looked.out.startswith("The apply of 20")
    assert "blog.0005_parts  part-done" in looked.out
    assert looked.out.endswith("Next: mig-kit resume\n")
    document = cli("resume", "--look", "--json", "--project", own_demo.root).document
    assert (document["way"], document["next"]) == ("finish the rest", "mig-kit resume")
    assert document["unfinished"]["migrations"][0]["standing"] == "part-done"

    refused = cli("apply", "--project", own_demo.root)
    assert refused.code == 2
    assert "blog.0005_parts is part-done" in refused.err

    back = cli("resume", "--back", "--project", own_demo.root)
    assert back.code == 0
    assert "blog.0005_parts  taken back" in back.out

    failed = cli("apply", "blog", "--project", own_demo.root, "--json")
    assert failed.code == 3
    with closing(connect(own_demo.database)) as conn:
        conn.execute("CREATE TABLE elsewhere (id int)")
    done = cli("resume", "--project", own_demo.root)
    assert (done.code, done.err.count("Error")) == (0, 0)
    assert "blog.0005_parts  applied" in done.out
    assert "\n1 migration finished in " in done.out
