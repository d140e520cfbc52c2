"""Rehearse: run the plan on a restored copy, forwards, backwards and forwards again, and measure each statement."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from mig_kit import errors
from mig_kit.postgres import Connection, ConnectionInfo, connect
from mig_kit.progress import Progress, ProgressCallback
from mig_kit.project import Worker
from mig_kit.steps._rehearsal import Outcome, Rehearsal, RehearsalMode, RehearsedMigration
from mig_kit.steps._rehearsal_backup import rehearsal_backup
from mig_kit.steps._rehearsal_databases import places
from mig_kit.steps._rehearsal_events import MigrationRun
from mig_kit.steps._rehearsal_foreign import cut_off
from mig_kit.steps._rehearsal_result import Sizes, rehearsed, signals
from mig_kit.steps._rehearsal_run import Passes
from mig_kit.steps._rehearsed_statement import Extrapolated, Observed, RehearsedLock, RehearsedStatement
from mig_kit.steps._restored import Restored, restored_template
from mig_kit.steps._way_back import BackOutcome, Loss, ValuesChanged, WayBack
from mig_kit.steps.apply import PlannedMigration, plan
from mig_kit.steps.backup import Backup
from mig_kit.steps.target import Target

__all__ = [
    "BackOutcome",
    "Extrapolated",
    "Loss",
    "Observed",
    "Outcome",
    "Rehearsal",
    "RehearsalMode",
    "RehearsedLock",
    "RehearsedMigration",
    "RehearsedStatement",
    "ValuesChanged",
    "WayBack",
    "rehearse",
]


def rehearse(
    target: Target,
    app: str | None = None,
    name: str | None = None,
    *,
    backup: Backup | None = None,
    backwards: bool = True,
    scratch: ConnectionInfo | None = None,
    other_databases: bool = False,
    progress: ProgressCallback | None = None,
) -> Rehearsal:
    """Run all pending migrations, one app's, or those up to one, on a restored copy, and say what each did.

    The copy is of ``backup``, or of the latest verified one of this database, which has to be newer than the last
    applied migration. Unless ``backwards`` is False each migration is then taken back, as far as it can be, and run
    again. A migration that fails is a result, not an error. The real database is asked for its plan and its history,
    and the process that runs the migrations can reach nothing but the copy, which is dropped at the end.

    ``scratch``: a server of the user's to work on. Raises BackupError without a backup that fits, UsageError for a
    plan that goes backwards, and what finding the plan, restoring and connecting raise.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    target.need_postgres("rehearse")
    planned = plan(target, app, name)
    if back := [each for each in planned if each.backwards]:
        raise errors.UsageError(
            f"{app} {name} lies before what is applied: that would take back {', '.join(map(str, back))}.",
            hint="a rehearsal goes forwards, and takes back what it ran: name a migration that is pending",
        )
    say = _Saying(len(planned) * (3 if backwards else 1), progress)
    if not planned:
        return _nothing(target, started, clock)
    chosen = rehearsal_backup(target, backup)
    where = places(target)
    restored = restored_template(chosen, scratch=scratch, progress=progress)
    with contextlib.ExitStack() as stack:
        server = restored.scratch
        copying = time.perf_counter()
        copy = stack.enter_context(server.database(restored.database))
        copy_s = time.perf_counter() - copying
        foreign = cut_off(copy)

        def empty() -> ConnectionInfo:
            return stack.enter_context(server.database())

        worker = stack.enter_context(
            contextlib.closing(
                Worker(
                    target.project,
                    isolation=where.isolation(target, copy, empty),
                    migrations=target.worker.migrations,
                )
            )
        )
        reference = stack.enter_context(_reference(restored))
        scope = {"app": app, "name": name, "other_databases": other_databases}
        passes = Passes(worker, target.database, copy, scope, say, reference)
        passes.run(backwards=backwards)
    sizes = Sizes(chosen.rows, chosen.sizes, chosen.rows)
    return Rehearsal(
        project=str(target.project.root),
        database=target.database,
        backup=chosen.path.name,
        scratch=restored.scratch.words,
        mode=RehearsalMode.FULL,
        mode_words="every row of every table was there",
        notes=(*restored.notes, *where.notes, *foreign),
        migrations=rehearsed(planned, passes, sizes, tried=backwards, files=_files(target, planned, passes)),
        started=started,
        duration_s=time.perf_counter() - clock,
        restore_s=0.0 if restored.reused else restored.restore_s,
        copy_s=copy_s,
        template_reused=restored.reused,
        signals_error=passes.outside_error,
        signals=signals(passes, sizes),
        schema=next((each.schema_after for each in reversed(passes.trips.values()) if each.schema_after), None),
    )


def _files(target: Target, planned: Sequence[PlannedMigration], passes: Passes) -> dict[str, str]:
    """Return the files of the migrations that were not begun."""
    rest = [[each.app, each.name] for each in planned if (each.app, each.name) not in passes.trips]
    if not rest:
        return {}
    return {f"{each['app']}.{each['name']}": each["file"] or "" for each in target.ask("operations", migrations=rest)}


class _Saying:
    """Say which migration is done, of those of all passes."""

    def __init__(self, total: int, progress: ProgressCallback | None) -> None:
        self._done, self._total, self._progress = 0, total, progress

    def __call__(self, way: str, run: MigrationRun) -> None:
        self._done += 1
        if self._progress is not None:
            words = {"forwards": "ran", "backwards": "was taken back", "again": "ran again"}[way]
            message = f"{run.app}.{run.name} {words} ({run.ms / 1000:.2f} s)"
            self._progress(Progress("rehearse", message, self._done, self._total, "migrations", lasting=True))


class _Reference:
    """A second copy, on which nothing runs: what the values were. It is made when it is first asked for."""

    def __init__(self, restored: Restored, stack: contextlib.ExitStack) -> None:
        self._restored, self._stack = restored, stack
        self._conn: Connection | None = None

    def __call__(self) -> Connection | None:
        if self._conn is None:
            info = self._stack.enter_context(self._restored.scratch.database(self._restored.database))
            self._conn = self._stack.enter_context(contextlib.closing(connect(info)))
        return self._conn


@contextlib.contextmanager
def _reference(restored: Restored) -> Iterator[_Reference]:
    with contextlib.ExitStack() as stack:
        yield _Reference(restored, stack)


def _nothing(target: Target, started: datetime, clock: float) -> Rehearsal:
    return Rehearsal(
        project=str(target.project.root),
        database=target.database,
        backup="",
        scratch="",
        mode=RehearsalMode.FULL,
        mode_words="nothing was restored, for nothing is pending",
        notes=(),
        migrations=(),
        started=started,
        duration_s=time.perf_counter() - clock,
        restore_s=0.0,
        copy_s=0.0,
        template_reused=False,
    )
