"""Which backups count before a plan is let run: of this database, verified, and taken after its schema last changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from mig_kit.postgres import AppliedMigration, Connection, applied_migrations_rows
from mig_kit.postgres.identity import DatabaseIdentity, identify
from mig_kit.steps._manifest import Backup, DamagedManifest
from mig_kit.steps.backups import backup_paths, same_database
from mig_kit.steps.gate_facts import Fact
from mig_kit.steps.plan_hash import HashedPlan
from mig_kit.steps.schema_mark import changed_since, mark_schema
from mig_kit.steps.target import Target

__all__ = ["Judged", "Moment", "judge_backups", "moment_of", "rest_of"]


@dataclass(frozen=True, slots=True)
class Moment:
    """State how the database is now, as far as a backup is measured by it."""

    identity: DatabaseIdentity
    address: str
    applied: tuple[AppliedMigration, ...]
    marks: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Judged:
    """State whether a backup counts; ``reason``: why not, '' when it does; ``noted``: what could not be compared.

    ``unverified``: nothing else speaks against it.
    """

    backup: Backup
    reason: str = ""
    noted: str = ""
    unverified: bool = False

    @property
    def counts(self) -> bool:
        """Tell whether it counts."""
        return not self.reason


def moment_of(target: Target, conn: Connection) -> Moment:
    """Return how the database is now. Read-only."""
    return Moment(identify(conn), target.need_postgres("gates").safe, applied_migrations_rows(conn), mark_schema(conn))


@dataclass
class _Judge:
    """Judge backups by one moment."""

    moment: Moment
    hours: float
    schemas: Sequence[Fact]
    begun: Sequence[Fact]
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def judge(self, backup: Backup) -> Judged:
        """Return whether it counts."""
        age = self.now - backup.started
        if not backup.has_its_files():
            return Judged(backup, "its files are not those of its manifest")
        if age > timedelta(hours=self.hours):
            return Judged(backup, f"it is {_hours(age)} old, and {self.hours:g} h is the oldest that counts")
        if older := self._older(backup):
            return Judged(backup, older)
        changed, noted = self._schema(backup)
        if changed:
            return Judged(backup, changed)
        if not backup.verified:
            return Judged(backup, self._unverified(backup), noted, unverified=True)
        return Judged(backup, noted=noted)

    def _unverified(self, backup: Backup) -> str:
        found = backup.verification
        return f"it did not verify: {found.reason}" if found is not None else "it was never restored and compared"

    def _begun_with(self, backup: Backup) -> set[str]:
        """Return the migrations of the plans that were let run with it and are at their rest now."""
        plans = [fact.data["plan"] for fact in self.begun if backup.checksum in fact.data["backups"]]
        return {label for plan in plans for label, _sha in plan}

    def _older(self, backup: Backup) -> str:
        """Say which migration the database has and the backup has not, or the other way round."""
        now = {(each.id, each.app, each.name): each for each in self.moment.applied}
        then = {(each.id, each.app, each.name) for each in backup.applied}
        if not backup.applied:  # an older manifest does not say
            then = {key for key, each in now.items() if each.applied <= backup.started}
        own = self._begun_with(backup)
        later = [each for key, each in now.items() if key not in then and f"{each.app}.{each.name}" not in own]
        if later:
            last = max(later, key=lambda each: each.applied)
            return f"{last.app}.{last.name} was applied after it, at {_when(last.applied)}"
        gone = sorted({f"{app}.{name}" for _id, app, name in then - set(now)} - own)
        return f"{gone[0]}, which it holds, is not applied any more" if gone else ""

    def _schema(self, backup: Backup) -> tuple[str, str]:
        """Say what of the schema was changed since, and what could not be compared."""
        if self._begun_with(backup):
            return "", "the plan that was begun with it has changed the schema since"
        fact = next((each for each in self.schemas if each.data["backup"] == backup.checksum), None)
        if fact is None:
            return "", "its schema was not noted, so only the migrations were compared"
        changed = changed_since(fact.data["schema"], self.moment.marks)
        return (f"the schema was changed since: {', '.join(changed[:5])}" if changed else ""), ""


def judge_backups(
    target: Target, moment: Moment, *, schemas: Sequence[Fact] = (), begun: Sequence[Fact] = ()
) -> tuple[Judged, ...]:
    """Return every backup of this database with what speaks against it, the newest first; nothing is read of them.

    ``schemas``: the facts about schemas. ``begun``: the plans that were let run and are at their rest now: the backups
    that they were let run with count on, though their first migrations are done since.
    """
    judge = _Judge(moment, target.project.config.gates.backup_hours, schemas, begun)
    found = []
    for path in backup_paths(target.backups_folder):
        try:
            backup = Backup.read(path)
        except DamagedManifest:
            continue
        if backup is not None and _is_of(backup, moment):
            found.append(backup)
    found.sort(key=lambda each: each.started, reverse=True)
    return tuple(judge.judge(each) for each in found)


def rest_of(plan: HashedPlan, begun: Sequence[Fact], applied: Sequence[AppliedMigration]) -> tuple[Fact, ...]:
    """Return the plans that were let run and of which this one is the rest: their first migrations are done by now."""
    lines, there = plan.lines, {f"{each.app}.{each.name}" for each in applied}

    def is_rest(fact: Fact) -> bool:
        whole = [list(each) for each in fact.data["plan"]]
        head = whole[: len(whole) - len(lines)]
        same = bool(lines and head) and whole[len(head) :] == lines and fact.data["backwards"] == plan.backwards
        return same and all((label in there) != plan.backwards for label, _sha in head)

    return tuple(fact for fact in begun if is_rest(fact))


def _is_of(backup: Backup, moment: Moment) -> bool:
    if backup.identity is not None and backup.identity.system and moment.identity.system:
        return backup.identity.is_same(moment.identity)
    return same_database(backup.server, moment.address)


def _hours(age: timedelta) -> str:
    hours = age.total_seconds() / 3600
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"


def _when(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
