"""Run the project's migrations so that they cannot hurt: Django's executor, with its two steps done another way.

What Django does in them and this does not: to queue for a lock without limit, and to write into ``django_migrations``
after the commit. Where a migration is atomic, it and its record are one transaction here, forwards and backwards,
statements that Django holds back until its end included.
"""

import time
from contextlib import ExitStack, contextmanager

from .failure import CANCELLED, sqlstate
from .faults import Fault, one_line
from .parts import Parts, Place
from .records import give_record, take_record
from .step_by_step import Whole, is_its_own, refuse_irreversible, steps_backwards, steps_forwards
from .waits import Waits, has_begun, in_transaction, run


class Retold:
    """The events of a run; what is tried again is told again."""

    def __init__(self, emit, watcher):
        self._emit, self._watcher = emit, watcher

    def __call__(self, event, **data):
        if event == "retry":
            self._watcher.again(data["what"])
        self._emit(event, **data)

    def confirmed(self, event, **data):
        if event == "operation":
            self._watcher.mark()
        return self._emit.confirmed(event, **data)


class Runner:
    """Take the place of the executor's ``apply_migration`` and ``unapply_migration`` on one PostgreSQL connection.

    ``fence``: the keys of an advisory lock that the connection holds meanwhile, so that nobody begins while this still
    works. ``resume``: the place in a migration that is not atomic from which to go on.
    """

    def __init__(self, emit, connection, watcher, lock_timeout, give_up_after, fence=None, resume=None):
        self.emit = emit
        self.connection = connection
        self.watcher = watcher
        self._emitter = Retold(emit, watcher)
        self.waits = Waits(self._emitter, connection, lock_timeout, give_up_after)
        self.fence = fence
        self.resume = resume or {}
        self.active = False
        self.parts = None
        self.statement_timeout = 0.0
        self._cancelled_after = 0.0

    @contextmanager
    def installed(self):
        """Be in place within; whatever class of executor the project's command makes."""
        from django.db.migrations.executor import MigrationExecutor

        before = MigrationExecutor.apply_migration, MigrationExecutor.unapply_migration
        runner = self

        def apply_migration(executor, state, migration, fake=False, fake_initial=False):
            if executor.connection is not runner.connection:
                return before[0](executor, state, migration, fake, fake_initial)
            return runner.forwards(executor, state, migration, fake, fake_initial)

        def unapply_migration(executor, state, migration, fake=False):
            if executor.connection is not runner.connection:
                return before[1](executor, state, migration, fake)
            return runner.backwards(executor, state, migration, fake)

        with ExitStack() as stack:
            stack.enter_context(self._session())
            stack.enter_context(self.connection.execute_wrapper(self.execute))
            MigrationExecutor.apply_migration = apply_migration
            MigrationExecutor.unapply_migration = unapply_migration
            try:
                yield self
            finally:
                MigrationExecutor.apply_migration, MigrationExecutor.unapply_migration = before

    @contextmanager
    def _session(self):
        """Hold the fence, commit to the disk, and let the server notice soon when this process is gone."""
        if self.connection.pg_version >= 140000:
            try:
                run(self.connection, "SET client_connection_check_interval = '1s'")
            except Exception:
                pass  # not on every platform
        # What was told to be done must not be lost in a crash of the server a moment later.
        if run(self.connection, "SELECT current_setting('synchronous_commit')")[0] == "off":
            run(self.connection, "SET synchronous_commit = local")
        setting = "SELECT setting FROM pg_settings WHERE name = 'statement_timeout'"
        self.statement_timeout = int(run(self.connection, setting)[0]) / 1000
        if self.fence is not None and not run(self.connection, "SELECT pg_try_advisory_lock(%s, %s)", self.fence)[0]:
            raise Fault(
                "GateClosed",
                "Another connection migrates this database.",
                "look who it is: rb.gates()",
                gate="nobody else migrating",
            )
        try:
            yield
        finally:
            if self.fence is not None and self.connection.connection is not None:
                try:
                    run(self.connection, "SELECT pg_advisory_unlock(%s, %s)", self.fence)
                except Exception:
                    pass  # the connection is gone, and the lock with it

    def execute(self, execute, sql, params, many, context):
        """Give each statement of a migration the time to wait that it may take; Django's ``execute_wrapper`` hook."""
        if not self.active:
            return execute(sql, params, many, context)
        if not in_transaction(self.connection):
            if self.parts is None:
                return execute(sql, params, many, context)
            return self.parts.statement(lambda: self._timed(execute, sql, params, many, context), sql)
        if not has_begun(self.connection):
            self.waits.begin()
        self.waits.before(sql)
        try:
            return self._timed(execute, sql, params, many, context)
        except Exception:
            self.waits.failed()
            raise

    def _timed(self, execute, sql, params, many, context):
        """Run a statement, and remember how long one ran that was cancelled."""
        began = time.monotonic()
        try:
            return execute(sql, params, many, context)
        except Exception as exc:
            if sqlstate(exc) == CANCELLED:
                self._cancelled_after = time.monotonic() - began
            raise

    # The executor's two steps

    def forwards(self, executor, state, migration, fake, fake_initial):
        """Apply one migration and record it; return the state after it."""
        self.watcher.guarded = True
        tell(executor, "apply_start", migration, fake)
        if not fake and fake_initial:
            fake, state = executor.detect_soft_applied(state, migration)
        with self._active():
            if fake or self._record_only(migration):
                self._recorded(lambda: give_record(executor, migration))
            elif migration.atomic:
                state = self._whole(
                    migration,
                    lambda editor: migration.apply(state.clone(), editor),
                    lambda: give_record(executor, migration),
                )
            else:
                state = self._in_parts(migration, state, False)
                self._recorded(lambda: give_record(executor, migration))
        tell(executor, "apply_success", migration, fake)
        return state

    def backwards(self, executor, state, migration, fake):
        """Take one migration back and its record out; return the state before it."""
        self.watcher.guarded = True
        tell(executor, "unapply_start", migration, fake)
        with self._active():
            if fake or self._record_only(migration):
                self._recorded(lambda: take_record(executor, migration))
            elif migration.atomic:
                state = self._whole(
                    migration,
                    lambda editor: migration.unapply(state, editor),
                    lambda: take_record(executor, migration),
                )
            else:
                self._in_parts(migration, state, True)
                self._recorded(lambda: take_record(executor, migration))
        tell(executor, "unapply_success", migration, fake)
        return state

    @contextmanager
    def _active(self):
        self.active = True
        self._cancelled_after = 0.0
        try:
            yield
        except Exception as exc:
            if sqlstate(exc) == CANCELLED and 0 < self.statement_timeout <= self._cancelled_after:
                raise self._timed_out(exc) from exc
            raise
        finally:
            self.active = False

    def _timed_out(self, exc):
        return Fault(
            "OperationFailed",
            f"{one_line(exc)} A statement may run for {self.statement_timeout:g} s on this connection "
            "(statement_timeout), and this one takes longer.",
            "let the role that migrates take longer: ALTER ROLE … SET statement_timeout = …; or split the statement",
            exception=type(exc).__name__,
            sqlstate=CANCELLED,
        )

    def _record_only(self, migration):
        """Say whether a migration was done by a session that died before it wrote the record."""
        key = {"app": migration.app_label, "name": migration.name}
        return bool(self.resume.get("record")) and all(self.resume.get(name) == key[name] for name in key)

    def take_back(self, migration, state):
        """Take back the parts of one migration that are done, without its record; ``state`` is the one before it."""
        with self._active():
            self._in_parts(migration, state, True)

    def _whole(self, migration, work, record):
        """Do a migration, what Django holds back of it, and its record in one transaction, until it gets through."""

        def attempt():
            self.waits.begin()
            with self.connection.schema_editor(atomic=True) as editor:
                state = work(editor)
                for sql in list(editor.deferred_sql):
                    editor.execute(sql, None)
                del editor.deferred_sql[:]
                record()
            return state

        return self.waits.until_it_gets_through(
            attempt, "migration", app=migration.app_label, name=migration.name, operation=None
        )

    def _recorded(self, record):
        """Write or take a record, in a transaction of its own."""
        from django.db.transaction import atomic

        with atomic(self.connection.alias):
            record()

    def _in_parts(self, migration, state, backwards):
        """Do a migration that is not atomic, operation by operation."""
        key = {"app": migration.app_label, "name": migration.name}
        here = all(self.resume.get(name) == value for name, value in key.items())
        place = Place(self.resume) if here else None
        self.parts = Parts(self._emitter, self.connection, self.waits, backwards=backwards, place=place, **key)
        try:
            with self.connection.schema_editor(atomic=False) as editor:
                if is_its_own(migration, backwards):
                    step = Whole(migration, state, editor, backwards)
                    self.parts.run(editor, [(step, step.run)])
                    return step.state
                steps, after = (steps_backwards if backwards else steps_forwards)(migration, state, editor)
                if backwards:
                    refuse_irreversible(migration, steps[self.parts.place.operation :])
                self.parts.run(editor, steps)
                return after
        finally:
            self.parts = None


def tell(executor, action, migration, fake):
    """Report progress as the executor does."""
    if executor.progress_callback:
        executor.progress_callback(action, migration, fake)
