"""What the models say and the migrations do not yet: the autodetector's answer."""

import io
import os
import warnings

from .faults import Fault, one_line
from .graph import app_config, conflict_fault, connection_of
from .place import writer_class
from .plain import field_code, operation_data
from .questions import DataQuestioner


def import_urlconf():
    """Import ROOT_URLCONF, because some models register only then; return why it could not be, or None."""
    from importlib import import_module

    from django.conf import settings

    name = getattr(settings, "ROOT_URLCONF", None)
    if not name:
        return None
    try:
        import_module(name)
    except (Exception, SystemExit) as exc:
        return f"The URLconf {name} could not be imported ({one_line(exc)}): models that it registers are missing here."
    return None


class Detected:
    """The outcome of one run of the autodetector, with everything later steps need of it."""

    def __init__(self, database, apps, answers, name):
        from django.apps import apps as registry
        from django.core.management.commands.makemigrations import Command
        from django.db.migrations.autodetector import MigrationAutodetector
        from django.db.migrations.loader import MigrationLoader
        from django.db.migrations.state import ProjectState

        labels = {app_config(label).label for label in apps or ()}
        check_name(name)
        self.connection = connection_of(database)
        self.warnings = [each for each in [import_urlconf()] if each]
        self.loader = MigrationLoader(None, ignore_no_migrations=True)
        conflicts = self.loader.detect_conflicts()
        if labels:
            conflicts = {app: names for app, names in conflicts.items() if app in labels}
        if conflicts:
            raise conflict_fault(conflicts)
        self.questioner = DataQuestioner(answers, specified_apps=labels)
        self.before = self.loader.project_state()
        self.after = ProjectState.from_apps(registry)
        detector_class = getattr(Command, "autodetector", MigrationAutodetector)  # Django 5.2 and later
        detector = detector_class(self.before.clone(), self.after, self.questioner)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self.changes = detector.changes(
                graph=self.loader.graph,
                trim_to_apps=labels or None,
                convert_apps=labels or None,
                migration_name=name,
            )
        self.warnings += [str(each.message) for each in caught]
        if labels:
            missing = [label for label in sorted(labels) if not self.changes.get(label)]
            self.warnings += [f"No changes detected in app {label!r}." for label in missing if self.changes]


def check_name(name):
    """Refuse a migration name that Python could not import."""
    if name is not None and not name.isidentifier():
        raise Fault(
            "UsageError",
            f"{name!r} cannot name a migration: it has to be a Python identifier.",
            "use letters, digits and underscores only",
        )


def model_changes(emit, database="default", apps=None, answers=None, name=None):
    """Return the pending changes: per app its migrations to come, the questions, Django's own text, the model diff.

    Read-only: writes no file, and reads no database.
    """
    from django.db import router

    detected = Detected(database, apps, answers, name)
    open_questions = detected.questioner.open
    migrations = []
    state = detected.before.clone()
    for app, app_migrations in sorted(detected.changes.items()):
        for migration in app_migrations:
            listed = []
            for operation in migration.operations:
                listed.append(operation_data(operation, app, state, detected.connection))
                operation.state_forwards(app, state)
            migrations.append(
                {
                    "app": app,
                    "name": migration.name,
                    "dependencies": [list(each) for each in migration.dependencies],
                    "operations": listed,
                    "routed": router.allow_migrate(database, app),
                }
            )
    text, unwritable = dry_run_text(detected.changes)
    return {
        "migrations": migrations,
        "questions": detected.questioner.asked,
        "open": [question["id"] for question in open_questions],
        "unused_answers": detected.questioner.unused(),
        "text": text,
        "models": model_texts(detected.before, detected.after, touched_models(detected.changes)),
        "warnings": detected.warnings + unwritable,
    }


def dry_run_text(changes):
    """Return what ``makemigrations --dry-run --verbosity 3`` prints, written by that very command.

    With it, why it stopped early, in a list: what cannot be written as a migration cannot be printed as one.
    """
    from django.core.management.commands import makemigrations

    if not changes:
        return "No changes detected\n", []
    out = io.StringIO()
    command = makemigrations.Command(stdout=out, stderr=out, no_color=True)
    command.verbosity = 3
    command.dry_run = True
    command.include_header = True
    command.scriptable = False
    command.interactive = False
    command.written_files = []
    unwritable = []
    django_writer = makemigrations.MigrationWriter
    makemigrations.MigrationWriter = writer_class()
    try:
        command.write_migration_files(changes)
    except (Fault, ValueError) as exc:
        unwritable = ["These changes cannot be written as a migration: {}".format(str(exc).split("\n")[0])]
    finally:
        makemigrations.MigrationWriter = django_writer
    # The headers carry the time of this run; the text must be the same for the same models.
    text = "".join(
        line for line in out.getvalue().splitlines(True) if not line.startswith("# Generated by Django ")
    ).replace(os.getcwd() + os.sep, "")
    return text, unwritable


def touched_models(changes):
    """Return the (app, lower-case model) pairs that any operation names."""
    touched = set()
    for app, migrations in changes.items():
        for migration in migrations:
            for operation in migration.operations:
                for attribute in ("model_name", "name", "old_name", "new_name"):
                    value = getattr(operation, attribute, None)
                    if isinstance(value, str):
                        touched.add((app, value.lower()))
    return touched


def model_texts(before, after, touched):
    """Return each touched model as Python text, as the migrations know it and as the models have it now."""
    found = []
    for key in sorted(touched):
        old, new = before.models.get(key), after.models.get(key)
        if old is None and new is None:
            continue
        found.append(
            {
                "app": key[0],
                "model": (new or old).name,
                "before": model_text(old, new) if old is not None else "",
                "after": model_text(new) if new is not None else "",
            }
        )
    return found


def model_text(state, order=None):
    """Return one model state as the class statement that would declare it.

    Fields that the state ``order`` has too stand in its order: migrations add fields at the end, models files do
    not, and a difference that is only that means nothing.
    """
    bases = ", ".join(base if isinstance(base, str) else base.__name__ for base in state.bases)
    lines = [
        "class {}({}):".format(state.name, bases.replace("Model", "models.Model", 1) if bases == "Model" else bases)
    ]
    fields = dict(state.fields)
    if order is not None:
        common = iter([name for name in dict(order.fields) if name in fields])
        fields = {
            name: fields[name]
            for name in [next(common) if each in dict(order.fields) else each for each in dict(state.fields)]
        }
    for name, field in fields.items():
        lines.append(f"    {name} = {field_code(field)}")
    options = {
        key: value for key, value in sorted(state.options.items()) if value and key not in ("apps", "default_manager")
    }
    if options:
        lines += ["", "    class Meta:"]
        for key, value in options.items():
            lines.append(f"        {key} = {option_code(value)}")
    return "\n".join(lines) + "\n"


def option_code(value):
    """Return a Meta option as Python text."""
    from django.db.migrations.writer import MigrationWriter

    try:
        return MigrationWriter.serialize(value)[0]
    except ValueError:
        return repr(value)
