"""The table lock modes: which keep which out, and what that means for a running application.

After the PostgreSQL manual, chapter 13.3.1 "Table-Level Locks", table 13.2.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

__all__ = ["Blocks", "LockMode", "blocks", "conflicts", "strongest"]


class Blocks(Enum):
    """What waits while a lock is held: other sessions' reads, their writes, or neither."""

    READS_AND_WRITES = "reads and writes"
    WRITES = "writes"
    NOTHING = "nothing"  # of the application's; other schema changes, VACUUM or another lock may still wait

    def __str__(self) -> str:
        return self.value


class LockMode(Enum):
    """A table lock mode, from the weakest to the strongest; the value is its name in SQL."""

    ACCESS_SHARE = "ACCESS SHARE"  # SELECT
    ROW_SHARE = "ROW SHARE"  # SELECT … FOR UPDATE, a foreign key's check of the parent
    ROW_EXCLUSIVE = "ROW EXCLUSIVE"  # INSERT, UPDATE, DELETE
    SHARE_UPDATE_EXCLUSIVE = "SHARE UPDATE EXCLUSIVE"  # VACUUM, CREATE INDEX CONCURRENTLY, VALIDATE CONSTRAINT
    SHARE = "SHARE"  # CREATE INDEX
    SHARE_ROW_EXCLUSIVE = "SHARE ROW EXCLUSIVE"  # ADD FOREIGN KEY, CREATE TRIGGER
    EXCLUSIVE = "EXCLUSIVE"  # REFRESH MATERIALIZED VIEW CONCURRENTLY
    ACCESS_EXCLUSIVE = "ACCESS EXCLUSIVE"  # most of ALTER TABLE, DROP, TRUNCATE

    @classmethod
    def parse(cls, name: str) -> LockMode:
        """Return the mode of a name in any writing: ``ACCESS EXCLUSIVE``, ``AccessExclusiveLock`` as pg_locks has it.

        Raises ValueError for what is no table lock mode.
        """
        try:
            return _BY_LETTERS[_letters(name)]
        except KeyError:
            raise ValueError(f"{name!r} is not a table lock mode") from None

    @property
    def pg_name(self) -> str:
        """The name in ``pg_locks.mode``: ``AccessExclusiveLock``."""
        return self.value.title().replace(" ", "") + "Lock"

    @property
    def level(self) -> int:
        """The rank from 1 (ACCESS SHARE) to 8 (ACCESS EXCLUSIVE); a higher one need not conflict with more."""
        return _LEVELS[self]

    def __str__(self) -> str:
        return self.value


def _letters(name: str) -> str:
    letters = "".join(each for each in name.lower() if each.isalpha())
    return letters.removesuffix("lock")


_BY_LETTERS = {_letters(mode.value): mode for mode in LockMode}
_LEVELS = {mode: level for level, mode in enumerate(LockMode, start=1)}

# Row by row as the manual's table has it: what a held mode keeps out.
_CONFLICTS = {
    LockMode.ACCESS_SHARE: "8",
    LockMode.ROW_SHARE: "78",
    LockMode.ROW_EXCLUSIVE: "5678",
    LockMode.SHARE_UPDATE_EXCLUSIVE: "45678",
    LockMode.SHARE: "34678",
    LockMode.SHARE_ROW_EXCLUSIVE: "345678",
    LockMode.EXCLUSIVE: "2345678",
    LockMode.ACCESS_EXCLUSIVE: "12345678",
}


def conflicts(one: LockMode, other: LockMode) -> bool:
    """Tell whether two transactions cannot hold these modes on one table at once."""
    return str(other.level) in _CONFLICTS[one]


def blocks(*modes: LockMode) -> Blocks:
    """Tell what of an application's statements waits while these modes are held on a table.

    Reads are plain SELECTs. SELECT … FOR UPDATE, which EXCLUSIVE alone holds back besides, counts as a write.
    """
    if any(conflicts(mode, LockMode.ACCESS_SHARE) for mode in modes):
        return Blocks.READS_AND_WRITES
    if any(conflicts(mode, LockMode.ROW_EXCLUSIVE) for mode in modes):
        return Blocks.WRITES
    return Blocks.NOTHING


def strongest(modes: Iterable[LockMode]) -> LockMode | None:
    """Return the mode of the highest level, None when there is none."""
    return max(modes, key=lambda mode: mode.level, default=None)
