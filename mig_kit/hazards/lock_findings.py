"""Findings about single statements: what work they do under which lock (MK201 to MK213, MK218 to MK220)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mig_kit.hazards.facts import StatementFacts, Work, WorkKind
from mig_kit.hazards.finding import Finding, Severity
from mig_kit.hazards.locks import Blocks, LockMode, blocks
from mig_kit.hazards.walk import MigrationSteps, Step
from mig_kit.hazards.weigh import known_by, size_words, weigh

__all__ = ["lock_findings"]

_DOES = {
    WorkKind.SCAN: "is read whole",
    WorkKind.REWRITE: "is rewritten",
    WorkKind.INDEX_BUILD: "gets an index built",
}


@dataclass(frozen=True, slots=True)
class _Hazard:
    """What is said of one kind of work: the finding's id, what happens in words, and what to write instead."""

    id: str
    says: str
    hint: str


_INDEX = _Hazard(
    "MK201",
    "builds an index",
    "build it CONCURRENTLY: AddIndexConcurrently in a migration of its own with atomic = False",
)
_TYPE = _Hazard(
    "MK202",
    "rewrites the table for a new type",
    "add a column of the new type, fill it in batches, change the code over, then drop the old one",
)
_NOT_NULL = _Hazard(
    "MK203",
    "reads the whole table for NULLs",
    "add CHECK (column IS NOT NULL) NOT VALID, validate it in the next migration, then SET NOT NULL: it needs no scan",
)
_COLUMN_CHECK = _Hazard(
    "MK204",
    "tries the new column's CHECK on every row",
    "add the column without its CHECK (as an IntegerField), then the CHECK NOT VALID, and validate it after that",
)
_FOREIGN_KEY = _Hazard(
    "MK205",
    "looks every row up in the parent table",
    "add the constraint NOT VALID, and validate it in the next migration",
)
_CHECK = _Hazard(
    "MK206",
    "tries a CHECK on every row",
    "AddConstraintNotValid, and ValidateConstraint in the next migration",
)
_UNIQUE = _Hazard(
    "MK207",
    "builds a constraint's index",
    "CREATE UNIQUE INDEX CONCURRENTLY first, then ADD CONSTRAINT … UNIQUE USING INDEX",
)
_REBUILD = _Hazard(
    "MK209",
    "rebuilds an index",
    "drop the index CONCURRENTLY first, change the type, and build it CONCURRENTLY again",
)
_AGAIN = _Hazard(
    "MK210",
    "checks every row again",
    "drop the constraint first, change the type, add it again NOT VALID and validate it in the next migration",
)
_REFERRING = _Hazard(
    "MK212",
    "rewrites a table that refers to the key",
    "add new columns to both tables, fill them in batches, and change keys over; or keep the type",
)
_OWN_VALUE = _Hazard(
    "MK213",
    "writes a value of its own into every row",
    "add the column without it, set the default for new rows, and fill the old ones in batches",
)
_UPKEEP = _Hazard(
    "MK218",
    "works through the table",
    "use the form that lets others go on (CONCURRENTLY), or run it in a window of its own, outside of migrations",
)


def lock_findings(migration: MigrationSteps, *, any_size: bool = False) -> Iterator[Finding]:
    """Give the findings about each statement of a migration, in their order."""
    for step in migration.steps:
        if step.facts is None:
            continue
        yield from _failure(migration, step, step.facts)
        yield from _work(migration, step, step.facts, any_size)
        yield from _rows(migration, step, step.facts, any_size)
        yield from _parents(migration, step, step.facts, any_size)
        yield from _statistics(migration, step, step.facts, any_size)


def _finding(
    migration: MigrationSteps,
    step: Step,
    id: str,
    severity: Severity,
    message: str,
    hint: str,
    relation: str,
    lock: LockMode | None = None,
    work: Work | None = None,
) -> Finding:
    plan = migration.migration
    return Finding(
        id,
        severity,
        plan.app,
        plan.name,
        step.operation.describe,
        message,
        hint,
        known_by(migration.size(relation), step.assessed.evidence),
        relation,
        lock,
        work,
        blocks(lock) if lock is not None else Blocks.NOTHING,
        line=step.operation.line,
    )


def _work(migration: MigrationSteps, step: Step, facts: StatementFacts, any_size: bool) -> Iterator[Finding]:
    """Work that grows with a table, under a lock that this very statement takes on it."""
    done: set[tuple[str, str]] = set()
    for work in _heaviest_first(facts.work):
        if work.kind is WorkKind.CHANGE_ROWS:
            continue
        lock = facts.lock_on(work.relation)
        if lock is None or blocks(lock) is Blocks.NOTHING:
            continue
        hazard = _hazard(step, facts, work)
        worst = Severity.ERROR if blocks(lock) is Blocks.READS_AND_WRITES else Severity.WARNING
        severity = weigh(migration.size(work.relation), worst, any_size=any_size)
        if severity is None or (hazard.id, work.relation) in done:
            continue
        done.add((hazard.id, work.relation))
        waits = "reads and writes wait" if blocks(lock) is Blocks.READS_AND_WRITES else "writes wait"
        message = (
            f"{hazard.says[0].upper()}{hazard.says[1:]}: {work.relation}{size_words(migration, work.relation)} "
            f"{_DOES[work.kind]} under {lock}, and {waits} until that is over."
        )
        yield _finding(migration, step, hazard.id, severity, message, hazard.hint, work.relation, lock, work)


def _heaviest_first(works: tuple[Work, ...]) -> list[Work]:
    order = (WorkKind.REWRITE, WorkKind.INDEX_BUILD, WorkKind.SCAN, WorkKind.CHANGE_ROWS)
    heaviest: dict[str, Work] = {}
    for work in sorted(works, key=lambda each: order.index(each.kind)):
        heaviest.setdefault(work.relation, work)
    return list(heaviest.values())


def _hazard(step: Step, facts: StatementFacts, work: Work) -> _Hazard:
    """Tell which hazard the work is; of several actions in one statement, the one that makes it."""
    kinds = set(facts.kind.split(", "))
    own = facts.relation == work.relation
    if "alter column type" in kinds and (work.kind is not WorkKind.SCAN or "set not null" not in kinds):
        if work.kind is WorkKind.REWRITE:
            return _TYPE if not _key_of_another(step, work.relation) else _REFERRING
        return _REBUILD if work.kind is WorkKind.INDEX_BUILD else _AGAIN
    if kinds & {"create index"}:
        return _INDEX
    if kinds & {"add unique", "add primary key", "add exclusion constraint"}:
        return _UNIQUE if work.kind is WorkKind.INDEX_BUILD else _NOT_NULL
    if kinds & {"set not null", "add not null"}:
        return _NOT_NULL
    if "add check" in kinds:
        return _CHECK
    if "add foreign key" in kinds:
        return _FOREIGN_KEY
    if "add column" in kinds:
        if work.kind is WorkKind.REWRITE:
            return _OWN_VALUE
        if work.kind is WorkKind.INDEX_BUILD:
            return _UNIQUE
        why = " ".join(facts.reasons)
        return _COLUMN_CHECK if own and "CHECK" in why else _FOREIGN_KEY if "looked up" in why else _NOT_NULL
    return _UPKEEP


def _key_of_another(step: Step, relation: str) -> bool:
    """Tell whether a table is rewritten because the key that it refers to changes."""
    return step.operation.kind == "AlterField" and step.operation.plain.get("table") not in (None, relation)


def _failure(migration: MigrationSteps, step: Step, facts: StatementFacts) -> Iterator[Finding]:
    if facts.fails is None or facts.relation is None:
        return
    size = migration.size(facts.relation)
    if "NULL in" in facts.fails and (not size.existed or size.rows == 0):
        return
    severity = Severity.ERROR if facts.evidence == "catalog" else Severity.WARNING
    message = f"The statement on {facts.relation} would fail: {facts.fails}."
    yield _finding(
        migration, step, "MK219", severity, message, "change the migration; rehearse it on a copy", facts.relation
    )


def _rows(migration: MigrationSteps, step: Step, facts: StatementFacts, any_size: bool) -> Iterator[Finding]:
    """An UPDATE or DELETE keeps each row it has touched from other writers until the transaction ends."""
    for work in facts.work:
        if work.kind is not WorkKind.CHANGE_ROWS or facts.kind not in ("update", "delete"):
            continue
        severity = weigh(migration.size(work.relation), Severity.WARNING, any_size=any_size)
        if severity is None:
            continue
        message = (
            f"Rows of {work.relation}{size_words(migration, work.relation)} are changed in one statement under "
            f"ROW EXCLUSIVE: each stays locked for other writers until the transaction ends."
        )
        yield _finding(
            migration,
            step,
            "MK220",
            severity,
            message,
            "change them in batches by key, each committed by itself, in a migration with atomic = False",
            work.relation,
            LockMode.ROW_EXCLUSIVE,
            work,
        )


def _parents(migration: MigrationSteps, step: Step, facts: StatementFacts, any_size: bool) -> Iterator[Finding]:
    """Dropping a foreign key locks the other table, too, though nothing happens to it."""
    if not {"drop column", "drop table", "drop constraint"} & set(facts.kind.split(", ")):
        return
    for lock in facts.locks:
        size = migration.size(lock.relation)
        info = step.before.table(lock.relation)
        if lock.mode is not LockMode.ACCESS_EXCLUSIVE or lock.relation in (facts.relation, *facts.drops):
            continue
        if info is None or info.kind == "v" or not size.is_table:
            continue
        severity = weigh(size, Severity.WARNING, any_size=any_size)
        if severity is None:
            continue
        message = (
            f"The foreign key goes with it, so {lock.relation}{size_words(migration, lock.relation)} is locked "
            f"{lock.mode} too: its reads and writes wait, behind this and behind whatever this waits for."
        )
        yield _finding(
            migration,
            step,
            "MK208",
            severity,
            message,
            "drop the constraint in a migration of its own with a short lock_timeout, tried again until it gets "
            "through; the rest then leaves the parent alone",
            lock.relation,
            lock.mode,
        )


def _statistics(migration: MigrationSteps, step: Step, facts: StatementFacts, any_size: bool) -> Iterator[Finding]:
    if "alter column type" not in facts.kind or facts.relation is None:
        return
    if weigh(migration.size(facts.relation), Severity.INFO, any_size=any_size) is None:
        return
    message = (
        f"The statistics of {facts.relation}.{', '.join(facts.columns)} are dropped with the old type under "
        f"ACCESS EXCLUSIVE: queries may get bad plans until the table is analyzed."
    )
    hint = f"ANALYZE {facts.relation} right after the migration"
    yield _finding(
        migration,
        step,
        "MK211",
        Severity.INFO,
        message,
        hint,
        facts.relation,
        facts.lock_on(facts.relation),
    )
