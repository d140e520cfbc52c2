"""Merge: alone, behind its gates, and in the record. On a real PostgreSQL 18."""

from __future__ import annotations

import pytest

from mig_kit import errors, open_runbook
from mig_kit.postgres.migration_lock import MigrationLock
from tests.steps.gated import production
from tests.steps.projects import Copy, conflict

ANSWER = {"merge:blog": True}
FILE = "blog/0006_merge_0005_left_0005_right.py"


def test_writes_the_migration_that_joins_the_branches_and_records_it(project: Copy) -> None:
    conflict(project)
    with open_runbook(project.root) as rb:
        before = project.migrations()
        with pytest.raises(errors.UnansweredQuestions) as caught:
            rb.merge()
        assert [each["id"] for each in caught.value.questions] == list(ANSWER)
        assert project.migrations() == before
        made = rb.merge(ANSWER)
        assert [each.name for each in made.files] == ["0006_merge_0005_left_0005_right"]
        assert {each["leaf"] for each in made.branches[0]["branches"]} == {"0005_left", "0005_right"}
        assert project.migrations() - before == {FILE}
        assert len(rb.apply().migrations) == 3
        assert not rb.merge()
        assert rb.run is not None
        ended = [each.data for each in rb.run.journal.entries() if each.kind == "step finished"]
    first = next(each for each in ended if each["step"] == "merge")
    assert first["summary"] == "1 files"
    assert first["answers"] == ANSWER
    assert [path.rpartition("/")[2] for path in first["files"]] == ["0006_merge_0005_left_0005_right.py"]


def test_while_another_session_migrates_no_file_is_written(project: Copy) -> None:
    conflict(project)
    before = project.migrations()
    with open_runbook(project.root) as rb:
        with (
            MigrationLock.acquire(rb.target.need_postgres("the test"), "apply"),
            pytest.raises(errors.GateClosed) as caught,
        ):
            rb.merge(ANSWER)
        assert caught.value.gate == "nobody else migrating"
        assert project.migrations() == before
        assert rb.merge(ANSWER)


def test_production_wants_the_name_of_the_database(project: Copy) -> None:
    conflict(project)
    before = project.migrations()
    name = project.database.dbname
    with production(project) as rb:
        with pytest.raises(errors.GateClosed) as caught:
            rb.merge(ANSWER)
        assert caught.value.gate == "name typed"
        assert caught.value.hint.startswith(f"rb.merge(confirm={name!r}), when ")
        assert project.migrations() == before
        assert rb.merge(ANSWER, name)
    assert project.migrations() - before == {FILE}
