"""One migration as it runs on the copy, and each of its statements; facts once it is over."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mig_kit.hazards.facts import Work, WorkKind
from mig_kit.postgres.observe import Observation, RelationState
from mig_kit.steps._rehearsed_statement import NOTHING_SEEN, Observed, RehearsedLock, RehearsedStatement

__all__ = ["MigrationRun", "StatementRun", "sha256_of"]

# Rows that a statement changes count as work when there are many, or a good part of the table.
_MANY_ROWS = 1000
_SHARE = 10


@dataclass
class StatementRun:
    """One statement as it goes on: counted, looked at, its locks closed when the transaction ends."""

    number: int
    sql: str
    operation: str
    deferred: bool
    python: bool
    at: float
    ms: float
    times: int
    transaction: int | None
    how: Observed
    error: str
    seen: Observation = NOTHING_SEEN
    locks: list[RehearsedLock] = field(default_factory=list)
    reads: set[str] = field(default_factory=set)
    note: str = ""

    def finished(self, rows: Callable[[str], int | None], lacking: Callable[[str], bool]) -> RehearsedStatement:
        """Return it as a fact; ``rows``: how many a table has in the copy, ``lacking``: whether they were left out."""
        worked = self.reads | {each.relation for each in self.seen.rows} | set(self.seen.rewritten)
        tables = sorted(worked | {lock.relation for lock in self.locks})
        missing = [each for each in sorted(worked) if lacking(each)]
        return RehearsedStatement(
            sql=self.sql,
            operation=self.operation,
            deferred=self.deferred,
            python=self.python,
            began_ms=self.at,
            ms=self.ms,
            times=self.times,
            locks=tuple(sorted(self.locks, key=lambda lock: (lock.relation, lock.mode.level))),
            work=_work(self.seen, rows),
            seen=self.seen,
            tables=tuple(tables),
            transaction=self.transaction,
            observed=self.how,
            error=self.error,
            unknown=f"it needs rows that are not in this copy: those of {', '.join(missing)}" if missing else "",
            note=self.note,
        )


@dataclass
class MigrationRun:
    """One migration as it ran, forwards or backwards; ``done`` once it got through.

    ``relations``: those there were before it, by their labels.
    """

    app: str
    name: str
    atomic: bool
    file: str
    at: float
    relations: Mapping[str, RelationState] = field(default_factory=dict)
    ms: float = 0.0
    commit_ms: float = 0.0
    done: bool = False
    sha256: str = ""
    statements: list[StatementRun] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, str]:
        """App and name."""
        return self.app, self.name

    @property
    def changed(self) -> frozenset[str]:
        """The relations whose values may be others than before: their rows were changed, or written anew."""
        found: set[str] = set()
        for each in self.statements:
            found |= {change.relation for change in each.seen.rows} | set(each.seen.rewritten) | set(each.seen.emptied)
        return frozenset(found)


def sha256_of(file: str) -> str:
    """Return a migration file's hash, '' where it has no file."""
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""
    except OSError:
        return ""


def _work(seen: Observation, rows: Callable[[str], int | None]) -> tuple[Work, ...]:
    found = [Work(WorkKind.SCAN, name) for name in seen.scanned]
    found += [Work(WorkKind.REWRITE, name) for name in seen.rewritten]
    found += [Work(WorkKind.INDEX_BUILD, table) for _, table in (*seen.built, *seen.rebuilt)]
    for change in seen.rows:
        many = change.inserted + change.updated + change.deleted
        there = rows(change.relation)
        if many >= _MANY_ROWS or (there is not None and 0 < there <= many * _SHARE):
            found.append(Work(WorkKind.CHANGE_ROWS, change.relation))
    return tuple(sorted(set(found), key=str))
