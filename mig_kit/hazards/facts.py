"""The facts about one statement, and the draft in which they are put together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from mig_kit.hazards.catalog import Catalog, TableInfo
from mig_kit.hazards.locks import Blocks, LockMode, blocks, strongest

__all__ = ["Draft", "RelationLock", "StatementFacts", "Work", "WorkKind"]


class WorkKind(Enum):
    """Work that grows with the table."""

    SCAN = "scan"  # every row is read
    REWRITE = "rewrite"  # every row is written into a new file
    INDEX_BUILD = "index build"  # every row is read and sorted into an index
    CHANGE_ROWS = "change rows"  # rows are updated, deleted or inserted by a query; how many is not known here

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Work:
    """Name the work and the table (not the index) that it is on; the text is ``scan:TABLE``."""

    kind: WorkKind
    relation: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.relation}"


@dataclass(frozen=True, slots=True)
class RelationLock:
    """Name a relation and a mode that the statement takes on it and keeps until the transaction ends."""

    relation: str
    mode: LockMode


@dataclass(frozen=True, slots=True)
class StatementFacts:
    """State what one statement takes and does; never less than it does, as far as it is known.

    ``kind``: ``set not null``, ``create index`` …, several joined by ", ", or ``unknown``. ``relation``: the one it is
    about. ``columns``: those it names as its object. ``locks``: ACCESS SHARE and what the statement itself creates left
    out. ``work``: what grows with a table. ``evidence``: ``catalog`` (a database said so), ``rule`` (from the statement
    alone) or ``unknown``, and then the rest is incomplete. ``transactional``: False when it refuses to run in a
    transaction block. ``creates``, ``drops``: relations. ``fails``: why it is known to fail. ``reasons``: why there is
    work, or none. ``unsure``: what is not known here and may add locks or work; a catalog answers most of it.
    """

    sql: str
    kind: str
    relation: str | None = None
    columns: tuple[str, ...] = ()
    locks: tuple[RelationLock, ...] = ()
    work: tuple[Work, ...] = ()
    evidence: str = "rule"
    transactional: bool = True
    creates: tuple[str, ...] = ()
    drops: tuple[str, ...] = ()
    fails: str | None = None
    reasons: tuple[str, ...] = ()
    unsure: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Tell whether the statement was recognised."""
        return self.evidence != "unknown"

    def lock_on(self, relation: str) -> LockMode | None:
        """Return the strongest mode it takes on a relation."""
        return strongest(lock.mode for lock in self.locks if lock.relation == relation)

    def blocks(self, relation: str) -> Blocks:
        """Tell what waits on a relation while its locks are held."""
        return blocks(*(lock.mode for lock in self.locks if lock.relation == relation))


@dataclass
class Draft:
    """Gather the facts of one statement, clause by clause."""

    sql: str
    catalog: Catalog
    kinds: list[str] = field(default_factory=list)
    relation: str | None = None
    columns: list[str] = field(default_factory=list)
    locks: list[RelationLock] = field(default_factory=list)
    works: list[Work] = field(default_factory=list)
    used_catalog: bool = False
    recognised: bool = True
    transactional: bool = True
    creates: list[str] = field(default_factory=list)
    drops: list[str] = field(default_factory=list)
    fails: str | None = None
    reasons: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)

    def table(self, name: str) -> TableInfo:
        """Return what is known of a table, under the catalog's name for it; nothing but the name where it is not."""
        found = self.catalog.table(name)
        if found is None:
            return TableInfo(label=name)
        self.used_catalog = True
        return found

    def major_is(self, at_least: int) -> bool | None:
        """Tell whether the server is of that major version or later; None where it is not known."""
        return None if self.catalog.major is None else self.catalog.major >= at_least

    def lock(self, relation: str, mode: LockMode) -> None:
        """Add a lock, and the same on what is below a partitioned table."""
        info = self.catalog.table(relation)
        for each in (relation, *(info.partitions if info else ())):
            self.locks.append(RelationLock(each, mode))

    def work(self, kind: WorkKind, relation: str, reason: str = "") -> None:
        """Add work, and the same on what is below a partitioned table, which has no rows of its own."""
        info = self.catalog.table(relation)
        own = () if info is not None and info.kind == "p" else (relation,)
        for each in (*own, *(info.partitions if info else ())):
            self.works.append(Work(kind, each))
        self.because(reason)

    def rewrite(self, info: TableInfo, reason: str) -> None:
        """Add a rewrite of a table: every row is read, written, and put into every index anew."""
        self.work(WorkKind.SCAN, info.label, reason)
        self.work(WorkKind.REWRITE, info.label)
        if info.indexes or info.indexes is None:
            self.work(WorkKind.INDEX_BUILD, info.label)
        self.lock(info.label, LockMode.SHARE)
        self.lock_indexes(info)

    def build(self, info: TableInfo, reason: str) -> None:
        """Add an index build, which reads the table whole."""
        self.work(WorkKind.SCAN, info.label, reason)
        self.work(WorkKind.INDEX_BUILD, info.label)

    def lock_indexes(self, info: TableInfo, mode: LockMode = LockMode.ACCESS_EXCLUSIVE) -> None:
        """Add a lock on every index of a table."""
        for index in info.indexes or ():
            self.lock(index.name, mode)

    def because(self, reason: str) -> None:
        """Add a reason."""
        if reason:
            self.reasons.append(reason)

    def unknown(self, why: str) -> None:
        """Say that a part was not recognised: nothing about the statement is safe then."""
        self.recognised = False
        self.unsure.append(why)

    def facts(self) -> StatementFacts:
        """Return what was gathered, each fact once."""
        evidence = self.catalog.evidence if self.used_catalog else "rule"
        locks = sorted(set(self.locks), key=lambda lock: (lock.relation, lock.mode.level))
        return StatementFacts(
            sql=self.sql,
            kind=", ".join(_once(self.kinds)) if self.kinds else "unknown",
            relation=self.relation,
            columns=_once(self.columns),
            locks=tuple(locks),
            work=tuple(sorted(set(self.works), key=str)),
            evidence=evidence if self.recognised else "unknown",
            transactional=self.transactional,
            creates=_once(self.creates),
            drops=_once(self.drops),
            fails=self.fails,
            reasons=_once(self.reasons),
            unsure=_once(self.unsure),
        )


def _once(given: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(given))
