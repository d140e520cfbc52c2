"""Record migrations without running them, or take their records back; refused where the schema is not as they leave it.

As with a rollback there are two calls: the first shows what would be recorded and where the schema differs, the second
one, with the name of the database, records it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mig_kit import errors
from mig_kit.hazards.plan import PlanMigration, plan_of
from mig_kit.hazards.state_catalog import catalog_of_state
from mig_kit.progress import ProgressCallback
from mig_kit.project.client import EventCallback
from mig_kit.record import Journal
from mig_kit.steps._migrating import Migrating
from mig_kit.steps.apply import Applied, PlannedMigration, Waiting, migrate, plan
from mig_kit.steps.gates import Gates
from mig_kit.steps.plan_hash import HashedPlan, hash_replayed
from mig_kit.steps.schema_expected import SchemaDifference, differences, not_looked_up
from mig_kit.steps.target import Target

if TYPE_CHECKING:
    import pandas

__all__ = ["AGREES", "FakePlan", "Faked", "initial_name", "plan_fake", "record_fake"]

AGREES = "schema agrees"


@dataclass(frozen=True, slots=True, kw_only=True)
class FakePlan:
    """State what would be recorded (or taken out of the record) without being run; nothing was.

    ``differences``: where the database is not as the migrations leave it (going backwards: as it was before them).
    ``unknown``: what they do of which a schema tells nothing. ``gates``: as they stand, None before anybody looked.
    """

    app: str
    name: str
    database: str
    migrations: tuple[PlannedMigration, ...]
    hashed: HashedPlan
    differences: tuple[SchemaDifference, ...]
    unknown: tuple[str, ...] = ()
    gates: Gates | None = None

    def __repr__(self) -> str:
        state = f"{len(self.differences)} differences" if self.differences else "the schema agrees"
        return f"<FakePlan of {self.app} to {self.name}: {len(self.migrations)} migrations, {state}>"

    def __bool__(self) -> bool:
        return bool(self.migrations)

    @property
    def backwards(self) -> bool:
        """Tell whether records are taken out."""
        return self.hashed.backwards

    def to_frame(self) -> pandas.DataFrame:
        """Return one row a difference, and one for each migration without any: migration, record, difference."""
        import pandas

        record = "would be taken out" if self.backwards else "would be written"
        rows: list[tuple[str, str, str]] = []
        for each in self.migrations:
            words = [found.words for found in self.differences if found.migration == str(each)]
            rows += [(str(each), record, text) for text in words or [""]]
        return pandas.DataFrame(rows, columns=["migration", "record", "difference"])

    def refuse(self, reason: str) -> None:
        """Raise ``GateClosed`` when the schema is not as it would be recorded, unless there is a reason to go on."""
        if not self.differences or reason.strip():
            return
        listed = "; ".join(map(str, self.differences[:3]))
        more = f" and {len(self.differences) - 3} more" if len(self.differences) > 3 else ""
        raise errors.GateClosed(
            f"The schema is not as it would be recorded, and nothing was: {listed}{more}.",
            gate=AGREES,
            hint="bring the schema there first (rb.preview() has the SQL), or give a reason=… that stays in the record",
        )


@dataclass(frozen=True, slots=True)
class Faked:
    """State what was recorded without being run, as it was shown, and the reason where the schema did not agree."""

    plan: FakePlan
    applied: Applied
    reason: str = ""

    def __repr__(self) -> str:
        return f"<Faked: {len(self.applied.migrations)} records {'taken out' if self.plan.backwards else 'written'}>"

    def __bool__(self) -> bool:
        return bool(self.applied)

    def to_frame(self) -> pandas.DataFrame:
        """Return one row a difference, and one for each migration without any: migration, record, difference."""
        frame = self.plan.to_frame()
        frame["record"] = "was taken out" if self.plan.backwards else "was written"
        return frame


def plan_fake(target: Target, app: str, name: str) -> FakePlan:
    """Return what ``migrate --fake APP NAME`` would record, compared with the database's schema. Read-only.

    Where ``name`` (a migration, or ``zero``) lies before what is applied, records would be taken out.
    """
    info = target.need_postgres("fake")
    planned = plan(target, app, name)
    found: list[PlanMigration] = []
    tables: Any = ()
    if any(each.backwards for each in planned):
        for each in reversed(planned):
            replayed = plan_of(target.ask("replay", app=each.app, name=each.name))
            tables = tables or replayed.tables
            found += replayed.wanted
    elif planned:
        replayed = plan_of(target.ask("replay", app=app, name=name))
        tables, found = replayed.tables, list(replayed.migrations)
    hashed = hash_replayed(planned, found)
    return FakePlan(
        app=app,
        name=name,
        database=info.dbname,
        migrations=planned,
        hashed=hashed,
        differences=differences(target, catalog_of_state(tables), found, backwards=hashed.backwards),
        unknown=not_looked_up(found),
    )


def initial_name(target: Target, app: str) -> str | None:
    """Return the last of the app's first migrations that are initial and not applied; None where there is none.

    As Django has it: one that says so, or one that depends on no other of its app.
    """
    target.need_app(app)
    found = None
    for node in target.ask("graph")["nodes"]:
        if node["app"] != app:
            continue
        if not (node["initial"] or all(parent[0] != app for parent in node["dependencies"])):
            break
        if not node["applied"]:
            found = str(node["name"])
    return found


def record_fake(
    target: Target,
    shown: FakePlan,
    *,
    reason: str = "",
    journal: Journal | None = None,
    progress: ProgressCallback | None = None,
    on_event: EventCallback | None = None,
) -> Faked:
    """Record what was shown, the way an apply is done: as the only session, each step written down; runs no migration.

    ``reason``: why it is recorded though the schema differs. Raises ``GateClosed`` when nothing was recorded.
    """
    shown.refuse(reason)
    run = Migrating(target, "fake", progress, on_event, Waiting(), journal=journal)
    with run.alone():
        applied = migrate(run, shown.migrations, app=shown.app, name=shown.name, fake=True)
    return Faked(shown, applied, reason.strip() if shown.differences else "")
