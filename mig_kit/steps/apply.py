"""Step 5, apply: run the pending migrations, saying what happens as it happens."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mig_kit import errors
from mig_kit.progress import Progress, ProgressCallback
from mig_kit.project.client import EventCallback
from mig_kit.steps.target import Target

if TYPE_CHECKING:
    import pandas

__all__ = ["Applied", "AppliedMigration", "PlannedMigration", "Statement", "apply", "plan"]


@dataclass(frozen=True, slots=True)
class PlannedMigration:
    """One migration that would run."""

    app: str
    name: str
    backwards: bool = False

    def __str__(self) -> str:
        return f"{self.app}.{self.name}"


@dataclass(frozen=True, slots=True)
class Statement:
    """One distinct statement of a migration: how often it ran and how long in all, in milliseconds.

    Its bound values are not kept: they may be anybody's data.
    """

    sql: str
    ms: float
    times: int = 1


@dataclass(frozen=True, slots=True)
class AppliedMigration:
    """One migration that was applied: its time in milliseconds and its statements."""

    app: str
    name: str
    ms: float
    statements: tuple[Statement, ...]

    def __str__(self) -> str:
        return f"{self.app}.{self.name}"


@dataclass(frozen=True, slots=True)
class Applied:
    """What was applied, in order; ``output`` is what Django's migrate printed."""

    migrations: tuple[AppliedMigration, ...]
    started: datetime
    duration_s: float
    output: str

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
    if name is not None and app is None:
        raise errors.UsageError(
            f"The migration {name!r} is named without its app.", hint=f"name both: rb.apply('the app', {name!r})"
        )
    return tuple(PlannedMigration(**each) for each in target.ask("plan", app=app, name=name))


class _Recorder:
    """Turn the worker's events into progress and into the record of what ran."""

    def __init__(self, total: int, progress: ProgressCallback | None, on_event: EventCallback | None) -> None:
        self.total = total
        self.progress = progress
        self.on_event = on_event
        self.done: list[AppliedMigration] = []
        self.statements: list[Statement] = []
        self.current = ""
        self.atomic = True
        self.backend_pid: int | None = None

    def __call__(self, event: str, data: dict[str, Any]) -> None:
        if event == "backend":
            self.backend_pid = data["pid"]
        elif event == "begin":
            self.current = f"{data['app']}.{data['name']}"
            self.atomic = data["atomic"]
            self.statements = []
            self._say(f"{self.current} …")
        elif event == "statement":
            self.statements.append(Statement(data["sql"], data["ms"]))
            self._say(f"  {data['ms']:8.1f} ms  {_one_line(data['sql'])}", lasting=True)
        elif event == "done":
            repeated = {each["sql"]: each for each in data["repeated"]}
            statements = tuple(_counted(each, repeated.get(each.sql)) for each in self.statements)
            self.done.append(AppliedMigration(data["app"], data["name"], data["ms"], statements))
            self._say(f"{self.current}: OK ({data['ms'] / 1000:.2f} s)", lasting=True)
            self.current = ""
        if self.on_event is not None:
            self.on_event(event, data)

    def _say(self, message: str, *, lasting: bool = False) -> None:
        if self.progress is not None:
            self.progress(Progress("apply", message, len(self.done), self.total, "migrations", lasting))


def _counted(statement: Statement, repeated: Mapping[str, Any] | None) -> Statement:
    return Statement(statement.sql, repeated["ms"], repeated["times"]) if repeated else statement


def _one_line(sql: str, limit: int = 110) -> str:
    line = " ".join(sql.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def apply(
    target: Target,
    app: str | None = None,
    name: str | None = None,
    *,
    expected: Sequence[PlannedMigration] | None = None,
    other_databases: bool = False,
    progress: ProgressCallback | None = None,
    on_event: EventCallback | None = None,
) -> Applied:
    """Apply all pending migrations, one app's, or those up to one, with the project's own ``migrate`` command.

    ``expected``: the plan that was shown; when it is another one by now, ``GateClosed`` and nothing runs. A plan
    that would go backwards is refused. A migration that writes to another database of the project is refused unless
    ``other_databases``. ``on_event`` gets the worker's events as they come (begin, statement, done); what it raises
    stops the migration, as Ctrl-C does.

    Raises ``ApplyFailed``, which says what was applied, what failed and what was not begun, by asking the database;
    ``GateClosed`` and ``UsageError`` when nothing was run. Ctrl-C cancels the running statement on the server, rolls
    the migration back as far as it is atomic, and is an ``ApplyFailed`` too.
    """
    planned = plan(target, app, name)
    back = [each for each in planned if each.backwards]
    if back:
        raise errors.UsageError(
            f"{app} {name} lies before what is applied: that would take back {', '.join(map(str, back))}.",
            hint=f"look at the way back: rb.preview({back[0].app!r}, {back[0].name!r}, backwards=True)",
        )
    wanted = planned if expected is None else expected
    recorder = _Recorder(len(planned), progress, on_event)
    started, clock = datetime.now(UTC), time.perf_counter()
    try:
        answer = target.ask(
            "migrate",
            on_event=recorder,
            on_interrupt=lambda: _cancel(target, recorder.backend_pid),
            timeout=None,
            app=app,
            name=name,
            expected=[{"app": each.app, "name": each.name, "backwards": each.backwards} for each in wanted],
            other_databases=other_databases,
        )
    except (errors.GateClosed, errors.UsageError, errors.AppNotFound, errors.MigrationNotFound) as exc:
        if not recorder.current and not recorder.done:
            raise  # nothing was run
        raise _failed(target, planned, recorder, exc) from None
    except errors.MigKitError as exc:
        raise _failed(target, planned, recorder, exc) from None
    except KeyboardInterrupt:
        raise _failed(target, planned, recorder, _interrupted()) from None
    return Applied(tuple(recorder.done), started, time.perf_counter() - clock, answer["output"])


def _cancel(target: Target, pid: int | None) -> None:
    """Cancel what the worker's backend still runs: psycopg2 does not see a signal before the statement ends."""
    if pid is None or target.info is None:
        return
    with contextlib.suppress(errors.DatabaseError), contextlib.closing(target.connect("apply")) as connection:
        connection.execute("SELECT pg_cancel_backend(%s)", [pid])


def _interrupted() -> errors.MigKitError:
    return errors.MigKitError(
        "it was interrupted.", hint="look at rb.status(), then run rb.apply() again: it goes on where this stopped"
    )


def _failed(
    target: Target, planned: Sequence[PlannedMigration], recorder: _Recorder, exc: errors.MigKitError
) -> errors.ApplyFailed:
    """Return the error that says where things stand, by asking the database, not by memory."""
    try:
        recorded = {(each["app"], each["name"]) for each in target.ask("history")}
        known = True
    except errors.MigKitError:
        recorded = {(each.app, each.name) for each in recorder.done}
        known = False
    applied = [str(each) for each in planned if (each.app, each.name) in recorded]
    rest = [str(each) for each in planned if str(each) not in applied and str(each) != recorder.current]
    lines = [f"{recorder.current or 'migrate'} failed: {exc.message}"]
    lines.append(f"Applied: {', '.join(applied) or 'none'}. Not begun: {', '.join(rest) or 'none'}.")
    if recorder.current in applied:
        lines.append(f"{recorder.current} itself is recorded as applied: what failed came after its commit.")
    elif recorder.current and not recorder.atomic:
        lines.append(f"{recorder.current} is not atomic: what it did before it failed stays done.")
    if not known:
        lines.append("The database could not be asked: this is what was seen before.")
    return errors.ApplyFailed(
        "\n".join(lines),
        applied=applied,
        failed=recorder.current,
        not_applied=rest,
        hint=exc.hint
        or "mend the cause, look at rb.status(), then run rb.apply() again: it goes on where this stopped",
        traceback=getattr(exc, "traceback", ""),
    )
