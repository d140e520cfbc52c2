"""The histories of three real projects, rehearsed from an empty database: forwards, backwards, and forwards again.

The demo's own history runs on the demo's server, Wagtail's and Oscar's sites on one of the tests'; PostgreSQL 18. Every
difference that is left after the way back is in a table here, with its reason: one more, or one less, fails.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import pytest

from mig_kit.demo import create_demo
from mig_kit.hazards.assessment import Assessment, VerdictKind
from mig_kit.hazards.lock_safety import TableSize, judge_locks
from mig_kit.postgres import ConnectionInfo, Server, connect
from mig_kit.postgres.schema import ChangeKind, Schema, read_schema, schema_changes
from mig_kit.steps.backup import backup
from mig_kit.steps.check_plan import check_plan
from mig_kit.steps.rehearse import BackOutcome, Outcome, Rehearsal, RehearsedMigration, rehearse
from mig_kit.steps.target import Target, open_target
from tests.real_projects import RealProject, oscar_shop, wagtail_site
from tests.servers import fresh_database

pytestmark = [pytest.mark.real_projects, pytest.mark.slow, pytest.mark.timeout(900)]


class Explained(NamedTuple):
    """What is known of one migration, and the reason for it."""

    what: tuple[str, ...]
    why: str


_NOOP = "migrations.RunPython.noop"
# The reverses of Wagtail's that raise, by package: the migration, and how its RunPython ends.
_RAISING = {
    "admin": ("0001_create_admin_access_permissions", ", remove_admin_access_permissions\n"),
    "documents": ("0011_add_choose_permissions", ", remove_choose_permission\n"),
    "images": ("0023_add_choose_permissions", ", remove_choose_permission\n"),
}
_LABELS = {"admin": "wagtailadmin", "documents": "wagtaildocs", "images": "wagtailimages"}

_INLINE = (
    "CREATE TABLE calls an inline UNIQUE …_key, AlterField finds it by its columns, and its reverse calls it …_uniq"
)

# What the way back leaves, by corpus and migration.
LEFT: Mapping[str, Mapping[str, Explained]] = {
    "demo": {},
    "wagtail": {
        "wagtailcore.0027_fix_collection_path_collation": Explained(
            ("collation changed path",), "a RunPython that sets the collation; its reverse is noop"
        ),
        "wagtailcore.0070_rename_pagerevision_revision": Explained(
            (
                "constraint removed wagtailcore_pagerevi_page_id_d421cc1d_fk_wagtailco",
                "constraint added wagtailcore_revision_page_id_fe4c1367_fk_wagtailcore_page_id",
                "index removed wagtailcore_pagerevision_page_id_d421cc1d",
                "index removed wagtailcore_pagerevision_submitted_for_moderation_c682e44c",
                "index added wagtailcore_revision_page_id_fe4c1367",
                "index added wagtailcore_revision_submitted_for_moderation_362afbff",
            ),
            "the reverses of later migrations made these under the name that the table had then, and RenameModel "
            "renames no index",
        ),
        "wagtailcore.0091_remove_revision_submitted_for_moderation": Explained(
            (
                "index removed wagtailcore_pagerevision_submitted_for_moderation_c682e44c",
                "index added wagtailcore_revision_submitted_for_moderation_362afbff",
            ),
            "the index was named after the table before it was renamed, and the reverse of RemoveField makes it anew",
        ),
        "wagtailredirects.0004_set_unique_on_path_and_site": Explained(
            (
                "constraint removed wagtailredirects_redirect_old_path_key",
                "constraint added wagtailredirects_redirect_old_path_bb35247b_uniq",
            ),
            _INLINE,
        ),
    },
    "oscar": {
        "offer.0002_auto_20151210_1053": Explained(
            (
                "constraint removed offer_benefit_proxy_class_key",
                "constraint added offer_benefit_proxy_class_91ca879e_uniq",
            ),
            _INLINE,
        ),
        "offer.0003_auto_20161120_1707": Explained(
            (
                "constraint removed offer_condition_proxy_class_key",
                "constraint added offer_condition_proxy_class_8d459a42_uniq",
            ),
            _INLINE,
        ),
    },
}

# Errors and warnings of a check of the whole history. None is about a lock: every table is made in that plan.
_IMPORTS = "its RunPython imports the model as the code has it now, which is a hazard whatever the table"
HAZARDS: Mapping[str, Mapping[str, Explained]] = {
    "demo": {},
    "wagtail": {
        "wagtailcore.0059_apply_collection_ordering": Explained(("MK402",), _IMPORTS),
        "wagtaildocs.0005_document_collection": Explained(("MK422",), "its default asks the database for a collection"),
        "wagtailsearch.0007_delete_editorspick": Explained(
            ("MK422",), "an operation of Wagtail's own, which asks the database whether the table is there"
        ),
    },
    "oscar": {
        "address.0005_regenerate_user_address_hashes": Explained(("MK402",), _IMPORTS),
        "catalogue.0003_data_migration_slugs": Explained(("MK402",), _IMPORTS),
        "customer.0008_assign_permissions_to_staff": Explained(("MK402",), _IMPORTS),
    },
}

_PERMISSION_RAISED = 'raised: ValueError: Cannot query "Permission object (N)": Must be "Permission" instance.'


class Middle(NamedTuple):
    """Where a history is taken up: what ``migrate`` was asked for before, and the app that is rehearsed from there."""

    applied: tuple[tuple[str, ...], ...]
    app: str
    backwards: bool
    left: Mapping[str, Explained]


# Tables that were there before the plan: here lock safety is a question, for they count as tables of any size.
MIDDLES: Mapping[str, Middle] = {
    "wagtail": Middle(
        (("wagtailcore",), ("wagtailimages", "0022_uploadedimage")),
        "wagtailimages",
        True,
        {
            "wagtailimages.0023_add_choose_permissions": Explained(
                (_PERMISSION_RAISED,),
                "it deletes a permission, and with wagtailcore.0086 applied Django asks for the rows that point to it "
                "by models of two states; manage.py migrate wagtailimages 0022 ends with the same error",
            ),
            "wagtailadmin.0001_create_admin_access_permissions": Explained(
                ("not tried: one after it could not be taken back",), "it comes before that one in the plan"
            ),
        },
    ),
    "oscar": Middle((("catalogue", "0009_slugfield_noop"),), "catalogue", False, {}),
}


@dataclass(frozen=True)
class Corpus:
    """One project with an empty database: what a check says of its history, and how its rehearsal went.

    ``built``: the schema that its own ``manage.py migrate`` makes of an empty database.
    """

    name: str
    assessment: Assessment
    rehearsal: Rehearsal
    built: Schema


@dataclass(frozen=True)
class Site:
    """A site from PyPI, its folder never changed, and the database that its own migrate filled.

    ``settings``: the file of its settings that names the database.
    """

    project: RealProject
    settings: str
    migrated: ConnectionInfo

    def copy(self, folder: Path, database: ConnectionInfo) -> RealProject:
        """Copy it to another folder, for another database."""
        root = folder / self.project.root.name
        shutil.copytree(self.project.root, root)
        with (root / self.settings).open("a") as settings:
            settings.write(f"DATABASES['default']['NAME'] = {database.dbname!r}\n")
        return replace(self.project, root=root)


SITES = {"wagtail": (wagtail_site, "mysite/settings/local.py"), "oscar": (oscar_shop, "shop/settings.py")}


@pytest.fixture(scope="module")
def site_of(server18: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Site]]:
    made: dict[str, Site] = {}

    def build(name: str) -> Site:
        if name not in made:
            info = fresh_database(server18, f"{name}_migrated")
            database = {"host": info.host, "port": info.port, "name": info.dbname, "user": info.user}
            builder, settings = SITES[name]
            project = builder(tmp_path_factory.mktemp(name), {**database, "password": info.password.reveal()})
            made[name] = Site(project, settings, info)
        return made[name]

    yield build
    for site in made.values():
        server18.drop_database(site.migrated.dbname)


@pytest.fixture(scope="module", params=["demo", "wagtail", "oscar"])
def corpus(
    request: pytest.FixtureRequest,
    server18: Server,
    site_of: Callable[[str], Site],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Corpus]:
    name, folder = request.param, tmp_path_factory.mktemp("from_nothing")
    with ExitStack() as stack:
        if name == "demo":
            target, migrated = _demo(stack, folder)
        else:
            site = site_of(name)
            project = site.copy(folder, fresh_database(server18, "from_nothing"))
            stack.callback(server18.drop_database, "from_nothing")
            if name == "wagtail":
                _mend_the_reverse(project)
            target, migrated = open_target(project.root, python=project.python), site.migrated
        stack.enter_context(closing(target))
        with closing(connect(migrated)) as conn:
            built = read_schema(conn)
        yield Corpus(name, check_plan(target), rehearse(target, backup=backup(target)), built)


def test_every_migration_runs_and_the_schema_is_the_one_that_migrate_builds(corpus: Corpus) -> None:
    found = corpus.rehearsal
    assert _not_done(found) == {}
    assert found.schema is not None
    assert [str(each) for each in schema_changes(corpus.built, found.schema)] == []


def test_what_does_not_come_back_is_explained(corpus: Corpus) -> None:
    assert _all_left(corpus.rehearsal) == {name: each.what for name, each in LEFT[corpus.name].items()}


def test_check_calls_nothing_safe_that_was_measured_unsafe(corpus: Corpus) -> None:
    derived = {str(each): each.lock_safety.kind for each in corpus.assessment.migrations}
    measured = {str(each): each.lock_safety.kind for each in corpus.rehearsal.migrations}
    assert list(derived) == list(measured)
    assert _too_good(derived, measured) == []


def test_check_finds_no_hazard_in_tables_of_the_same_plan(corpus: Corpus) -> None:
    found: dict[str, tuple[str, ...]] = {}
    for each in corpus.assessment.hazards:
        name = f"{each.app}.{each.migration}"
        found[name] = (*found.get(name, ()), each.id)
    assert found == {name: each.what for name, each in HAZARDS[corpus.name].items()}


@pytest.mark.parametrize("name", sorted(MIDDLES))
def test_from_the_middle_of_a_history_check_and_rehearsal_agree(
    name: str, server18: Server, site_of: Callable[[str], Site], tmp_path: Path
) -> None:
    """The tables are empty, and count as large on both sides: what is unsafe for any size is never derived as safe."""
    middle = MIDDLES[name]
    project = site_of(name).copy(tmp_path, fresh_database(server18, "middle"))
    (project.root / "mig_kit.toml").write_text("[check]\nassume_large = true\n")
    for applied in middle.applied:
        project.manage("migrate", *applied, "--verbosity", "0")
    with closing(open_target(project.root, python=project.python)) as target:
        derived = check_plan(target, middle.app)
        found = rehearse(target, middle.app, backup=backup(target), backwards=middle.backwards)
    server18.drop_database("middle")
    assert _not_done(found) == {}
    measured = _for_any_size(found)
    assert VerdictKind.UNSAFE in measured.values()
    assert _too_good({str(each): each.lock_safety.kind for each in derived.migrations}, measured) == []
    if middle.backwards:
        assert _all_left(found) == {key: each.what for key, each in middle.left.items()}


def _not_done(rehearsal: Rehearsal) -> dict[str, str]:
    return {str(each): each.error for each in rehearsal.migrations if each.outcome is not Outcome.DONE}


def _all_left(rehearsal: Rehearsal) -> dict[str, tuple[str, ...]]:
    return {str(each): left for each in rehearsal.migrations if (left := _left(each))}


def _left(migration: RehearsedMigration) -> tuple[str, ...]:
    """Return in words what was not as it was, or why that was not tried; ids of rows are left out."""
    back = migration.way_back
    left = [] if back.outcome is BackOutcome.DONE else [re.sub(r"\(\d+\)", "(N)", f"{back.outcome}: {back.error}")]
    left += [f"{each.kind} {each.name}" for each in back.schema_changes]
    left += [f"again: {back.again_error}"] if back.again_error else []
    left += [f"again: {each.kind} {each.name}" for each in back.again_changes]
    return (*left, *map(str, back.lost))


def _too_good(derived: Mapping[str, VerdictKind], measured: Mapping[str, VerdictKind]) -> list[str]:
    safe = [name for name, kind in derived.items() if kind is VerdictKind.SAFE]
    return [name for name in safe if measured[name] is VerdictKind.UNSAFE]


def _for_any_size(rehearsal: Rehearsal) -> dict[str, VerdictKind]:
    """Return the verdicts of what was measured, had the tables that were there before it been large."""
    sizes = {"django_migrations": TableSize(rows=1)}  # each migration writes a row there, and it never is large
    found = {}
    for each in rehearsal.migrations:
        made = (change.after.label for change in each.schema_changes if change.kind is ChangeKind.TABLE_ADDED)
        sizes.update({label: TableSize(existed=False) for label in made})
        found[str(each)] = judge_locks([statement.assessed for statement in each.statements], sizes).kind
    return found


def _demo(stack: ExitStack, folder: Path) -> tuple[Target, ConnectionInfo]:
    """Make the demo and an empty database on its server that its .env names; the released one is migrated."""
    made = create_demo(folder / "demo", scale=0.01)
    own = Server.open(made.server_data)
    stack.callback(own.remove)
    own.create_database("from_nothing", owner=made.database.user)
    env = made.root / ".env"
    env.write_text(re.sub(r"(?m)^DATABASE_NAME=.*$", "DATABASE_NAME=from_nothing", env.read_text()))
    return open_target(made.root), made.database


def _mend_the_reverse(project: RealProject) -> None:
    """Let the reverses of Wagtail's that raise do nothing, in copies of its migrations that the project points to.

    Else the way back would end there, and the migrations before it would not be tried.
    """
    (package,) = (project.python.parents[1] / "lib").glob("python*/site-packages/wagtail")
    for folder, (name, raising) in _RAISING.items():
        copy = project.root / f"mended_{folder}"
        shutil.copytree(package / folder / "migrations", copy, ignore=shutil.ignore_patterns("__pycache__"))
        text = (copy / f"{name}.py").read_text()
        assert raising in text
        (copy / f"{name}.py").write_text(text.replace(raising, f", {_NOOP}\n"))
    modules = {_LABELS[folder]: f"mended_{folder}" for folder in _RAISING}
    with (project.root / "mysite" / "settings" / "local.py").open("a") as settings:
        settings.write(f"MIGRATION_MODULES = {modules!r}\n")
