"""Run a plan on a copy of the database, forwards or backwards, each statement observed."""

import io
from contextlib import ExitStack, contextmanager

from . import isolate
from .faults import Fault
from .graph import connection_of, module_file, planned
from .guard import no_writes, others
from .observed import Observer

RECORDING = "recording it in django_migrations"
SIGNALS = "the handlers of pre_migrate and post_migrate"


class Progress:
    """Tell of each migration as the executor reports it, and of each operation that its statements belong to."""

    def __init__(self, emit, observer):
        self.emit = emit
        self.observer = observer
        self.held_back = []
        self.began = 0.0
        observer.owner_of = self.owner_of

    def __call__(self, action, migration=None, fake=False):
        """The executor's ``progress_callback``."""
        if migration is None:
            return
        facts = {
            "app": migration.app_label,
            "name": migration.name,
            "backwards": action.startswith("un"),
        }
        if action.endswith("_start"):
            self.observer.start((migration.app_label, migration.name))
            self.held_back = []
            wrap_operations(migration, self)
            self.began = self.observer.clock.now()
            facts.update(atomic=bool(migration.atomic), file=module_file(migration), at=self.began)
            self.emit("begin", **facts)
        elif action.endswith("_success"):
            unwrap_operations(migration)
            self.observer.settle()
            at = self.observer.clock.now()
            with self.observer.clock.still():
                answer = self.emit.confirmed("done", at=at, ms=at - self.began, fake=bool(fake), **facts)
            if (answer or {}).get("looked"):
                self.observer.forget()
            self.observer.migration = None

    def owner_of(self, text):
        """Return the operation of a statement that runs outside of any: what was held back, or the recording."""
        if self.observer.migration is None:
            return {"operation": SIGNALS, "python": True, "deferred": False}
        for statement, operation in self.held_back:
            if str(statement) == text:
                return dict(operation, deferred=True)
        recording = "django_migrations" in text
        return {"operation": RECORDING if recording else "", "python": False, "deferred": False}

    @contextmanager
    def during(self, operation, editor):
        """Count what runs within to an operation, and what it holds back as well."""
        said = {"operation": operation.describe(), "python": runs_python(operation), "deferred": False}
        before = {id(each) for each in editor.deferred_sql}
        with self.observer.during(said):
            yield
        known = {id(each) for each, _ in self.held_back}
        new = (each for each in editor.deferred_sql if id(each) not in before | known)
        self.held_back += [(each, said) for each in new]


def runs_python(operation):
    """Say whether it is code, whose statements may differ from one run to the next."""
    inner = getattr(operation, "database_operations", None)
    if inner is not None:
        return any(runs_python(each) for each in inner)
    return not operation.reduces_to_sql or not type(operation).__module__.startswith("django.")


def wrap_operations(migration, progress):
    """Notice when each operation of a migration, also one inside of another, is at work."""
    for operation in every_operation(migration.operations):
        for name in ("database_forwards", "database_backwards"):
            if name not in vars(operation):
                setattr(operation, name, watched(operation, getattr(operation, name), progress))


def watched(operation, real, progress):
    """Return a method that does what ``real`` does, under watch."""

    def method(app_label, schema_editor, from_state, to_state):
        with progress.during(operation, schema_editor):
            return real(app_label, schema_editor, from_state, to_state)

    return method


def unwrap_operations(migration):
    """Undo that: the operations stay when this process goes on."""
    for operation in every_operation(migration.operations):
        for name in ("database_forwards", "database_backwards"):
            vars(operation).pop(name, None)


def every_operation(operations):
    """Yield operations, and those inside of them."""
    for operation in operations:
        yield operation
        yield from every_operation(getattr(operation, "database_operations", None) or ())


def rehearse(emit, queries, database="default", way="forwards", app=None, name=None, plan=(), other_databases=False):
    """Run ``migrate [APP [NAME]]`` on the copy that this process was isolated to; backwards, the plan's way back.

    ``queries``: whole, touched and settle, what to look with. ``plan``: (app, name) pairs, in the order they ran.
    Events are the observer's, with ``begin``, ``done`` (confirmed; ``looked`` in the answer says that somebody read
    tables meanwhile) and ``refused``. Raises whatever a migration raises.
    """
    from django.db import connections

    isolation = isolate.current()
    if isolation is None:
        raise Fault("UsageError", "This process is not isolated: it could reach the real database.", "")
    isolation.tell = lambda what: emit("refused", what=what)
    connection = connection_of(database)
    same = [alias for alias, name in isolation.aliases.items() if name == isolation.aliases[database]]
    if "default" in same:
        connections["default"] = connection  # one connection, or the one would wait for the other's locks
    observer = Observer(emit, connection, queries)
    progress = Progress(emit, observer)
    out = io.StringIO()
    with ExitStack() as stack:
        if not other_databases:
            stack.enter_context(
                no_writes(
                    others(database),
                    f"A migration of the database {database!r} wrote to the database {{!r}}; that write was refused.",
                    "give its RunPython queries .using(schema_editor.connection.alias); "
                    "if it is meant, pass other_databases=True",
                    "one database",
                )
            )
        for alias in same:
            if connections[alias] is not connection:
                stack.enter_context(connections[alias].execute_wrapper(observer.beside(alias)))
        stack.enter_context(observer.watching())
        if way == "forwards":
            forwards(connection, database, app, name, progress, out)
        else:
            backwards(connection, [tuple(each) for each in plan], progress, out)
    return {"output": out.getvalue(), "observing_ms": observer.clock.stood}


def forwards(connection, database, app, name, progress, out):
    """Run the project's own migrate command."""
    from django.core.management import call_command, get_commands, load_command_class

    if app is not None and name is not None:
        name = planned(database, app, name)[0][0][1] or "zero"
    source = get_commands()["migrate"]
    command = load_command_class(source, "migrate") if isinstance(source, str) else source
    printed = command.migration_progress_callback

    def both(action, migration=None, fake=False):
        printed(action, migration, fake)
        progress(action, migration, fake)

    command.migration_progress_callback = both
    call_command(
        command,
        *[each for each in (app, name) if each is not None],
        database=database,
        interactive=False,
        verbosity=1,
        skip_checks=False,
        no_color=True,
        stdout=out,
        stderr=out,
    )


def backwards(connection, plan, progress, out):
    """Take back each migration of a plan, the last first, as migrate does it, its signals included."""
    from django.core.management.sql import emit_post_migrate_signal, emit_pre_migrate_signal
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection, progress)
    full = [(executor.loader.graph.nodes[key], True) for key in reversed(plan) if key in executor.loader.graph.nodes]
    before = executor._create_project_state(with_applied_migrations=True)
    arguments = {"verbosity": 0, "interactive": False, "db": connection.alias, "stdout": out, "plan": full}
    emit_pre_migrate_signal(apps=before.apps, **arguments)
    after = executor.migrate(None, plan=full, state=before.clone())
    after.clear_delayed_apps_cache()
    emit_post_migrate_signal(apps=after.apps, **arguments)
