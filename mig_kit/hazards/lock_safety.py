"""The verdict on lock safety: does traffic wait while a migration works through a table?

A migration is unsafe when work that grows with a table (a scan, a rewrite, an index build) goes on while a lock that
blocks reads or writes is held on a table that was there before the plan and is not small; it makes no difference
whether the statement that works took the lock, or an earlier one of the same transaction did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mig_kit.hazards.assessment import AssessedStatement, Verdict, VerdictKind
from mig_kit.hazards.facts import RelationLock, Work
from mig_kit.hazards.locks import Blocks, blocks

__all__ = ["SMALL_BYTES", "SMALL_ROWS", "Held", "TableSize", "held_while_working", "judge_locks"]

# Work on a table up to this size is over before anybody notices, whatever it is.
SMALL_ROWS = 10_000
SMALL_BYTES = 8 << 20
# Without a row count, by the size alone: what so many narrow rows and an index take.
_SMALL_BYTES_ALONE = 1 << 20


@dataclass(frozen=True, slots=True)
class TableSize:
    """State how large a table is: bytes with its indexes and TOAST, rows; None where that is not known.

    ``existed``: it was there before the plan. One that the plan itself makes keeps nobody waiting. ``is_table``: False
    for an index or a sequence, whose locks never count by themselves: whoever uses it locks its table too.
    """

    existed: bool = True
    size_bytes: int | None = None
    rows: int | None = None
    is_table: bool = True

    @property
    def is_small(self) -> bool:
        """Tell whether work on it is no matter; a table of unknown size is never small."""
        if self.rows is None:
            return self.size_bytes is not None and self.size_bytes < _SMALL_BYTES_ALONE
        return self.rows < SMALL_ROWS and (self.size_bytes or 0) < SMALL_BYTES

    @property
    def matters(self) -> bool:
        """Tell whether a lock on it, or work on it, has to be looked at."""
        return self.is_table and self.existed and not self.is_small


@dataclass(frozen=True, slots=True)
class Held:
    """Name a lock that is held while there is work: which statement works, which took the lock, and on what."""

    working: AssessedStatement
    work: Work
    lock: RelationLock
    taken_by: AssessedStatement
    blocks: Blocks


def held_while_working(statements: Sequence[AssessedStatement], sizes: Mapping[str, TableSize]) -> tuple[Held, ...]:
    """Return every blocking lock on a table that matters that is held while work on such a table goes on.

    ``sizes`` go by the relations' labels; a relation that is not there counts as a table of unknown size.
    """
    found: list[Held] = []
    taken: list[tuple[AssessedStatement, RelationLock]] = []
    transaction: int | None = None
    for statement in statements:
        if statement.transaction is None or statement.transaction != transaction:
            taken = []
        transaction = statement.transaction
        taken += [(statement, lock) for lock in statement.locks if _blocking(lock, sizes)]
        for work in statement.work:
            if _size(work.relation, sizes).matters:
                found += [Held(statement, work, lock, by, blocks(lock.mode)) for by, lock in taken]
    return tuple(found)


def judge_locks(
    statements: Sequence[AssessedStatement], sizes: Mapping[str, TableSize], *, unknown: Sequence[str] = ()
) -> Verdict:
    """Give the verdict; ``unknown``: reasons why something of the migration could not be looked at, if any.

    A lock that is surely held during work makes it unsafe, whatever else is unknown; else what is unknown decides.
    """
    held = held_while_working(statements, sizes)
    if held:
        worst = max(
            held, key=lambda each: (each.blocks is Blocks.READS_AND_WRITES, each.lock.relation == each.work.relation)
        )
        # What is not wholly known does at least that much.
        known = worst.working.evidence if worst.working.evidence != "unknown" else worst.taken_by.evidence
        return Verdict(VerdictKind.UNSAFE, _reason(worst), known if known != "unknown" else "rule")
    unsure = [*unknown, *(each.note or each.sql for each in statements if each.evidence == "unknown")]
    if unsure:
        return Verdict(VerdictKind.UNKNOWN, unsure[0], "unknown")
    order = ("rule", "catalog", "measured")
    evidence = min((each.evidence for each in statements), key=order.index, default="rule")
    return Verdict(VerdictKind.SAFE, "", evidence)


def _size(relation: str, sizes: Mapping[str, TableSize]) -> TableSize:
    return sizes.get(relation, TableSize())


def _blocking(lock: RelationLock, sizes: Mapping[str, TableSize]) -> bool:
    return blocks(lock.mode) is not Blocks.NOTHING and _size(lock.relation, sizes).matters


def _reason(held: Held) -> str:
    what = {"scan": "is read whole", "rewrite": "is rewritten", "index build": "gets an index built"}
    done = what.get(str(held.work.kind), "has rows changed")
    table, locked = held.work.relation, held.lock.relation
    if table == locked:
        return f"{table} {done} while {held.lock.mode} on it keeps {held.blocks} waiting"
    return f"{table} {done} while {held.lock.mode} on {locked} keeps {held.blocks} waiting"
