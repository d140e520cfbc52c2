"""Take migrations back, to one of an app's migrations or to zero; shown first, with the data that will be lost.

There are two calls. The first shows what would run, what it takes away and how the gates stand; the second one, with
the name of the database, does it. So it is in every stage: what a rollback takes away, nothing brings back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mig_kit import errors
from mig_kit.hazards.assessment import Assessment
from mig_kit.hazards.plan import PlanMigration, plan_of
from mig_kit.hazards.taken import Taken, TakenKind, Taking, defaults_of
from mig_kit.progress import ProgressCallback
from mig_kit.project.client import EventCallback
from mig_kit.record import Journal
from mig_kit.steps._migrating import Migrating
from mig_kit.steps.apply import Applied, PlannedMigration, Waiting, migrate, plan
from mig_kit.steps.data_loss import Candidate, DataLoss, count_losses
from mig_kit.steps.gate_points import DATA_LOSS, Point, points_of
from mig_kit.steps.gates import Gates
from mig_kit.steps.plan_hash import HashedPlan, hash_replayed
from mig_kit.steps.preview import MigrationSql, SqlPlan, preview
from mig_kit.steps.rollback_hazards import assess_way_back
from mig_kit.steps.target import Target

if TYPE_CHECKING:
    import pandas

__all__ = ["Irreversible", "RollbackPlan", "RolledBack", "plan_rollback", "roll_back", "rollback_points"]


# Django looks for the names of constraints in the database, and raises where it is not at the state just after them.
_KEEPS_DATA = ("AlterIndexTogether", "AlterUniqueTogether", "DeleteModel", "RemoveField", "RenameIndex")


@dataclass(frozen=True, slots=True)
class Irreversible:
    """Name an operation that cannot be taken back."""

    migration: str
    operation: str

    def __str__(self) -> str:
        return f"{self.migration}: {self.operation}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackPlan:
    """State what going back to ``name`` of ``app`` would run, in order, and what it takes away; nothing has run.

    ``name``: the migration that stays the last one applied, or ``zero``. ``losses``: counted on the live database.
    ``assessment``: what its statements lock and work through, and whether the release that runs now works on after it.
    ``irreversible``: what stands in the way; while there is any, it is refused. ``unsure``: operations of which only
    their author knows whether they can be taken back. ``gates``: as they stand, None before anybody looked.
    """

    app: str
    name: str
    database: str
    migrations: tuple[PlannedMigration, ...]
    hashed: HashedPlan
    sql: SqlPlan
    losses: tuple[DataLoss, ...]
    assessment: Assessment
    irreversible: tuple[Irreversible, ...] = ()
    unsure: tuple[Irreversible, ...] = ()
    gates: Gates | None = None

    def __repr__(self) -> str:
        to = f"{self.app} to {self.name}"
        if self.irreversible:
            return f"<RollbackPlan of {to}: irreversible at {self.irreversible[0]}>"
        return f"<RollbackPlan of {to}: {len(self.migrations)} migrations, {len(self.lost)} losses>"

    def __bool__(self) -> bool:
        return bool(self.migrations)

    @property
    def lost(self) -> tuple[DataLoss, ...]:
        """What is lost, or may be: that of which it is known that it holds nothing is left out."""
        return tuple(each for each in self.losses if not each.nothing)

    @property
    def fails(self) -> tuple[DataLoss, ...]:
        """What makes it fail on what is there now."""
        return tuple(each for each in self.losses if each.fails)

    def to_frame(self) -> pandas.DataFrame:
        """Return one row for what is taken away: migration, table, column, what, rows, values, lost, note."""
        import pandas

        rows = [
            (each.migration, each.table, each.column, each.what, each.rows, each.values, each.lost, _note(each))
            for each in self.losses
        ]
        columns = ["migration", "table", "column", "what", "rows", "values", "lost", "note"]
        frame = pandas.DataFrame(rows, columns=columns)
        return frame.astype(dict.fromkeys(("rows", "values", "lost"), "Int64"))

    def refuse(self) -> None:
        """Raise ``GateClosed`` when something on the way cannot be taken back."""
        if not self.irreversible:
            return
        listed = "; ".join(map(str, self.irreversible[:3]))
        more = f" and {len(self.irreversible) - 3} more" if len(self.irreversible) > 3 else ""
        raise errors.GateClosed(
            f"{self.app} cannot be taken back to {self.name}, nothing was run. Irreversible: {listed}{more}.",
            gate="reversible",
            hint="restore a backup from before it: mig-kit restore; or write the way back into the migration "
            "(reverse_code, reverse_sql) when it is known what that is",
        )


@dataclass(frozen=True, slots=True)
class RolledBack:
    """State what was taken back, as it was shown and as it went."""

    plan: RollbackPlan
    applied: Applied

    def __repr__(self) -> str:
        count = len(self.applied.migrations)
        return f"<RolledBack: {count} migrations in {self.applied.duration_s:.2f} s>"

    def __bool__(self) -> bool:
        return bool(self.applied)

    def to_frame(self) -> pandas.DataFrame:
        """Return one row a statement: migration, ms, times, statement."""
        return self.applied.to_frame()


def plan_rollback(target: Target, app: str, name: str) -> RollbackPlan:
    """Return what ``migrate APP NAME`` would take back, its SQL, and what that takes away. Read-only.

    ``name``: the migration that is to stay, or ``zero``. Where the app is at it already, there are no migrations.
    Raises ``UsageError`` for a name that lies ahead, ``AppNotFound`` and ``MigrationNotFound`` with the nearest names.
    """
    info = target.need_postgres("rollback")
    planned = plan(target, app, name)
    ahead = [each for each in planned if not each.backwards]
    if ahead:
        raise errors.UsageError(
            f"{app} {name} lies ahead: {ahead[0]} is not applied.", hint=f"rb.apply({app!r}, {name!r}) goes there"
        )
    found = [_replayed(target, each) for each in planned]
    pairs = [(each.app, each.name) for each in planned]
    sql = preview(target, migrations=pairs, backwards=True) if planned else SqlPlan(())
    losses: tuple[DataLoss, ...] = ()
    candidates = list(_candidates(sql.migrations, found))
    if candidates:
        with contextlib.closing(target.connect("rollback")) as connection:
            losses = count_losses(connection, candidates)
    return RollbackPlan(
        app=app,
        name=name,
        database=info.dbname,
        migrations=planned,
        hashed=hash_replayed(planned, found),
        sql=sql,
        losses=losses,
        assessment=assess_way_back(target, sql, found),
        irreversible=tuple(_answering(found, False)),
        unsure=tuple(_answering(found, None)),
    )


def _replayed(target: Target, planned: PlannedMigration) -> PlanMigration:
    wanted = plan_of(target.ask("replay", app=planned.app, name=planned.name)).wanted
    return wanted[0]


def _answering(found: Sequence[PlanMigration], reversible: bool | None) -> Iterable[Irreversible]:
    for migration in found:
        for each in migration.operations:
            if each.reversible is reversible:
                yield Irreversible(str(migration), each.within or each.describe)


def _candidates(migrations: Sequence[MigrationSql], found: Sequence[PlanMigration]) -> Iterable[Candidate]:
    """Give what the statements take away, in the order they run, names followed through the whole plan."""
    taking = Taking()
    for migration, replayed in zip(migrations, found, strict=True):
        label = f"{migration.app}.{migration.name}"
        defaults = defaults_of(text for each in replayed.operations for text in each.statements)
        harmless = _without_effect(replayed)
        for place, operation in enumerate(reversed(migration.operations)):
            if operation.note and not operation.statements and place not in harmless:
                yield Candidate(label, operation.description, Taken(TakenKind.UNREAD), note=operation.note)
        for operation in migration.operations:
            for statement in operation.statements:
                for taken in taking.take(statement):
                    yield Candidate(label, operation.description, taken, defaults.get(taken.at_the_time))
        for statement in migration.deferred:
            for taken in taking.take(statement):
                yield Candidate(label, "held back until the end", taken, defaults.get(taken.at_the_time))


def _without_effect(migration: PlanMigration) -> set[int]:
    """Return the places of the operations that take nothing away, though nobody can show their SQL."""
    found: dict[int, list[bool]] = {}
    for data, each in zip(migration.plain["operations"], migration.operations, strict=True):
        noop = each.python is not None and each.python.reverse_noop
        refused = each.reversible is False  # it is told elsewhere that it cannot be taken back
        found.setdefault(data["index"], []).append(noop or refused or each.kind in _KEEPS_DATA)
    return {index for index, answers in found.items() if all(answers)}


def rollback_points(shown: RollbackPlan) -> tuple[Point, ...]:
    """Return what a way back asks of people: the data that is lost, its hazards, and the release that runs now."""
    points = list(points_of(shown.assessment))
    for each in shown.lost:
        words = f"{each}. {each.note}".rstrip(". ") + "."
        points.append(
            Point(
                id=DATA_LOSS,
                migration=each.migration,
                message=words,
                about=f"{each.table}.{each.column}" if each.column else each.table,
                evidence="catalog" if each.lost is not None else "unknown",
            )
        )
    return tuple(points)


def roll_back(
    target: Target,
    shown: RollbackPlan,
    *,
    other_databases: bool = False,
    waiting: Waiting | None = None,
    journal: Journal | None = None,
    progress: ProgressCallback | None = None,
    on_event: EventCallback | None = None,
) -> RolledBack:
    """Take back what was shown, the way an apply is done: as the only session, watched over, each step written down.

    Refuses what is irreversible before anything runs, and another plan than was shown. Raises ``ApplyFailed``, which
    says what was taken back, what failed and what was not begun; ``GateClosed`` when nothing was run.
    """
    shown.refuse()
    run = Migrating(target, "rollback", progress, on_event, waiting or Waiting(), journal=journal)
    with run.alone():
        applied = migrate(run, shown.migrations, app=shown.app, name=shown.name, other_databases=other_databases)
    return RolledBack(shown, applied)


def _note(loss: DataLoss) -> str:
    return "; ".join(filter(None, (loss.note, f"the way back fails on it: {loss.fails}" if loss.fails else "")))
