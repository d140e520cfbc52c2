"""Findings about statements together: locks held across work, several tables in one transaction, CONCURRENTLY."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mig_kit.hazards.finding import Finding, Severity
from mig_kit.hazards.lock_safety import Held, held_while_working
from mig_kit.hazards.locks import Blocks, LockMode, blocks
from mig_kit.hazards.walk import MigrationSteps, Step
from mig_kit.hazards.weigh import known_by, size_words, weigh

__all__ = ["transaction_findings"]


def transaction_findings(migration: MigrationSteps, *, any_size: bool = False) -> Iterator[Finding]:
    """Give the findings about the statements of one migration together."""
    yield from _held(migration, any_size)
    yield from _several_tables(migration, any_size)
    for number, step in enumerate(migration.steps):
        if step.facts is not None and not step.facts.transactional:
            yield from _in_a_transaction(migration, step)
            yield from _leftover(migration, step, migration.steps[:number])


def _step_of(migration: MigrationSteps, held: Held) -> Step:
    return next(step for step in migration.steps if step.assessed is held.working)


def _held(migration: MigrationSteps, any_size: bool) -> Iterator[Finding]:
    """A lock that an earlier statement of the transaction took: for each table the gravest case."""
    statements = tuple(step.assessed for step in migration.steps)
    worst: dict[str, Held] = {}
    for held in held_while_working(statements, migration.sizes):
        if held.taken_by is not held.working:
            graver = max(worst.get(held.lock.relation, held), held, key=_weight)
            worst[held.lock.relation] = graver
    for held in worst.values():
        step = _step_of(migration, held)
        strongest = Severity.ERROR if held.blocks is Blocks.READS_AND_WRITES else Severity.WARNING
        size = migration.size(held.lock.relation)
        severity = weigh(size, strongest, any_size=any_size)
        if severity is None:
            continue
        message = (
            f"{held.lock.relation}{size_words(migration, held.lock.relation)} stays locked {held.lock.mode} since "
            f"“{held.taken_by.operation}” while “{held.working.operation}” works ({held.work}): its {held.blocks} wait "
            f"all that time."
        )
        yield Finding(
            "MK214",
            severity,
            migration.migration.app,
            migration.migration.name,
            step.operation.describe,
            message,
            "put the two into migrations of their own: each is a transaction then, and the lock is let go in between",
            known_by(size, held.working.evidence if held.working.evidence != "unknown" else "rule"),
            held.lock.relation,
            held.lock.mode,
            held.work,
            held.blocks,
            line=step.operation.line,
        )


def _weight(held: Held) -> tuple[bool, bool]:
    return held.blocks is Blocks.READS_AND_WRITES, held.lock.relation == held.work.relation


def _several_tables(migration: MigrationSteps, any_size: bool) -> Iterator[Finding]:
    transactions: dict[int, dict[str, Step]] = {}
    for step in migration.steps:
        if step.assessed.transaction is None:
            continue
        # A statement's own table counts; what else it locks is another finding.
        own = step.facts.relation if step.facts is not None else None
        if step.facts is None or own is None or not migration.size(own).matters:
            continue
        if step.facts.lock_on(own) is LockMode.ACCESS_EXCLUSIVE:
            transactions.setdefault(step.assessed.transaction, {}).setdefault(own, step)
    for tables in transactions.values():
        if len(tables) < 2:
            continue
        names = list(tables)
        sizes = [migration.size(name) for name in names]
        known = all(size.rows is not None or size.size_bytes is not None for size in sizes)
        first, last = names[0], tables[names[-1]]
        yield Finding(
            "MK217",
            Severity.WARNING if known or any_size else Severity.INFO,
            migration.migration.app,
            migration.migration.name,
            last.operation.describe,
            f"One transaction locks {', '.join(names[:-1])} and {names[-1]} ACCESS EXCLUSIVE: each stays locked while "
            f"the next one is waited for, and a query that takes them in another order makes a deadlock.",
            "give each table a migration of its own",
            known_by(migration.size(first), last.assessed.evidence),
            first,
            LockMode.ACCESS_EXCLUSIVE,
            None,
            blocks(LockMode.ACCESS_EXCLUSIVE),
            line=last.operation.line,
        )


def _in_a_transaction(migration: MigrationSteps, step: Step) -> Iterator[Finding]:
    inside = migration.migration.atomic or step.operation.transaction == "own"
    if not inside or step.facts is None:
        return
    yield Finding(
        "MK215",
        Severity.ERROR,
        migration.migration.app,
        migration.migration.name,
        step.operation.describe,
        f"{step.facts.kind.capitalize()} on {step.facts.relation} refuses to run in a transaction, and the migration "
        f"is one: it fails.",
        "set atomic = False on the migration, and leave nothing else in it",
        "rule",
        step.facts.relation,
        line=step.operation.line,
    )


_NAME = re.compile(r'CONCURRENTLY\s+(?:IF\s+NOT\s+EXISTS\s+)?("(?:[^"]|"")+"|\w+)', re.IGNORECASE)


def _leftover(migration: MigrationSteps, step: Step, earlier: tuple[Step, ...]) -> Iterator[Finding]:
    """A build that fails leaves an invalid index under its name: a second try has to begin by dropping it."""
    facts = step.facts
    if facts is None or "create index" not in facts.kind:
        return
    size = migration.size(facts.relation or "")
    if not size.existed or size.rows == 0:
        return
    found = _NAME.search(facts.sql)
    name = found[1] if found else ""
    dropped = any(
        each.facts is not None and each.facts.kind.startswith("drop index") and name and name in each.facts.sql
        for each in earlier
    )
    if dropped:
        return
    skips = re.search(r"IF\s+NOT\s+EXISTS", facts.sql, re.IGNORECASE) is not None
    then = (
        "run again it finds the name taken, skips it and ends well, and the index stays invalid"
        if skips
        else "run again it fails because the name is taken"
    )
    yield Finding(
        "MK216",
        Severity.WARNING if skips and not size.is_small else Severity.INFO,
        migration.migration.app,
        migration.migration.name,
        step.operation.describe,
        f"When the build on {facts.relation} (SHARE UPDATE EXCLUSIVE) fails or is stopped, it leaves an invalid index "
        f"{name}; {then}.",
        f"begin with DROP INDEX CONCURRENTLY IF EXISTS {name}, and look at pg_index.indisvalid afterwards",
        step.assessed.evidence,
        facts.relation,
        LockMode.SHARE_UPDATE_EXCLUSIVE,
        line=step.operation.line,
    )
