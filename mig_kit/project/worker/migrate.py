"""Apply migrations with the project's own ``migrate`` command, telling what happens as it happens."""

import io
import time
from contextlib import ExitStack

from .failure import is_again
from .faults import Fault
from .graph import connection_of, module_file, planned
from .guard import no_writes, others
from .runner import Runner


class Watcher:
    """Send an event for each migration and each distinct statement, with its time in milliseconds.

    A migration's beginning waits until the client has taken it in. A statement that a migration repeats is told once
    and counted; the counts come with the migration's end. The values bound to a statement are never sent: they may be
    anybody's data.
    """

    def __init__(self, emit):
        self.emit = emit
        self.migration = None
        self.began = None
        self.counts = {}
        self.guarded = False  # whether the runner does what is told of, and not an executor of the project's own
        self._marked = {}

    def progress(self, action, migration=None, fake=False):
        """Take what the executor reports; the ``migration_progress_callback`` of ``migrate``."""
        if migration is None:
            return
        app, name = migration.app_label, migration.name
        about = {"app": app, "name": name, "backwards": action.startswith("un"), "fake": bool(fake)}
        if action.endswith("_start"):
            about.update(atomic=bool(migration.atomic), guarded=self.guarded, file=module_file(migration))
            self.emit.confirmed("begin", **about)
            self.migration, self.began, self.counts, self._marked = (app, name), time.perf_counter(), {}, {}
        elif action.endswith("_success"):
            ms = (time.perf_counter() - self.began) * 1000 if self.began is not None else 0.0
            repeated = [
                {"sql": sql, "times": times, "ms": total} for sql, (times, total) in self.counts.items() if times > 1
            ]
            rows = [list(each) for each in migration.replaces] or [[app, name]]
            self.emit("done", **dict(about, ms=ms, repeated=repeated, rows=rows))
            self.migration = None

    def mark(self):
        """Remember what was told before an operation that may be tried again."""
        self._marked = dict(self.counts)

    def again(self, what):
        """Forget what a try told that came to nothing: it will be told again."""
        if what == "migration":
            self.counts = {}
        elif what == "operation":
            self.counts = dict(self._marked)

    def execute(self, execute, sql, params, many, context):
        """Time one statement; Django's ``execute_wrapper`` hook. One that will be tried again is not told."""
        began = time.perf_counter()
        try:
            result = execute(sql, params, many, context)
        except BaseException as exc:
            if not is_again(exc):
                self._tell(str(sql), (time.perf_counter() - began) * 1000)
            raise
        self._tell(str(sql), (time.perf_counter() - began) * 1000)
        return result

    def _tell(self, text, ms):
        head = text.lstrip()[:6].upper()
        catalog = head == "SELECT" and ("pg_catalog" in text or "pg_class" in text or "information_schema" in text)
        if not catalog and self.migration is not None:
            times, total = self.counts.get(text, (0, 0.0))
            self.counts[text] = (times + 1, total + ms)
            if not times:
                self.emit("statement", app=self.migration[0], name=self.migration[1], sql=text, ms=ms)


def announce_backend(emit, connection):
    """Connect, and tell which server process migrates, before anything does."""
    connection.ensure_connection()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            emit.confirmed("backend", pid=cursor.fetchone()[0])


def migrate(
    emit,
    database="default",
    app=None,
    name=None,
    expected=None,
    other_databases=False,
    fake=False,
    lock_timeout=0.5,
    give_up_after=300.0,
    fence=None,
    resume=None,
):
    """Run ``migrate [APP [NAME]]`` and return what it printed.

    On PostgreSQL the ``Runner`` does the migrations: no lock is waited for longer than ``lock_timeout``, in seconds,
    and none is tried for longer than ``give_up_after``. ``fake`` records them without running them.
    ``expected``: the plan that was shown; another plan by now is a fault and nothing runs. A write to another
    database than the one being migrated (a RunPython without ``using``) is a fault unless ``other_databases``.
    Raises whatever the migration raised; what was committed before that stays.
    """
    from django.core.management import call_command, get_commands, load_command_class

    connection = connection_of(database)
    targets, now = planned(database, app, name)
    if app is not None and name is not None:
        name = targets[0][1] or "zero"  # the whole name: a prefix may fit what is no longer in the graph
    if expected is not None and [tuple(sorted(each.items())) for each in now] != [
        tuple(sorted(each.items())) for each in expected
    ]:
        raise Fault(
            "GateClosed",
            "The plan is another one than was shown: somebody changed the files or the database meanwhile.",
            "run the preview again, then apply",
            gate="same plan",
        )
    source = get_commands()["migrate"]
    command = load_command_class(source, "migrate") if isinstance(source, str) else source
    watcher = Watcher(emit)
    printed = command.migration_progress_callback

    def progress(action, migration=None, fake=False):
        printed(action, migration, fake)
        watcher.progress(action, migration, fake)

    command.migration_progress_callback = progress
    out = io.StringIO()
    arguments = [each for each in (app, name) if each is not None]
    with ExitStack() as stack:
        announce_backend(emit, connection)
        if connection.vendor == "postgresql":
            runner = Runner(emit, connection, watcher, lock_timeout, give_up_after, fence, resume)
            stack.enter_context(runner.installed())
        stack.enter_context(connection.execute_wrapper(watcher.execute))
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
        call_command(
            command,
            *arguments,
            database=database,
            fake=fake,
            interactive=False,
            verbosity=1,
            skip_checks=False,
            no_color=True,
            stdout=out,
            stderr=out,
        )
    return {"output": out.getvalue()}
