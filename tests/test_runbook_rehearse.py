"""The rehearsal as the runbook has it: after generate, into the journal, for the gates; on the demo's PostgreSQL 18."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from mig_kit import errors
from mig_kit.runbook import Runbook, open_runbook
from mig_kit.steps.rehearse import BackOutcome, RehearsalMode
from tests.steps.projects import ANSWERS, Copy, copies, project, template

__all__ = ["copies", "project", "template"]


@pytest.fixture
def rb(project: Copy) -> Iterator[Runbook]:
    """A session on a project with changes that are not generated yet."""
    with closing(open_runbook(project.root)) as opened:
        yield opened


def test_what_was_just_generated_is_rehearsed_on_the_backup_that_was_just_verified(rb: Runbook) -> None:
    made = rb.backup()
    rb.generate(ANSWERS)
    result = rb.rehearse()
    assert [each.app for each in result.migrations] == ["blog", "portfolio", "contact"]
    assert result.ok
    # The restore that verified the backup serves the rehearsal too.
    assert (result.backup, result.template_reused, result.mode) == (made.path.name, True, RehearsalMode.FULL)
    assert {each.way_back.outcome for each in result.migrations} == {BackOutcome.DONE}
    assert rb.run is not None
    kept = [each.data for each in rb.run.journal.entries() if each.kind == "step finished"]
    (finished,) = [each for each in kept if each["step"] == "rehearse"]
    assert finished["summary"] == f"3 migrations on {made.path.name}: passed"
    document = finished["assessment"]
    assert [each["lock_safety"] for each in document["migrations"]] == ["safe"] * 3
    assert {finding["id"] for each in document["migrations"] for finding in each["findings"]} >= {"MK302", "MK306"}
    rb.apply()
    write_more(rb)
    with pytest.raises(errors.BackupError) as caught:
        rb.rehearse()
    assert caught.value.hint == "rb.backup()"
    assert f"was applied after the backup {made.path.name} was made" in caught.value.message


def write_more(rb: Runbook) -> None:
    """Write one migration more than there are."""
    folder = rb.target.project.root / "backend/apps/contact/migrations"
    last = sorted(path.stem for path in folder.glob("0*.py"))[-1]
    folder.joinpath("0099_more.py").write_text(
        "from django.db import migrations\n\n\nclass Migration(migrations.Migration):\n"
        f"    dependencies = [('contact', {last!r})]\n    operations = []\n"
    )
