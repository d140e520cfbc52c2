"""Migration files: written whole or not at all."""

import os
from itertools import takewhile

from .changes import Detected, check_name, import_urlconf
from .faults import Fault
from .place import migrations_place, writer_class
from .questions import DataQuestioner
from .watch import wrote


def generate(emit, database="default", apps=None, answers=None, name=None):
    """Write the pending migrations; return ``{"files": [...], "warnings": [...]}``, no files for no changes.

    An open question is a fault that carries all of them, and nothing is written. A released package may differ
    from its own migrations: what would go into an installed package is left out unless its app is named.
    """
    detected = Detected(database, apps, answers, name)
    require_answers(detected.questioner)
    changes = dict(detected.changes)
    foreign = {} if apps else {app: changes.pop(app) for app in list(changes) if is_installed(migrations_place(app)[0])}
    migrations = [(app, each) for app, listed in sorted(changes.items()) for each in listed]
    refuse_dependents(migrations, foreign)
    return {
        "files": write(migrations),
        "warnings": detected.warnings
        + [
            f"{app!r} is an installed package that differs from its own migrations; nothing was written into it. "
            f"Name it to have that: apps=[{app!r}]."
            for app in sorted(foreign)
        ],
        "unused_answers": detected.questioner.unused(),
    }


def is_installed(folder):
    """Say whether a folder belongs to an installed package, not to the project."""
    return any(part in ("site-packages", "dist-packages") for part in folder.split(os.sep))


def refuse_dependents(migrations, foreign):
    """Refuse a migration that needs one which is left out because it belongs to an installed package."""
    left_out = {(app, each.name) for app, listed in foreign.items() for each in listed}
    for app, migration in migrations:
        for needed in migration.dependencies:
            if tuple(needed) in left_out:
                raise Fault(
                    "WriteError",
                    f"{app}.{migration.name} needs a migration of {needed[0]!r}, an installed package that differs "
                    "from its own migrations.",
                    f"update the package, or name both apps: apps=[{app!r}, {needed[0]!r}]",
                )


def require_answers(questioner):
    """Raise ``UnansweredQuestions`` when any question is open."""
    if questioner.open:
        raise Fault("UnansweredQuestions", "makemigrations asks.", questions=questioner.open)


def write(migrations):
    """Write (app, migration) pairs as files and return app, name, path, source, and what was created beside them.

    Each file is written beside its place and flushed, then all are renamed in; whatever fails, nothing is left.
    """
    planned = []
    for app, migration in migrations:
        folder, packages = migrations_place(app)
        writer = writer_class()(migration, include_header=True)
        try:
            source = writer.as_string()
        except ValueError as exc:
            raise Fault(
                "WriteError",
                "The migration {}.{} cannot be written: {}".format(app, migration.name, str(exc).split("\n")[0]),
                "use a default that can be imported, a module-level function for instance",
            ) from exc
        path = os.path.join(os.path.abspath(folder), writer.filename)
        planned.append({"app": app, "name": migration.name, "path": path, "source": source, "packages": packages})
    created = []  # type: list[str]  # what to take away again, newest last
    try:
        for each in planned:
            each["created"] = [made for package in each.pop("packages") for made in make_package(package, created)]
            if os.path.lexists(each["path"]):
                raise Fault(
                    "WriteError",
                    "{} is already there.".format(each["path"]),
                    "move it away, or run the review again: it may not be imported",
                )
            temporary = os.path.join(os.path.dirname(each["path"]), ".{}.tmp".format(os.path.basename(each["path"])))
            with open(temporary, "x", encoding="utf-8") as out:
                created.append(temporary)
                out.write(each["source"])
                out.flush()
                os.fsync(out.fileno())
            each["temporary"] = temporary
        for each in planned:
            os.rename(each["temporary"], each["path"])
            created[created.index(each.pop("temporary"))] = each["path"]
        run_formatters([each["path"] for each in planned])
        for each in planned:
            with open(each["path"], encoding="utf-8") as written:
                each["source"] = written.read()
    except BaseException as exc:
        take_away(created)
        if isinstance(exc, OSError):
            raise Fault(
                "WriteError",
                "The migration files could not be written: {}: {}.".format(
                    exc.filename or planned[0]["path"], exc.strerror
                ),
                "make the folder writable or free the disk, then run the cell again; nothing was left behind",
            ) from exc
        raise
    wrote(created)
    return planned


def make_package(folder, created):
    """Make a package where it is missing; note and return what was made."""
    made = []
    if not os.path.isdir(folder):
        os.mkdir(folder)
        made.append(folder)
        created.append(folder)
    init = os.path.join(folder, "__init__.py")
    if not os.path.isfile(init):
        with open(init, "x", encoding="utf-8"):
            created.append(init)
        made.append(init)
    return made


def take_away(created):
    """Remove files and then empty folders, newest first."""
    for path in reversed(created):
        try:
            os.rmdir(path) if os.path.isdir(path) else os.remove(path)
        except OSError:
            pass  # it was never made, or holds what is not ours


def run_formatters(paths):
    """Run the formatter that makemigrations would (black, where it is on the path)."""
    try:
        from django.core.management.utils import run_formatters as run  # Django 4.1 and later
    except ImportError:
        return
    run(paths)


def merge(emit, database="default", answers=None, name=None):
    """Write a merge migration for every app with several leaf nodes; return the files and the branches.

    The branches' operations are given with each question, so that a person can see whether order matters.
    """
    from django.db.migrations import Migration
    from django.db.migrations.autodetector import MigrationAutodetector
    from django.db.migrations.loader import MigrationLoader
    from django.db.migrations.utils import get_migration_name_timestamp

    check_name(name)
    import_urlconf()
    loader = MigrationLoader(None, ignore_no_migrations=True)
    questioner = DataQuestioner(answers)
    merged, described = [], []
    for app, leaves in sorted(loader.detect_conflicts().items()):
        leaves = sorted(leaves)
        branches = ancestry_beyond_common(loader, app, leaves)
        described.append(
            {
                "app": app,
                "branches": [
                    {
                        "leaf": leaf,
                        "migrations": [key[1] for key in branch],
                        "operations": [
                            operation.describe()
                            for key in branch
                            for operation in loader.get_migration(*key).operations
                        ],
                    }
                    for leaf, branch in zip(leaves, branches)
                ],
            }
        )
        if not questioner.ask_merge(app):
            continue
        numbers = [MigrationAutodetector.parse_number(leaf) for leaf in leaves]
        number = max((each for each in numbers if each is not None), default=1) + 1
        suffix = "_".join(leaves)
        suffix = name or "merge_" + (suffix if len(suffix) <= 47 else get_migration_name_timestamp())
        kind = type("Migration", (Migration,), {"dependencies": [(app, leaf) for leaf in leaves]})
        merged.append((app, kind(f"{number:04}_{suffix}", app)))
    require_answers(questioner)
    return {"files": write(merged), "branches": described, "unused_answers": questioner.unused()}


def ancestry_beyond_common(loader, app, leaves):
    """Return for each leaf the keys of its branch: its ancestors in the app after the last common one."""
    ancestries = [[key for key in loader.graph.forwards_plan((app, leaf)) if key[0] == app] for leaf in leaves]
    common = len(list(takewhile(lambda keys: len(set(keys)) == 1, zip(*ancestries))))
    if not common:
        raise Fault(
            "MigrationGraphError",
            "{} have no common ancestor in {}.".format(" and ".join(leaves), app),
            "make one depend on the other by hand",
        )
    return [ancestry[common:] for ancestry in ancestries]
