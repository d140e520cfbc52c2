"""What a rehearsal found: the whole of it, and each migration, on a restored copy, measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

from mig_kit.hazards.assessment import Assessment, MigrationAssessment, Verdict, VerdictKind
from mig_kit.hazards.finding import Finding, Severity
from mig_kit.steps._rehearsed_statement import RehearsedStatement
from mig_kit.steps._way_back import ValuesChanged, WayBack

if TYPE_CHECKING:
    import pandas

    from mig_kit.postgres.schema import Schema, SchemaChange

__all__ = ["Outcome", "Rehearsal", "RehearsalMode", "RehearsedMigration"]


class RehearsalMode(Enum):
    """How much of the data was there."""

    FULL = "full"  # every row of every table
    AFFECTED = "affected tables"  # every row of the tables the plan locks and of their neighbours; no rows elsewhere
    SAMPLES = "samples"  # a part of the rows of those tables, at two sizes, and the time extrapolated

    def __str__(self) -> str:
        return self.value


class Outcome(Enum):
    """What became of a migration going forwards."""

    DONE = "done"
    FAILED = "failed"
    NOT_BEGUN = "not begun"  # one before it failed

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearsedMigration:
    """State what one migration did to the copy; times are in milliseconds.

    ``began_ms``: since the first one began, what observing took left out; ``commit_ms``: of ``ms``, what its commits
    took. ``error``: why it failed, '' else. ``schema_changes``: what it made of the schema. ``values_changed``: columns
    whose values are others after it, table by table. ``reversible``: None where that was not tried. ``file`` and
    ``sha256``: the migration's file as it was rehearsed.
    """

    app: str
    name: str
    atomic: bool
    outcome: Outcome
    error: str
    began_ms: float
    ms: float
    commit_ms: float
    statements: tuple[RehearsedStatement, ...]
    schema_changes: tuple[SchemaChange, ...]
    values_changed: tuple[ValuesChanged, ...]
    lock_safety: Verdict
    compatibility: Verdict
    reversible: bool | None
    way_back: WayBack
    findings: tuple[Finding, ...]
    file: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.app}.{self.name}"

    @property
    def extrapolated_ms(self) -> float | None:
        """How long it would take on every row, from samples; None where that cannot be told."""
        each = [one.ms if one.extrapolated is None else one.extrapolated.ms for one in self.statements]
        return (
            None
            if None in each
            else self.ms + sum(map(float, filter(None, each))) - sum(one.ms for one in self.statements)
        )

    @property
    def verdict(self) -> str:
        """Say both verdicts on one line, with the evidence."""
        return f"lock safety: {self.lock_safety}; old code: {self.compatibility}"

    @property
    def assessment(self) -> MigrationAssessment:
        """Return it in the shape that ``check`` has as well."""
        return MigrationAssessment(
            self.app,
            self.name,
            self.lock_safety,
            self.compatibility,
            self.reversible,
            tuple(each.assessed for each in self.statements),
            self.findings,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """State what a plan did to a restored copy of the database, forwards, backwards and forwards again.

    ``project``: its root; ``database``: the alias; ``backup``: the name of the one that was restored. ``scratch`` says
    where. ``mode_words`` say what the mode means for the verdicts, ``notes`` what else was done to the copy, a sentence
    each. ``template_reused``: no restore was needed. ``schema``: after the last migration, going forwards.
    ``restore_s``, ``copy_s`` and ``duration_s`` (of all) are in seconds.
    ``signals``: what the handlers of pre_migrate and post_migrate ran before the first and after the last migration;
    ``signals_error``: why one failed, '' else. ``plan_hash``: which plan it was, by its files and the SQL that follows
    from them (``HashedPlan.sha256``); the gates know it by that.
    """

    project: str
    database: str
    backup: str
    scratch: str
    mode: RehearsalMode
    mode_words: str
    notes: tuple[str, ...]
    migrations: tuple[RehearsedMigration, ...]
    started: datetime
    duration_s: float
    restore_s: float
    copy_s: float
    template_reused: bool
    signals_error: str = ""
    signals: tuple[RehearsedStatement, ...] = ()
    schema: Schema | None = None
    plan_hash: str = ""

    def __repr__(self) -> str:
        unsafe = sum(each.lock_safety.kind is VerdictKind.UNSAFE for each in self.migrations)
        failed = next((f", {each} failed" for each in self.migrations if each.outcome is Outcome.FAILED), "")
        return (
            f"<Rehearsal of {len(self.migrations)} migrations on {self.backup}: {unsafe} not lock-safe, "
            f"{len(self.findings)} findings{failed}>"
        )

    def __bool__(self) -> bool:
        return bool(self.migrations)

    @property
    def ok(self) -> bool:
        """It passed: every migration ran, and each way back that there is led back to the schema as it was."""
        ran = all(each.outcome is Outcome.DONE and each.way_back.ok for each in self.migrations)
        return ran and not self.signals_error

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every finding, in order."""
        return tuple(each for migration in self.migrations for each in migration.findings) + self.remarks

    @property
    def remarks(self) -> tuple[Finding, ...]:
        """The findings about no migration of the plan: a handler of Django's signals that failed."""
        if not self.signals_error:
            return ()
        message = f"The migrations ran, and a handler of Django's signals failed beside them: {self.signals_error}"
        hint = "mend the handler: migrate would fail there, too"
        return (Finding("MK533", Severity.ERROR, "", "", "", message, hint, "measured"),)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that are errors."""
        return tuple(each for each in self.findings if each.severity is Severity.ERROR)

    @property
    def forwards_ms(self) -> float:
        """How long the migrations took going forwards, in milliseconds."""
        return sum(each.ms for each in self.migrations)

    @property
    def assessment(self) -> Assessment:
        """Return it in the shape that ``check`` has as well."""
        notes = (f"Rehearsed on {self.backup}, {self.scratch}: {self.mode_words}.", *self.notes) if self else ()
        return Assessment(
            self.project, self.database, tuple(each.assessment for each in self.migrations), notes, self.remarks
        )

    def of(self, app: str, name: str) -> RehearsedMigration | None:
        """Return one migration's rehearsal, None when it was not in the plan."""
        return next((each for each in self.migrations if (each.app, each.name) == (app, name)), None)

    def as_json(self) -> dict[str, Any]:
        """Return the document of ``mig-kit rehearse --json``, which has the shape of ``mig-kit check --json``."""
        return self.assessment.as_json()

    def to_frame(self) -> pandas.DataFrame:
        """Return one row a statement, in the order they ran, forwards."""
        import pandas

        columns = ["migration", "operation", "statement", "ms", "times", "locks", "work", "rows", "WAL", "growth"]
        rows = [
            (
                str(migration),
                each.operation,
                each.sql,
                round(each.ms, 1),
                each.times,
                ", ".join(f"{lock.mode} on {lock.relation} ({lock.held_ms:,.1f} ms)" for lock in each.locks),
                ", ".join(map(str, each.work)),
                each.rows_changed,
                each.seen.wal_bytes,
                each.seen.growth_bytes,
            )
            for migration, each in self._statements()
        ]
        return pandas.DataFrame(rows, columns=columns)

    def locks_frame(self) -> pandas.DataFrame:
        """Return one row a migration, table and lock mode: when it was first taken, how long it was held, who waits."""
        import pandas

        columns = ["migration", "table", "mode", "taken ms", "held ms", "blocks"]
        rows = [
            (str(migration), lock.relation, str(lock.mode), lock.taken_ms, lock.held_ms, str(lock.blocks))
            for migration, each in self._statements()
            for lock in each.locks
            if lock.is_table
        ]
        frame = pandas.DataFrame(rows, columns=columns)
        grouped = frame.groupby(["migration", "table", "mode", "blocks"], sort=False, as_index=False)
        found = grouped.agg({"taken ms": "min", "held ms": "max"})
        return found[columns].round({"taken ms": 1, "held ms": 1})

    def _statements(self) -> Iterator[tuple[RehearsedMigration, RehearsedStatement]]:
        return ((migration, each) for migration in self.migrations for each in migration.statements)


for _each in (Outcome, Rehearsal, RehearsalMode, RehearsedMigration):
    _each.__module__ = "mig_kit.steps.rehearse"
