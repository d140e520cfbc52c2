"""The three passes over a copy: forwards, backwards, forwards again, each looked at between two migrations."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mig_kit import errors
from mig_kit.postgres import Connection, ConnectionInfo, connect
from mig_kit.postgres.observe import FULL_SQL, SETTLE_SQL, TOUCHED_SQL
from mig_kit.postgres.schema import Schema, SchemaChange, read_schema, schema_changes
from mig_kit.project import Worker
from mig_kit.steps._lock_watch import LockWatch
from mig_kit.steps._migration_run import MigrationRun
from mig_kit.steps._rehearsal_events import RunRecord
from mig_kit.steps._rehearsal_values import Before, Values
from mig_kit.steps._way_back import Loss, ValuesChanged

__all__ = ["Passes", "Trip", "changes", "own_changes"]

_QUERIES = {"whole": FULL_SQL, "touched": TOUCHED_SQL, "settle": SETTLE_SQL}
# What PostgreSQL 15 and later know; before, counters are handed in at a statement's end, twice a second at most.
_REPORT = "SELECT pg_stat_force_next_flush()"
_REPORTED_S = 0.6
_RECORD = "django_migrations"

Key = tuple[str, str]


@dataclass
class Trip:
    """What one migration did on each pass; None where it did not get there. Errors are '' where there was none.

    ``left``: what a migration that failed has changed all the same. ``back_from`` and ``again_from``: the schema that
    its way back, and running again, began with.
    """

    forwards: MigrationRun
    schema_before: Schema
    schema_after: Schema | None = None
    before: Before | None = None
    values_changed: tuple[ValuesChanged, ...] = ()
    backwards: MigrationRun | None = None
    back_from: Schema | None = None
    schema_back: Schema | None = None
    lost: tuple[Loss, ...] = ()
    again: MigrationRun | None = None
    again_from: Schema | None = None
    schema_again: Schema | None = None
    error: str = ""
    left: tuple[SchemaChange, ...] = ()
    back_error: str = ""
    back_kind: str = ""
    again_error: str = ""


@dataclass
class Passes:
    """Run the plan on a copy by a worker that reaches nothing else, and look at schema and values in between.

    ``say`` is told which migration is done. ``reference`` gives a connection to another copy, on which nothing runs.
    """

    worker: Worker
    database: str
    copy: ConnectionInfo
    scope: Mapping[str, Any]
    say: Callable[[str, MigrationRun], None]
    reference: Callable[[], Connection | None]
    trips: dict[Key, Trip] = field(default_factory=dict)
    record: RunRecord | None = None
    outside_error: str = ""
    observing_ms: float = 0.0

    def run(self, *, backwards: bool) -> None:
        """Run forwards, and unless told otherwise backwards and forwards again; an error ends that pass."""
        with contextlib.ExitStack() as stack:
            self._conn = stack.enter_context(
                contextlib.closing(connect(self.copy, application_name="mig_kit looks on"))
            )
            self._watch = stack.enter_context(contextlib.closing(LockWatch(self.copy)))
            self._values = Values(self._conn, self.reference)
            self._compare = backwards
            self._forwards()
            done = [key for key, trip in self.trips.items() if trip.forwards.done]
            failed = [trip for trip in self.trips.values() if trip.error]
            half = any(not trip.forwards.atomic for trip in failed)
            if backwards and done and not half:
                self._backwards(done)
                self._again()

    def _forwards(self) -> None:
        self._schema = read_schema(self._conn)

        def done(run: MigrationRun) -> bool:
            trip = self.trips[run.key] = Trip(run, self._schema)
            trip.schema_after = self._schema = read_schema(self._conn)
            if self._compare:
                trip.before, trip.values_changed = self._values.forwards(
                    run, record.relations, trip.schema_before, trip.schema_after
                )
            self.say("forwards", run)
            return self._compare and self._reported()

        record = self.record = RunRecord(self._watch, done)
        error = self._ask(record, "forwards")
        if error is not None:
            run = record.current
            if run is None and not record.migrations:
                raise error
            if run is None:
                self.outside_error = error.message
            else:
                trip = self.trips[run.key] = Trip(run, self._schema, error=error.message)
                trip.left = changes(self._schema, read_schema(self._conn))

    def _backwards(self, plan: list[Key]) -> None:
        def done(run: MigrationRun) -> bool:
            trip = self.trips[run.key]
            trip.backwards, trip.back_from = run, self._schema
            trip.schema_back = self._schema = read_schema(self._conn)
            if trip.before is not None:
                trip.lost = self._values.backwards(run, trip.before, record.relations)
            self.say("backwards", run)
            return self._reported()

        record = RunRecord(self._watch, done)
        error = self._ask(record, "backwards", plan=[list(each) for each in plan])
        if error is not None:
            key = record.current.key if record.current else self._next_back(plan)
            if key is None:
                self.outside_error = self.outside_error or error.message
            else:
                trip = self.trips[key]
                trip.backwards, trip.back_error = record.current, error.message
                trip.back_kind = getattr(error, "kind", "")

    def _next_back(self, plan: list[Key]) -> Key | None:
        return next((key for key in reversed(plan) if self.trips[key].schema_back is None), None)

    def _again(self) -> None:
        wanted = [key for key, trip in self.trips.items() if trip.schema_back is not None]
        if not wanted:
            return

        def done(run: MigrationRun) -> bool:
            trip = self.trips.get(run.key)
            schema = read_schema(self._conn)
            if trip is not None:
                trip.again, trip.again_from, trip.schema_again = run, self._schema, schema
            self._schema = schema
            self.say("again", run)
            return False

        self._schema = read_schema(self._conn)  # a way back that failed may have gone a part of it
        record = RunRecord(self._watch, done)
        error = self._ask(record, "forwards")
        failed = [trip for trip in self.trips.values() if trip.error]
        if error is None:
            return
        if record.current is None and record.migrations:
            self.outside_error = self.outside_error or error.message
            return
        key = record.current.key if record.current else wanted[0]
        if key in self.trips and not (failed and key == failed[0].forwards.key):
            self.trips[key].again_error = error.message

    def _ask(self, record: RunRecord, way: str, **more: Any) -> errors.MigKitError | None:
        """Run one pass; return why it ended before its end. Ctrl-C, and a worker that died, are raised."""
        scope = {} if way == "backwards" else {key: self.scope[key] for key in ("app", "name")}
        try:
            answer = self.worker.call(
                "rehearse",
                on_event=record,
                on_interrupt=lambda: self._cancel(record),
                timeout=None,
                database=self.database,
                queries=_QUERIES,
                way=way,
                other_databases=self.scope["other_databases"],
                **scope,
                **more,
            )
        except (errors.OperationFailed, errors.GateClosed, errors.MigrationGraphError) as exc:
            return exc
        self.observing_ms += answer["observing_ms"]
        return None

    def _reported(self) -> bool:
        """Let the server count now what was read here, so that it is not taken for the migrations' doing."""
        if self._conn.info.server_version < 150000:
            time.sleep(_REPORTED_S)
            self._conn.execute("SELECT 1")
            time.sleep(_REPORTED_S)
        else:
            self._conn.execute(_REPORT)
        return True

    def _cancel(self, record: RunRecord) -> None:
        if record.backend_pid is not None:
            with contextlib.suppress(errors.MigKitError), contextlib.closing(connect(self.copy)) as conn:
                conn.execute("SELECT pg_cancel_backend(%s)", [record.backend_pid])


def changes(before: Schema, after: Schema | None) -> tuple[SchemaChange, ...]:
    """Return what differs and matters between two schemas; nothing where there is no second.

    Django's own record is left out: the first migration of a database finds it made, and nothing takes it back.
    """
    if after is None:
        return ()
    return tuple(each for each in schema_changes(before, after) if each.matters and each.relation != _RECORD)


def own_changes(found: Sequence[SchemaChange], left: Sequence[SchemaChange]) -> tuple[SchemaChange, ...]:
    """Return what was found without what others had left before: it is not said of this one again."""
    known = {str(each) for each in left}
    return tuple(each for each in found if str(each) not in known)
