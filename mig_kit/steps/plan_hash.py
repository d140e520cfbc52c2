"""Which plan this is: its migrations by the hashes of their files and of the SQL that follows from them.

Whatever is said of a plan (somebody looked at it, it was rehearsed) is said of these hashes: another file, or other SQL
from the same file, is another plan.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mig_kit.hazards.plan import PlanMigration, PlanOperation, plan_of
from mig_kit.postgres.literals import without_literals
from mig_kit.steps.apply import PlannedMigration, plan
from mig_kit.steps.target import Target

__all__ = ["HashedMigration", "HashedPlan", "hash_migrations", "hash_pending", "hash_plan", "hash_replayed"]

# A date that Django makes up for the rows that are there is another one each time; what the file says is in its hash.
_QUOTED = re.compile(r"'(?:[^']|'')*'")


@dataclass(frozen=True, slots=True)
class HashedMigration:
    """Name one migration as it stands: ``sha256`` is over its name, its file, the files of its code and its SQL.

    ``file_sha256`` is its file's alone, '' where it has none.
    """

    app: str
    name: str
    sha256: str
    file_sha256: str

    def __str__(self) -> str:
        return f"{self.app}.{self.name}"


@dataclass(frozen=True, slots=True)
class HashedPlan:
    """Name a plan: its migrations in the order they run, forwards or backwards."""

    migrations: tuple[HashedMigration, ...]
    backwards: bool = False

    def __bool__(self) -> bool:
        return bool(self.migrations)

    @property
    def sha256(self) -> str:
        """The hash of the whole plan; of one without migrations, too."""
        return _sha256([self.backwards, self.lines])

    @property
    def lines(self) -> list[list[str]]:
        """Each migration's label and hash, in order, as plain data."""
        return [[str(each), each.sha256] for each in self.migrations]

    def of(self, label: str) -> HashedMigration | None:
        """Return the migration ``app.name``, None when it is not in the plan."""
        return next((each for each in self.migrations if str(each) == label), None)


def hash_plan(target: Target, app: str | None = None, name: str | None = None) -> HashedPlan:
    """Return what ``migrate [APP [NAME]]`` would run now, forwards or backwards. Read-only."""
    planned = plan(target, app, name)
    if any(each.backwards for each in planned):
        return hash_migrations(target, planned)
    return hash_pending(target, planned)


def hash_pending(target: Target, planned: Sequence[PlannedMigration]) -> HashedPlan:
    """Return these of the pending migrations, each as it stands in the plan of all of them. Read-only.

    So a migration has one hash, whichever part of what is pending is asked about.
    """
    if not planned:
        return HashedPlan(())
    if target.info is None:
        return _by_files(target, planned)
    return hash_replayed(planned, plan_of(target.ask("replay")).migrations)


def hash_migrations(target: Target, planned: Sequence[PlannedMigration]) -> HashedPlan:
    """Return these migrations, applied or not, each as it stands by itself. Read-only."""
    if target.info is None:
        return _by_files(target, planned)
    found: list[PlanMigration] = []
    for each in planned:
        found += plan_of(target.ask("replay", app=each.app, name=each.name)).wanted
    return hash_replayed(planned, found)


def _by_files(target: Target, planned: Sequence[PlannedMigration]) -> HashedPlan:
    """Return them by their files alone: without PostgreSQL nothing tells the SQL without a database."""
    files = {(each["app"], each["name"]): _file_hash(each["file"]) for each in target.ask("graph")["nodes"]}
    found = [(each, files.get((each.app, each.name), "")) for each in planned]
    hashed = (HashedMigration(each.app, each.name, sha and _sha256([str(each), sha]), sha) for each, sha in found)
    return HashedPlan(tuple(hashed), any(each.backwards for each in planned))


def hash_replayed(planned: Sequence[PlannedMigration], found: Sequence[PlanMigration]) -> HashedPlan:
    """Return a plan of these migrations, as the worker has replayed them."""
    known = {(each.app, each.name): each for each in found}
    hashed = [_hashed(each, known.get((each.app, each.name))) for each in planned]
    return HashedPlan(tuple(hashed), any(each.backwards for each in planned))


def _hashed(planned: PlannedMigration, replayed: PlanMigration | None) -> HashedMigration:
    if replayed is None:  # it came into the plan between two questions: no hash will ever be this one
        return HashedMigration(planned.app, planned.name, "", "")
    own = _file_hash(replayed.file)
    code = sorted({each.python.file for each in replayed.operations if each.python and each.python.file})
    said = [
        [planned.app, planned.name, replayed.atomic, own],
        [_file_hash(each) for each in code if each != replayed.file],
        [[each.describe, each.transaction, each.note, _statements(each)] for each in replayed.operations],
        [sql for sql, _operation in replayed.deferred],
    ]
    return HashedMigration(planned.app, planned.name, _sha256(said), own)


def _statements(operation: PlanOperation) -> list[str]:
    """Return an operation's SQL without what is made up anew each time that it is asked for."""
    if operation.kind not in ("AddField", "AlterField"):
        return list(operation.statements)
    if (operation.plain.get("after") or {}).get("default_callable"):
        return [without_literals(each, len(each) * 2) for each in operation.statements]
    return [_QUOTED.sub("'…'", each) for each in operation.statements]


def _file_hash(path: str | None) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest() if path else ""
    except OSError:
        return ""


def _sha256(said: object) -> str:
    return hashlib.sha256(json.dumps(said, ensure_ascii=True).encode()).hexdigest()
