"""Going on from what was left unfinished; on PostgreSQL 18. What was killed is in tests/faults."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mig_kit import errors
from mig_kit.postgres import ConnectionInfo
from mig_kit.record import Journal
from mig_kit.steps.apply import apply
from mig_kit.steps.resume import look, resume
from mig_kit.steps.target import Target
from mig_kit.steps.unfinished import Standing, Unfinished, Way
from tests.project.projects import Site, make_site
from tests.steps.sites import add_field, ask, columns, open_site, recorded, shop

PARTS = """
atomic = False
dependencies = [("shop", "0001_initial")]
operations = [
    migrations.AddField("Item", "code", models.IntegerField(db_index=True, null=True)),
    migrations.RunSQL(
        ["INSERT INTO shop_item (title) VALUES ('new')", "INSERT INTO elsewhere VALUES (1)"],
        ["DELETE FROM shop_item WHERE title = 'new'"],
    ),
    migrations.AddField("Item", "last", models.IntegerField(null=True)),
]
"""


@pytest.fixture
def site(tmp_path: Path, database: ConnectionInfo) -> Site:
    return shop(make_site(tmp_path / "site", database), database)


@pytest.fixture
def target(site: Site) -> Iterator[Target]:
    with closing(open_site(site)) as opened:
        yield opened


@pytest.fixture
def journal(site: Site) -> Journal:
    folder = site.folder / ".mig" / "runs" / "one"
    folder.mkdir(parents=True)
    return Journal(folder / "journal.jsonl")


def fails(target: Target, journal: Journal, words: str) -> errors.ApplyFailed:
    with pytest.raises(errors.ApplyFailed, match=words) as caught:
        apply(target, journal=journal)
    return caught.value


def left(target: Target) -> Unfinished:
    found = look(target)
    assert found is not None
    return found


def test_nothing_is_unfinished_after_an_apply_that_ended(
    site: Site, target: Target, journal: Journal, database: ConnectionInfo
) -> None:
    assert look(target) is None
    add_field(site)
    apply(target, journal=journal)
    assert look(target) is None
    add_field(site, "0003_b", "b", "0002_a", more="migrations.RunSQL('SELECT 1 / 0')")
    assert not fails(target, journal, "division by zero").unfinished
    assert look(target) is None
    with pytest.raises(errors.UsageError) as caught:
        resume(target)
    assert caught.value.message == "Nothing was left unfinished."


def test_a_half_done_migration_is_gone_on_with_from_its_statement(
    site: Site, target: Target, journal: Journal, database: ConnectionInfo
) -> None:
    site.migration("shop", "0002_parts", PARTS)
    add_field(site, "0003_after", "after", "0002_parts")
    failure = fails(target, journal, 'relation "elsewhere" does not exist')
    assert failure.unfinished
    assert failure.message.splitlines()[2].startswith("It stopped in operation 2 of 3, Raw SQL operation")
    assert "rb.resume()" in failure.hint
    found = left(target)
    assert (found.way, found.step, found.scope) == (Way.FINISH_REST, "apply", (None, None))
    assert [(str(each), each.standing) for each in found.migrations] == [
        ("shop.0002_parts", Standing.PART_DONE),
        ("shop.0003_after", Standing.NOT_STARTED),
    ]
    assert "its transaction" in found.migrations[0].evidence
    assert "was rolled back" in found.migrations[0].evidence
    assert list(found.to_frame().columns) == ["migration", "direction", "standing", "evidence", "next"]

    with pytest.raises(errors.GateClosed) as caught:
        apply(target, journal=journal)
    assert (caught.value.gate, caught.value.hint) == ("nothing half done", "rb.resume()")
    assert caught.value.message == found.words

    ask(database, "CREATE TABLE elsewhere (id int)")
    result = resume(target, journal=journal)
    assert [str(each) for each in result.migrations] == ["shop.0002_parts", "shop.0003_after"]
    assert ask(database, "SELECT count(*) FROM shop_item WHERE title = 'new'") == [(1,)]
    assert ask(database, "SELECT count(*) FROM elsewhere") == [(1,)]
    assert {"code", "last", "after"} <= columns(database)
    assert look(target) is None


def test_a_resume_that_fails_again_is_gone_on_with_once_more(
    site: Site, target: Target, journal: Journal, database: ConnectionInfo
) -> None:
    site.migration("shop", "0002_parts", PARTS)
    fails(target, journal, "elsewhere")
    for _ in range(2):
        with pytest.raises(errors.ApplyFailed, match="elsewhere"):
            resume(target, journal=journal)
    ask(database, "CREATE TABLE elsewhere (id int)")
    resume(target, journal=journal)
    assert ask(database, "SELECT count(*) FROM shop_item WHERE title = 'new'") == [(1,)]
    assert recorded(database) == {"0001_initial", "0002_parts"}


BACK = PARTS.replace('"INSERT INTO elsewhere VALUES (1)"]', "]").replace(
    'AddField("Item", "last", models.IntegerField(null=True))', "RunSQL('SELECT 1 / 0')"
)


def test_it_goes_back_to_before_the_half_done_migration(
    site: Site, target: Target, journal: Journal, database: ConnectionInfo
) -> None:
    site.migration("shop", "0002_parts", BACK)
    fails(target, journal, "division by zero")
    assert ask(database, "SELECT count(*) FROM shop_item") == [(51,)]
    result = resume(target, back=True, journal=journal)
    assert [(str(each), each.backwards) for each in result.migrations] == [("shop.0002_parts", True)]
    assert ask(database, "SELECT count(*) FROM shop_item") == [(50,)]
    assert "code" not in columns(database)
    assert recorded(database) == {"0001_initial"}
    assert look(target) is None
    site.migration("shop", "0002_parts", BACK.replace("1 / 0", "1"))
    assert apply(target, journal=journal)


def test_what_cannot_be_taken_back_is_refused_and_can_still_be_gone_on_with(
    site: Site, target: Target, journal: Journal, database: ConnectionInfo
) -> None:
    final = BACK.replace(",\n        [\"DELETE FROM shop_item WHERE title = 'new'\"]", "")
    site.migration("shop", "0002_parts", final)
    fails(target, journal, "division by zero")
    with pytest.raises(errors.GateClosed) as caught:
        resume(target, back=True, journal=journal)
    assert caught.value.message == (
        "shop.0002_parts cannot be taken back, nothing was run. Irreversible: Raw SQL operation."
    )
    assert left(target).way is Way.FINISH_REST


def test_going_back_can_turn_round(site: Site, target: Target, journal: Journal, database: ConnectionInfo) -> None:
    site.migration("shop", "0002_parts", BACK.replace("SELECT 1 / 0", "INSERT INTO elsewhere VALUES (1)"))
    fails(target, journal, "elsewhere")

    def stop(event: str, data: dict[str, Any]) -> None:
        if event == "operation done":
            raise errors.RecordError("stopped here")

    with pytest.raises(errors.ApplyFailed, match="stopped here"):
        resume(target, back=True, journal=journal, on_event=stop)
    assert ask(database, "SELECT count(*) FROM shop_item") == [(50,)]
    assert "code" in columns(database)
    assert left(target).step == "go back"
    ask(database, "CREATE TABLE elsewhere (id int)")
    resume(target, back=False, journal=journal)
    assert ask(database, "SELECT count(*) FROM shop_item") == [(51,)]
    assert ask(database, "SELECT count(*) FROM elsewhere") == [(1,)]
    assert recorded(database) == {"0001_initial", "0002_parts"}


def test_within_an_operation_there_is_no_way_back(site: Site, target: Target, journal: Journal) -> None:
    site.migration("shop", "0002_parts", PARTS)
    fails(target, journal, "elsewhere")
    with pytest.raises(errors.UsageError) as caught:
        resume(target, back=True, journal=journal)
    assert "with some of its statements done: only going on is safe." in caught.value.message


def test_what_somebody_put_back_by_hand_is_run_from_its_beginning(
    site: Site, target: Target, journal: Journal, database: ConnectionInfo
) -> None:
    site.migration("shop", "0002_parts", PARTS)
    fails(target, journal, "elsewhere")
    ask(database, "ALTER TABLE shop_item DROP COLUMN code")
    ask(database, "DELETE FROM shop_item WHERE title = 'new'")
    ask(database, "CREATE TABLE elsewhere (id int)")
    resume(target, choice="undone", journal=journal)
    assert ask(database, "SELECT count(*) FROM shop_item WHERE title = 'new'") == [(1,)]
    assert "code" in columns(database)


CODE = """
atomic = False
dependencies = [("shop", "0001_initial")]
operations = [migrations.RunPython(run, migrations.RunPython.noop)]
"""
RUN = """

def run(apps, editor):
    editor.execute("CREATE TABLE {} (id int)".format(NAME))
    editor.execute("INSERT INTO elsewhere VALUES (1)")
"""


@pytest.mark.parametrize("choice", ["again", "done"])
def test_what_code_did_is_shown_with_both_explanations_and_never_guessed(
    site: Site, target: Target, journal: Journal, database: ConnectionInfo, choice: str
) -> None:
    site.migration("shop", "0002_code", CODE, imports="\n\nNAME = 'made'\n" + RUN)
    fails(target, journal, "elsewhere")
    found = left(target)
    assert found.way is Way.CHOOSE
    assert found.current is not None
    assert found.current.evidence == (
        "operation 1 of 1, Raw Python operation was announced and not confirmed: it is code that commits when it likes"
    )
    assert found.next == (
        "rb.resume(choice='again') if operation 1 of 1, Raw Python operation did nothing, or may run twice; "
        "rb.resume(choice='done') if operation 1 of 1, Raw Python operation had done all it does"
    )
    for given in (None, "perhaps"):
        with pytest.raises(errors.UsageError):
            resume(target, choice=given, journal=journal)
    ask(database, "CREATE TABLE elsewhere (id int)")
    if choice == "again":
        ask(database, "DROP TABLE made")
    resume(target, choice=choice, journal=journal)
    assert recorded(database) == {"0001_initial", "0002_code"}
    assert ask(database, "SELECT count(*) FROM elsewhere") == [(1 if choice == "again" else 0,)]


def test_a_file_that_was_changed_meanwhile_makes_it_unclear(
    site: Site, target: Target, journal: Journal, database: ConnectionInfo
) -> None:
    site.migration("shop", "0002_parts", PARTS)
    fails(target, journal, "elsewhere")
    ask(database, "CREATE TABLE elsewhere (id int)")
    site.migration("shop", "0002_parts", PARTS.replace("VALUES ('new')", "VALUES ('newer')"))
    found = left(target)
    assert found.way is Way.CHOOSE
    assert "its file is another one than it was when it was begun" in found.words
    with pytest.raises(errors.ApplyFailed) as caught:
        resume(target, choice="again", journal=journal)
    assert "runs another statement now than the one that was done" in caught.value.message
    site.migration("shop", "0002_parts", PARTS)
    resume(target, journal=journal)
    assert recorded(database) == {"0001_initial", "0002_parts"}


def test_another_plan_than_was_left_is_refused(
    site: Site, target: Target, journal: Journal, database: ConnectionInfo
) -> None:
    site.migration("shop", "0002_parts", PARTS)
    fails(target, journal, "elsewhere")
    add_field(site, "0003_more", "more", "0002_parts")
    with pytest.raises(errors.GateClosed) as caught:
        resume(target, journal=journal)
    assert caught.value.gate == "same plan"
    assert "shop.0003_more came in" in caught.value.message
    (site.folder / "shop" / "migrations" / "0003_more.py").unlink()
    ask(database, "CREATE TABLE elsewhere (id int)")
    assert resume(target, journal=journal)


def test_what_was_recorded_by_hand_is_done(
    site: Site, target: Target, journal: Journal, database: ConnectionInfo
) -> None:
    site.migration("shop", "0002_parts", PARTS)
    fails(target, journal, "elsewhere")
    ask(database, "INSERT INTO django_migrations (app, name, applied) VALUES ('shop', '0002_parts', now())")
    assert look(target) is None


OWN_COMMAND = """
from django.core.management.commands import migrate
from django.db.migrations.executor import MigrationExecutor


class Own(MigrationExecutor):
    def apply_migration(self, state, migration, fake=False, fake_initial=False):
        self.progress_callback("apply_start", migration, fake)
        with self.connection.schema_editor(atomic=migration.atomic) as editor:
            state = migration.apply(state, editor)
        if migration.name == "0002_a" and DIES:
            raise SystemExit("died before the record")
        self.recorder.record_applied(migration.app_label, migration.name)
        self.progress_callback("apply_success", migration, fake)
        return state


class Command(migrate.Command):
    def handle(self, *args, **options):
        before, migrate.MigrationExecutor = migrate.MigrationExecutor, Own
        try:
            super().handle(*args, **options)
        finally:
            migrate.MigrationExecutor = before
"""


@pytest.mark.parametrize("choice", ["again", "done"])
def test_an_executor_of_the_projects_own_may_have_committed_without_a_record(
    site: Site, target: Target, journal: Journal, database: ConnectionInfo, choice: str
) -> None:
    command = "shop/management/commands/migrate.py"
    site.write("shop/management/__init__.py", "")
    site.write("shop/management/commands/__init__.py", "")
    site.write(command, OWN_COMMAND.replace("DIES", "True"))
    add_field(site)
    failure = fails(target, journal, "died before the record")
    assert "was run by the project's own executor: it may be done without its record." in failure.message
    found = left(target)
    assert found.way is Way.CHOOSE
    assert "which the project's own executor may do after the commit" in found.words
    (site.folder / command).unlink()
    if choice == "again":
        ask(database, "ALTER TABLE shop_item DROP COLUMN a")
    resume(target, choice=choice, journal=journal)
    assert "a" in columns(database)
    assert recorded(database) == {"0001_initial", "0002_a"}


def test_a_secret_that_the_journal_masked_is_never_run(
    site: Site, target: Target, journal: Journal, database: ConnectionInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement that is held back is run from the journal, where what looks like a secret is masked."""
    from mig_kit.record import clear_secrets, register_secret

    site.migration(
        "shop",
        "0002_index",
        'atomic = False\ndependencies = [("shop", "0001_initial")]\noperations = [\n'
        '    migrations.AddField("Item", "code", models.IntegerField(null=True, db_index=True)),\n]',
    )
    register_secret("shop_item_code")

    def stop(event: str, _data: dict[str, Any]) -> None:
        if event == "deferred begins":
            raise errors.RecordError("stopped here")

    try:
        with pytest.raises(errors.ApplyFailed):
            apply(target, journal=journal, on_event=stop)
    finally:
        clear_secrets()
    found = left(target)
    assert found.way is Way.CHOOSE
    assert "a statement that is left to run was masked in the journal" in found.words
    assert list(found.current.choices or ()) == ["done"] if found.current else False
    ask(database, "CREATE INDEX by_hand ON shop_item (code)")
    resume(target, choice="done", journal=journal)
    assert recorded(database) == {"0001_initial", "0002_index"}
