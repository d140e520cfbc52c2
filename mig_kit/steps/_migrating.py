"""Migrate, forwards or backwards, as the only session that does, watched over, each step checked when it is done."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from mig_kit import errors
from mig_kit.postgres import Connection, ConnectionInfo
from mig_kit.postgres.migration_lock import MigrationLock
from mig_kit.postgres.pooling import refuse_pooling
from mig_kit.postgres.refusal import first_line
from mig_kit.progress import ProgressCallback
from mig_kit.project.client import EventCallback
from mig_kit.record import Journal
from mig_kit.steps._apply_record import Recorder
from mig_kit.steps._apply_watch import ApplyWatch
from mig_kit.steps._manifest import made_by
from mig_kit.steps._where import anchor, database_facts, schema_digest
from mig_kit.steps._worker_backend import WorkerBackend
from mig_kit.steps.apply_journal import ApplyJournal
from mig_kit.steps.done_check import Checked, DoneCheck, file_sha256
from mig_kit.steps.standing import find_unfinished
from mig_kit.steps.target import Target
from mig_kit.steps.unfinished import Unfinished, Way
from mig_kit.steps.waiting import Waiting

__all__ = ["Migrating"]


@dataclass
class Migrating:
    """One run of the worker's ``migrate`` on a target: who may, what is told, what is checked.

    ``journal`` gets each step before it is begun; what cannot be written down there is not begun. ``recorder`` has
    what ran, also when it failed. ``ended``: the sessions that were ended, in words.
    """

    target: Target
    step: str
    progress: ProgressCallback | None = None
    on_event: EventCallback | None = None
    waiting: Waiting = field(default_factory=Waiting)
    checked: Checked | None = None
    expected_ms: Mapping[str, float] = field(default_factory=dict)
    journal: Journal | None = None
    ended: list[str] = field(default_factory=list)
    recorder: Recorder = field(init=False)

    def __post_init__(self) -> None:
        self.recorder = Recorder(self.step, 0, self.progress, self._met, self.expected_ms)
        self._record = ApplyJournal(self.journal, self.step) if self.journal is not None else None
        self._lock: MigrationLock | None = None
        self._watch: ApplyWatch | None = None
        self._conn: Connection | None = None
        self._check: DoneCheck | None = None
        self._facts: dict[str, Any] = {}
        self._backend: WorkerBackend | None = None
        self._announced = False

    @contextlib.contextmanager
    def alone(self, *, resuming: bool = False) -> Iterator[None]:
        """Be the only session that migrates the database, within; without PostgreSQL there is no such thing.

        Raises ``GateClosed`` that names who does, or the pooler that makes it impossible, or the migration that an
        earlier session left half done: that is gone on with first, unless this is ``resuming``.
        """
        info = self.target.info
        if info is None:
            yield
            return
        refuse_pooling(info)
        with contextlib.ExitStack() as stack:
            self._lock = stack.enter_context(MigrationLock.acquire(info, self.step, on_lost=self._lost))
            self._open()
            stack.callback(self._close)
            if not resuming:
                self._refuse_half_done()
            assert self._conn is not None
            self._check = DoneCheck(self._conn, self.checked)
            self._watch = self._watching(info)
            stack.callback(self._watch.close)
            yield

    def _open(self) -> Connection:
        """Connect to look at the database between the steps; that may be hours apart."""
        self._conn = self.target.connect(self.step)
        if self._conn.info.server_version >= 140000:
            self._conn.execute("SET idle_session_timeout = 0")
        return self._conn

    def _close(self) -> None:
        if self._conn is not None:
            self._conn.close()

    def _looking(self) -> Connection | None:
        """Return the connection to look with, made anew where something on the way forgot it; None without one."""
        if self._conn is None:
            return None
        try:
            self._conn.execute("SELECT 1")
        except psycopg.Error:
            self._close()
            return self._open()
        return self._conn

    def unfinished(self) -> Unfinished | None:
        """Return where an earlier session left the database, within ``alone``; None when nothing is unfinished."""
        if self._conn is None:
            return None
        return find_unfinished(self.target, self._conn, self.journal.path if self.journal is not None else None)

    def _refuse_half_done(self) -> None:
        found = self.unfinished()
        if found is not None and found.way is not Way.GO_ON:
            raise errors.GateClosed(found.words, gate="nothing half done", hint=found.next)

    def _watching(self, info: ConnectionInfo) -> ApplyWatch:
        def ended(words: str) -> None:
            self.ended.append(words)
            self.recorder.say(f"  a session in the way was ended: {words}", lasting=True)

        return ApplyWatch(
            info,
            self.recorder.say_meanwhile,
            every_s=max(0.02, min(0.2, self.waiting.lock_timeout_s / 3)),
            give_up_after_s=self.waiting.give_up_after_s,
            end_blockers=self.waiting.end_blockers,
            ended=ended,
        )

    def run(self, plan: Sequence[Any], method: str = "migrate", **args: Any) -> Any:
        """Run the plan, within ``alone``, and return the worker's answer; KeyboardInterrupt and errors as they come.

        ``plan``: the ``PlannedMigration``s that are to run; ``args`` are those of the worker's ``method``.
        """
        self.recorder.total = len(plan)
        shown = [{"app": each.app, "name": each.name, "backwards": each.backwards} for each in plan]
        self._facts = {
            "plan": shown,
            "scope": [args.get("app"), args.get("name")],
            "resume": args.get("resume"),
            "fake": bool(args.get("fake")),
            "other_databases": bool(args.get("other_databases")),
            "by": made_by(),
        }
        try:
            return self.target.ask(
                method,
                on_event=self._take,
                on_interrupt=self._cancel,
                timeout=None,
                expected=shown,
                lock_timeout=self.waiting.lock_timeout_s,
                give_up_after=self.waiting.give_up_after_s,
                fence=list(self._lock.fence) if self._lock is not None else None,
                **args,
            )
        except errors.WorkerError:
            if self._backend is not None:
                self._backend.outlive()
            raise
        except KeyboardInterrupt:
            if self._lock is not None and self._lock.lost:
                if self._backend is not None:
                    self._backend.outlive()
                raise self._lock_lost() from None
            raise

    def close_record(self, how: str) -> None:
        """Write that nothing of it runs any more, and that nothing was left half done; if it was announced at all."""
        if self._record is not None and self._announced:
            self._record.ended(how)

    def _take(self, event: str, data: dict[str, Any]) -> object:
        """Take one of the worker's events in: it goes on once this has returned."""
        try:
            return self._taken(event, data)
        except psycopg.Error as error:
            raise errors.DatabaseError(
                f"the connection that watches over it was lost: {first_line(error)}.",
                hint="look whether the server is well, then run the step again",
            ) from error

    def _taken(self, event: str, data: dict[str, Any]) -> object:
        if self._lock is not None and not self._lock.held:
            raise self._lock_lost()
        if event == "backend":
            data.update(self._facts, **self._where())
            if self._watch is not None:
                self._watch.start(data["pid"])
            if self._conn is not None:
                self._backend = WorkerBackend(self.target, data["pid"], self._conn)
        elif event == "begin" and data.get("file"):
            data["sha256"] = file_sha256(data["file"])
        elif event == "operation" or event.endswith(" begins"):
            conn = self._looking() if data.get("xid") else None
            if conn is not None:
                data["anchored"] = anchor(conn, data["xid"])
                if not data["anchored"]:
                    data["schema"] = schema_digest(conn)
            if self._watch is not None:
                self._watch.concurrent(bool(data.get("concurrent")))
        elif event.endswith(" done") and self._watch is not None:
            self._watch.concurrent(False)
        elif event == "cancelled":
            reason = self._watch.reason if self._watch is not None else ""
            if self._watch is not None:
                self._watch.concurrent(False)
            return {"reason": reason, "hint": "run it again when nothing old is open, or with a longer give_up_after_s"}
        if self._record is not None:
            self._record(event, data)
            self._announced = True
        self.recorder(event, data)
        if event == "done":
            self._hold(data)
        if self.on_event is not None:
            self.on_event(event, data)
        return None

    def _where(self) -> dict[str, Any]:
        """Return which database this is and since when its server runs: a later session has to know."""
        return database_facts(self._conn) if self._conn is not None else {}

    def _hold(self, data: Mapping[str, Any]) -> None:
        """Compare what is there with what should be, after one migration."""
        conn = self._looking()
        if self._check is None or conn is None:
            return
        wrong = self._check.wrong(conn, data)
        if wrong is not None:
            self.recorder.current = f"{data['app']}.{data['name']}"
            raise errors.MigKitError(
                f"it ran, and the database is not as it should be: {wrong}.",
                hint="look at rb.status() and rb.verify() before anything else is applied",
            )

    # When it has to stop

    def _lost(self, reason: str) -> None:
        """Stop the worker: the lock is gone, so another session may begin. In the heartbeat's thread."""
        self.target.worker.interrupt()
        self._cancel()

    def _lock_lost(self) -> errors.MigKitError:
        reason = self._lock.lost if self._lock is not None else ""
        return errors.MigKitError(
            f"the lock on migrating this database was lost: {reason}.",
            hint="look whether the server is well and rb.gates() is open, then run the step again",
        )

    def _cancel(self) -> None:
        if self._backend is not None:
            self._backend.cancel()

    def _met(self) -> dict[int, str]:
        return self._watch.met() if self._watch is not None else {}
