"""Step 5, apply: run the pending migrations, saying what happens as it happens."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mig_kit import errors
from mig_kit.progress import ProgressCallback
from mig_kit.project.client import EventCallback
from mig_kit.record import Journal
from mig_kit.steps._apply_failed import failed, interrupted
from mig_kit.steps._apply_record import AppliedMigration, Statement
from mig_kit.steps._migrating import Migrating
from mig_kit.steps.apply_journal import REFUSED
from mig_kit.steps.done_check import Checked
from mig_kit.steps.target import Target
from mig_kit.steps.waiting import Waiting

if TYPE_CHECKING:
    import pandas

__all__ = [
    "Applied",
    "AppliedMigration",
    "PlannedMigration",
    "Statement",
    "Waiting",
    "apply",
    "migrate",
    "plan",
]


@dataclass(frozen=True, slots=True)
class PlannedMigration:
    """One migration that would run."""

    app: str
    name: str
    backwards: bool = False

    def __str__(self) -> str:
        return f"{self.app}.{self.name}"


@dataclass(frozen=True, slots=True)
class Applied:
    """What was applied, in order; ``output`` is what Django's migrate printed.

    ``ended``: the sessions that were ended because they were in the way, in words.
    """

    migrations: tuple[AppliedMigration, ...]
    started: datetime
    duration_s: float
    output: str
    ended: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<Applied: {len(self.migrations)} migrations in {self.duration_s:.2f} s>"

    def __bool__(self) -> bool:
        return bool(self.migrations)

    def to_frame(self) -> pandas.DataFrame:
        """Return one row a statement: migration, ms, times, statement."""
        import pandas

        rows = [(str(m), round(s.ms, 1), s.times, s.sql) for m in self.migrations for s in m.statements]
        return pandas.DataFrame(rows, columns=["migration", "ms", "times", "statement"])


def plan(target: Target, app: str | None = None, name: str | None = None) -> tuple[PlannedMigration, ...]:
    """Return what ``migrate [APP [NAME]]`` would run, in order; read-only.

    Raises ``AppNotFound``, ``MigrationNotFound`` with the nearest names, and ``UsageError`` for a name without its
    app, which ``migrate`` itself would not take either.
    """
    _whole_name(app, name)
    return tuple(PlannedMigration(**each) for each in target.ask("plan", app=app, name=name))


def _whole_name(app: str | None, name: str | None) -> None:
    if name is not None and app is None:
        raise errors.UsageError(
            f"The migration {name!r} is named without its app.", hint=f"name both: rb.apply('the app', {name!r})"
        )


def apply(
    target: Target,
    app: str | None = None,
    name: str | None = None,
    *,
    expected: Sequence[PlannedMigration] | None = None,
    other_databases: bool = False,
    waiting: Waiting | None = None,
    checked: Checked | None = None,
    expected_ms: Mapping[str, float] | None = None,
    journal: Journal | None = None,
    progress: ProgressCallback | None = None,
    on_event: EventCallback | None = None,
) -> Applied:
    """Apply all pending migrations, one app's, or those up to one, with the project's own ``migrate`` command.

    On PostgreSQL it is the only session that migrates the database, waits for locks as ``waiting`` says, and writes an
    atomic migration and its record in one transaction. After each migration its record and the indexes are looked at,
    and ``checked`` is asked.

    ``expected``: the plan that was shown; when it is another one by now, ``GateClosed`` and nothing runs. A plan
    that would go backwards is refused. A migration that writes to another database of the project is refused unless
    ``other_databases``. ``on_event`` gets the worker's events as they come (begin, statement, done …); the worker does
    not begin a migration, or a part of one that is not atomic, before it has returned. What it raises stops the
    migration, as Ctrl-C does. The same goes for what cannot be written to ``journal``. ``expected_ms``: how long each
    migration took when it was rehearsed, by ``app.name``.

    Raises ``ApplyFailed``, which says what was applied, what failed and what was not begun, by asking the database;
    ``GateClosed`` and ``UsageError`` when nothing was run. Ctrl-C cancels the running statement on the server, rolls
    the migration back as far as it is atomic, and is an ``ApplyFailed`` too.
    """
    _whole_name(app, name)
    run = Migrating(target, "apply", progress, on_event, waiting or Waiting(), checked, expected_ms or {}, journal)
    with run.alone():
        planned = plan(target, app, name)
        back = [each for each in planned if each.backwards]
        if back:
            raise errors.UsageError(
                f"{app} {name} lies before what is applied: that would take back {', '.join(map(str, back))}.",
                hint=f"look at the way back: rb.preview({back[0].app!r}, {back[0].name!r}, backwards=True)",
            )
        wanted = planned if expected is None else expected
        return migrate(run, wanted, app=app, name=name, other_databases=other_databases)


def migrate(run: Migrating, plan: Sequence[PlannedMigration], **args: Any) -> Applied:
    """Run a plan within ``run.alone()`` and return what was applied, or raise where things stand.

    ``args`` are those of the worker's ``migrate``.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    stopped: errors.MigKitError
    cause: BaseException
    try:
        answer = run.run(plan, **args)
    except (errors.GateClosed, errors.UsageError, errors.AppNotFound, errors.MigrationNotFound) as exc:
        if not run.recorder.current and not run.recorder.done:
            run.close_record(REFUSED)
            raise  # nothing was run
        stopped = cause = exc
    except errors.MigKitError as exc:
        stopped = cause = exc
    except KeyboardInterrupt as exc:
        stopped, cause = interrupted(), exc
    else:
        run.close_record("finished")
        done, took = tuple(run.recorder.done), time.perf_counter() - clock
        return Applied(done, started, took, answer["output"], tuple(run.ended))
    failure = failed(run, plan, stopped)
    if not failure.unfinished:
        with contextlib.suppress(errors.RecordError):  # the failure itself is what people have to hear of
            run.close_record("failed")
    failure.__context__ = cause  # a command line has to know that it was Ctrl-C, or SIGTERM
    raise failure from None
