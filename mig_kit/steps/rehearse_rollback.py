"""Rehearse a way back: run it on a restored copy of the database as it is now, and say how it went."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mig_kit import errors
from mig_kit.postgres import ConnectionInfo, connect
from mig_kit.postgres.observe import FULL_SQL, SETTLE_SQL, TOUCHED_SQL
from mig_kit.progress import Progress, ProgressCallback
from mig_kit.project import Worker
from mig_kit.steps._lock_watch import LockWatch
from mig_kit.steps._migration_run import MigrationRun
from mig_kit.steps._rehearsal_backup import rehearsal_backup
from mig_kit.steps._rehearsal_databases import places
from mig_kit.steps._rehearsal_events import RunRecord
from mig_kit.steps._rehearsal_foreign import cut_off
from mig_kit.steps._restored import restored_template
from mig_kit.steps.apply import PlannedMigration, plan
from mig_kit.steps.backup import Backup
from mig_kit.steps.target import Target

if TYPE_CHECKING:
    import pandas

__all__ = ["RehearsedWayBack", "RollbackRehearsal", "rehearse_rollback"]

_QUERIES = {"whole": FULL_SQL, "touched": TOUCHED_SQL, "settle": SETTLE_SQL}


@dataclass(frozen=True, slots=True)
class RehearsedWayBack:
    """State how long taking one migration back took on the copy, in milliseconds, and in how many statements.

    ``sha256``: its file's, as it was rehearsed.
    """

    app: str
    name: str
    ms: float
    statements: int
    sha256: str

    def __str__(self) -> str:
        return f"{self.app}.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackRehearsal:
    """State how a way back went on a restored copy, in the order it ran. ``ok``: it went to its end.

    ``failed``: the migration at which it stopped, and ``error`` why, '' where it did not. ``planned``: all of them.
    """

    app: str
    name: str
    backup: str
    scratch: str
    planned: tuple[PlannedMigration, ...]
    migrations: tuple[RehearsedWayBack, ...]
    failed: str
    error: str
    started: datetime
    duration_s: float

    def __repr__(self) -> str:
        how = f"stopped at {self.failed}" if self.failed else "passed"
        return f"<RollbackRehearsal of {self.app} to {self.name} on {self.backup}: {how}>"

    def __bool__(self) -> bool:
        return self.ok

    @property
    def ok(self) -> bool:
        """It went to its end."""
        return not self.failed and not self.error

    def to_frame(self) -> pandas.DataFrame:
        """Return one row a migration: migration, state, ms, statements."""
        import pandas

        ran = {str(each): each for each in self.migrations}
        rows = []
        for each in map(str, self.planned):
            state = "taken back" if each in ran else f"failed: {self.error}" if each == self.failed else "not begun"
            done = ran.get(each)
            rows.append((each, state, round(done.ms, 1) if done else None, done.statements if done else None))
        return pandas.DataFrame(rows, columns=["migration", "state", "ms", "statements"])


def rehearse_rollback(
    target: Target,
    app: str,
    name: str,
    *,
    backup: Backup | None = None,
    scratch: ConnectionInfo | None = None,
    other_databases: bool = False,
    progress: ProgressCallback | None = None,
) -> RollbackRehearsal:
    """Take the migrations of ``app`` after ``name`` back on a copy, and say how it went; a failure is a result.

    The copy is of ``backup``, or of the latest verified one of this database, which has to be newer than the last
    applied migration. The process that runs it can reach nothing but the copy, which is dropped at the end. Raises
    BackupError without a backup that fits, UsageError where there is nothing to take back.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    target.need_postgres("rehearse")
    planned = plan(target, app, name)
    if not planned or not all(each.backwards for each in planned):
        raise errors.UsageError(
            f"Going to {app} {name} takes nothing back.", hint="name one before the last that is applied, or zero"
        )
    chosen = rehearsal_backup(target, backup)
    where = places(target)
    restored = restored_template(chosen, scratch=scratch, progress=progress)
    done: list[MigrationRun] = []

    def say(run: MigrationRun) -> bool:
        done.append(run)
        if progress is not None:
            words = f"{run.app}.{run.name} was taken back ({run.ms / 1000:.2f} s)"
            progress(Progress("rehearse", words, len(done), len(planned), "migrations", lasting=True))
        return False

    with contextlib.ExitStack() as stack:
        copy = stack.enter_context(restored.scratch.database(restored.database))
        cut_off(copy)

        def empty() -> ConnectionInfo:
            return stack.enter_context(restored.scratch.database())

        isolation = where.isolation(target, copy, empty)
        worker = stack.enter_context(
            contextlib.closing(Worker(target.project, isolation=isolation, migrations=target.worker.migrations))
        )
        watch = stack.enter_context(contextlib.closing(LockWatch(copy)))
        record = RunRecord(watch, say)
        error = _run(worker, target.database, copy, record, planned, other_databases)
    failed = ""
    if error is not None:
        failed = str(planned[len(done)]) if len(done) < len(planned) else str(planned[-1])
    return RollbackRehearsal(
        app=app,
        name=name,
        backup=chosen.path.name,
        scratch=restored.scratch.words,
        planned=planned,
        migrations=tuple(
            RehearsedWayBack(each.app, each.name, each.ms, len(each.statements), each.sha256) for each in done
        ),
        failed=failed,
        error=error.message if error is not None else "",
        started=started,
        duration_s=time.perf_counter() - clock,
    )


def _run(
    worker: Worker,
    database: str,
    copy: ConnectionInfo,
    record: RunRecord,
    planned: Sequence[PlannedMigration],
    other_databases: bool,
) -> errors.MigKitError | None:
    """Run the way back; return why it ended before its end. Ctrl-C, and a worker that died, are raised."""

    def cancel() -> None:
        if record.backend_pid is not None:
            with contextlib.suppress(errors.MigKitError), contextlib.closing(connect(copy)) as conn:
                conn.execute("SELECT pg_cancel_backend(%s)", [record.backend_pid])

    try:
        worker.call(
            "rehearse",
            on_event=record,
            on_interrupt=cancel,
            timeout=None,
            database=database,
            queries=_QUERIES,
            way="backwards",
            other_databases=other_databases,
            plan=[[each.app, each.name] for each in reversed(planned)],
        )
    except (errors.OperationFailed, errors.GateClosed, errors.MigrationGraphError) as exc:
        return exc
    return None
