"""How much of the data a rehearsal has: all of it, the tables that the plan touches, or samples of those."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from mig_kit import errors
from mig_kit.hazards.plan import plan_of
from mig_kit.hazards.state_catalog import catalog_of_state
from mig_kit.hazards.statement import classify
from mig_kit.postgres.references import References, read_references
from mig_kit.steps._rehearsal import RehearsalMode
from mig_kit.steps.backup import Backup
from mig_kit.steps.target import Target

__all__ = ["Data", "Limits", "Wanted", "choose_data"]

# Django's own, which the handlers of its signals and the plan itself read.
_OWN = ("django_migrations", "django_content_type", "auth_permission")
# What an empty database takes, and how much more than the backup says a restored one may.
_BASE_BYTES, _MARGIN = 10 << 20, 1.1
# The larger of two samples: one row in so many at least, and so many rows at least; the smaller is a quarter of it.
_ONE_IN, _LEAST_ROWS, _STEP = 16, 4000, 4
_MOST_ONE_IN = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """State how large a restored database may be, in bytes: as the user says, and as the scratch server's disk has it.

    The disk has to hold the template, the copy, and the largest table that is rewritten once more; None is unknown.
    ``restored``: the whole of it is there already.
    """

    said: int | None
    free: int | None
    restored: bool = False

    def allow(self, size: int, largest: int, *, copies: int = 2) -> bool:
        """Tell whether that fits, ``copies`` times."""
        needed = (copies * (size + _BASE_BYTES) + largest) * _MARGIN
        return (self.said is None or size <= self.said) and (self.free is None or needed <= self.free)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Name the tables (``schema.table``) of a database, those that the plan touches, and their neighbours.

    ``parents``: what the touched ones refer to, which samples need in full.
    """

    tables: frozenset[str]
    touched: frozenset[str]
    neighbours: frozenset[str]
    parents: frozenset[str]
    own: frozenset[str]


@dataclass(frozen=True, slots=True)
class Data:
    """State which tables have all their rows, and which one row in so many, in the larger of two samples."""

    mode: RehearsalMode
    tables: frozenset[str]
    full: frozenset[str]
    one_in: Mapping[str, int]

    @property
    def without(self) -> frozenset[str]:
        """The tables that are restored without rows."""
        return self.tables - self.full

    def smaller(self) -> Mapping[str, int]:
        """Return how many rows there is one of in the smaller sample."""
        return {table: one_in * _STEP for table, one_in in self.one_in.items()}

    def with_full(self, more: Collection[str]) -> Data:
        """Return the same with more tables in full."""
        return replace(self, full=self.full | set(more))

    @property
    def words(self) -> str:
        """Say it in a sentence's part."""
        if self.mode is RehearsalMode.FULL:
            return "every row of every table was there"
        rest = len(self.without - set(self.one_in))
        if self.mode is RehearsalMode.AFFECTED:
            return (
                f"every row of {len(self.full)} tables was there, those that the plan touches and their neighbours, "
                f"and no row of the other {rest}"
            )
        shares = ", ".join(f"1 row in {one_in} of {_short(table)}" for table, one_in in sorted(self.one_in.items()))
        return (
            f"samples were there, once of a quarter of the size ({shares}), and no row of {rest} other tables; "
            "times are extrapolated to every row"
        )


def choose_data(
    target: Target,
    backup: Backup,
    limits: Limits,
    *,
    app: str | None,
    name: str | None,
    mode: RehearsalMode | None = None,
) -> Data:
    """Return the most that fits, or what ``mode`` says. Read-only."""
    tables = frozenset(backup.sizes)
    full = Data(RehearsalMode.FULL, tables, tables, {})
    largest = max(backup.sizes.values(), default=0)
    whole = limits.allow(_bytes(backup, tables), largest, copies=1 if limits.restored else 2)
    if mode is RehearsalMode.FULL or (mode is None and (not tables or whole)):
        return full
    if not tables:
        raise errors.BackupError(
            f"{backup.path.name} does not say how large its tables are: it can only be restored as a whole.",
            hint="rb.backup()",
        )
    wanted = wanted_tables(target, app, name, tables)
    affected = Data(RehearsalMode.AFFECTED, wanted.tables, wanted.touched | wanted.neighbours | wanted.own, {})
    if mode is RehearsalMode.AFFECTED or (mode is None and _fits(limits, backup, affected.full, wanted.touched)):
        return affected
    return _samples(backup, limits, wanted)


def wanted_tables(target: Target, app: str | None, name: str | None, tables: frozenset[str]) -> Wanted:
    """Return the tables that the plan's statements and its code name, as far as that can be told without running it."""
    plan = plan_of(target.ask("replay", app=app, name=name))
    state = catalog_of_state(plan.tables)
    names: set[str] = set()
    for migration in plan.migrations:
        texts = [text for operation in migration.operations for text in operation.statements]
        for text in [*texts, *(text for text, _ in migration.deferred)]:
            for facts in classify(text, state):
                names |= {lock.relation for lock in facts.locks} | {work.relation for work in facts.work}
                names |= {facts.relation} if facts.relation else set()
        for operation in migration.operations:
            if operation.python is not None:
                names |= {str(each["table"]) for each in operation.python.models if each["table"]}
    with contextlib.closing(target.connect("rehearse")) as conn:
        there = read_references(conn)
    touched = there.with_rows(names & there.labels.keys()) & tables
    return Wanted(
        tables=tables - there.partitioned,
        touched=touched,
        neighbours=there.neighbours(touched) & tables,
        parents=there.parents(touched) & tables,
        own=_own(there) & tables,
    )


def _own(there: References) -> frozenset[str]:
    return there.with_rows([label for label in _OWN if label in there.labels])


def _samples(backup: Backup, limits: Limits, wanted: Wanted) -> Data:
    """Sample what the plan touches; parents come in full where they fit, else as samples too."""
    parents, sampled = wanted.parents - wanted.touched, wanted.touched
    if not _fits(limits, backup, parents | wanted.own, frozenset()):
        parents, sampled = frozenset(), sampled | parents
    at_least = _ONE_IN
    while at_least < _MOST_ONE_IN and not limits.allow(
        _bytes(backup, parents | wanted.own) + _bytes(backup, sampled) // at_least, 0
    ):
        at_least *= 2
    small = {table for table in sampled if backup.rows.get(table, 0) <= _LEAST_ROWS}
    one_in = {
        table: max(1, min(at_least, backup.rows.get(table, 0) // _LEAST_ROWS)) if at_least == _ONE_IN else at_least
        for table in sampled - small
    }
    return Data(RehearsalMode.SAMPLES, wanted.tables, parents | wanted.own | small, one_in)


def _fits(limits: Limits, backup: Backup, tables: Collection[str], rewritten: Collection[str]) -> bool:
    return limits.allow(_bytes(backup, tables), max((backup.sizes.get(each, 0) for each in rewritten), default=0))


def _bytes(backup: Backup, tables: Collection[str]) -> int:
    return sum(backup.sizes.get(each, 0) for each in tables)


def _short(table: str) -> str:
    return table.removeprefix("public.")
