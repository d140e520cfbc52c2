"""One statement as it ran on the copy: what it took, what it did, how long, and how that is known."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from mig_kit.hazards.assessment import AssessedStatement
from mig_kit.hazards.facts import RelationLock, Work
from mig_kit.hazards.locks import Blocks, LockMode, blocks
from mig_kit.postgres.observe import Observation

__all__ = ["NOTHING_SEEN", "Extrapolated", "Observed", "RehearsedLock", "RehearsedStatement"]

NOTHING_SEEN = Observation((), (), (), (), (), (), (), (), (), (), 0, 0, 0)
"""What is seen of a statement that changes, locks and reads nothing, or that was not looked at."""


class Observed(Enum):
    """How a statement was looked at."""

    IN_TRANSACTION = "in its transaction"
    OWN_TRANSACTION = "in a transaction of its own"  # in production it has none; its locks last as long as it does
    SECOND_CONNECTION = "from a second connection"  # it refuses a transaction; its locks are polled
    NOT = "not looked at"  # it ran on another connection, or inside a driver

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class RehearsedLock:
    """State a lock on a relation: taken how long after the first migration began, held until the transaction ended.

    Times in milliseconds, what observing took left out. ``is_table``: False for an index or a sequence, whose locks
    keep nobody waiting by themselves.
    """

    relation: str
    mode: LockMode
    taken_ms: float
    held_ms: float
    is_table: bool = True

    @property
    def blocks(self) -> Blocks:
        """Who waits meanwhile."""
        return blocks(self.mode)


@dataclass(frozen=True, slots=True)
class Extrapolated:
    """State how long a statement would take on every row, in milliseconds, from samples of two sizes.

    ``measured``: (rows of its tables, milliseconds), the smaller first. ``ms``: None where it cannot be told, and
    ``reason`` says why.
    """

    rows: int
    measured: tuple[tuple[int, float], ...]
    ms: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearsedStatement:
    """State what one statement took and did; its SQL as executed, the values bound to it left out.

    ``operation``: Django's words for the operation it belongs to. ``deferred``: held back until the migration's end.
    ``began_ms``: since the first migration began. ``ms``: how long it ran, in all where it ran several ``times``, with
    other values each time. ``locks``: new ones, ACCESS SHARE left out. ``work``: what grows with a table.
    ``seen``: everything observed (rewritten, rebuilt and built, scanned, rows, created, dropped, renamed, WAL, growth).
    ``tables``: those that it locked, read or changed. ``transaction``: a number, None outside of any.
    ``error``: why it failed, '' else. ``unknown``: why what was measured says nothing of production, '' where it does.
    ``note``: what else there is to say. ``extrapolated``: only from samples.
    """

    sql: str
    operation: str
    deferred: bool = False
    python: bool = False
    began_ms: float
    ms: float
    times: int = 1
    locks: tuple[RehearsedLock, ...] = ()
    work: tuple[Work, ...] = ()
    seen: Observation = NOTHING_SEEN
    tables: tuple[str, ...] = ()
    transaction: int | None = None
    observed: Observed = Observed.IN_TRANSACTION
    error: str = ""
    unknown: str = ""
    note: str = ""
    extrapolated: Extrapolated | None = None

    @property
    def rows_changed(self) -> int:
        """How many rows it inserted, updated and deleted."""
        return sum(each.inserted + each.updated + each.deleted for each in self.seen.rows)

    @property
    def assessed(self) -> AssessedStatement:
        """Return it in the shape that ``check`` has as well; what was not looked at is unknown."""
        return AssessedStatement(
            sql=self.sql,
            operation=self.operation,
            ms=self.ms,
            locks=tuple(RelationLock(each.relation, each.mode) for each in self.locks),
            work=self.work,
            transaction=self.transaction,
            evidence="unknown" if self.unknown or self.observed is Observed.NOT else "measured",
            note=self.unknown or self.note,
        )


for _each in (Extrapolated, Observed, RehearsedLock, RehearsedStatement):
    _each.__module__ = "mig_kit.steps.rehearse"
