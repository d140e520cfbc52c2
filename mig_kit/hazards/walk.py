"""A plan statement by statement: what each takes and does, on the catalog as it is when it runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from mig_kit.hazards.assessment import AssessedStatement
from mig_kit.hazards.catalog import Catalog, TableInfo
from mig_kit.hazards.catalog_after import catalog_after, renamed_table
from mig_kit.hazards.catalog_schema import Numbers, changes_between
from mig_kit.hazards.facts import RelationLock, StatementFacts, Work, WorkKind
from mig_kit.hazards.lock_safety import TableSize
from mig_kit.hazards.locks import LockMode
from mig_kit.hazards.plan import PlanMigration, PlanOperation
from mig_kit.hazards.state_catalog import actual_names
from mig_kit.hazards.statement import classify
from mig_kit.postgres.schema import SchemaChange

__all__ = ["Ground", "MigrationSteps", "Step", "steps_of"]


@dataclass(frozen=True, slots=True)
class Step:
    """One statement (or a piece of code: ``facts`` is None) of an operation.

    ``before``: the catalog when it runs. ``assessed``: what is shown of it. ``deferred``: Django holds it back to the
    migration's end.
    """

    operation: PlanOperation
    assessed: AssessedStatement
    facts: StatementFacts | None
    before: Catalog
    deferred: bool = False


@dataclass(frozen=True, slots=True)
class MigrationSteps:
    """One migration's steps, the sizes of the relations they touch, and what it makes of the schema.

    ``existed``: the tables that were there before the plan, under the names they have before the migration.
    """

    migration: PlanMigration
    steps: tuple[Step, ...]
    sizes: dict[str, TableSize]
    existed: frozenset[str]
    evidence: str
    changes: tuple[SchemaChange, ...]

    def size(self, relation: str) -> TableSize:
        """Return a relation's size; what is not known counts as a table of unknown size."""
        return self.sizes.get(relation, TableSize())


@dataclass
class Ground:
    """What the plan goes over: the catalog, kept up to date, and what the plan has made itself.

    ``any_size``: the verdict is wanted for tables of any size, whatever the catalog says of theirs.
    """

    catalog: Catalog
    any_size: bool = False
    made: set[str] = field(default_factory=set)
    numbers: Numbers = field(default_factory=Numbers)

    def __post_init__(self) -> None:
        self.numbers.note(self.catalog)

    def begin_plan(self) -> None:
        """Forget what was made: all that is there now counts as there before, and nobody knows how large it is."""
        tables = {
            label: replace(info, size_bytes=None, row_estimate=None) if label in self.made else info
            for label, info in self.catalog.tables.items()
        }
        self.catalog = replace(self.catalog, tables=tables)
        self.made.clear()

    @property
    def existing(self) -> frozenset[str]:
        """Return the tables that were there before the plan, under the names they have now."""
        return frozenset(label for label in self.catalog.tables if label not in self.made)

    def run(self, facts: StatementFacts) -> None:
        """Take a statement as run."""
        before = self.catalog
        self.catalog = catalog_after(before, facts.sql)
        renamed = renamed_table(facts.sql)
        self.numbers.follow(before, self.catalog, renamed)
        if renamed is not None:
            if renamed[0] in self.made:
                self.made.discard(renamed[0])
                self.made.add(renamed[1])
            return
        self.made -= set(facts.drops)
        self.made |= {name for name in facts.creates if before.table(name) is None}
        if not facts.known or facts.kind == "insert":
            self.filled({facts.relation} if facts.known and facts.relation else self.made)

    def filled(self, labels: Iterable[str] | None = None) -> None:
        """Take note that tables of the plan's own, all of them if none is named, may hold rows now."""
        tables = dict(self.catalog.tables)
        for label in self.made.intersection(self.made if labels is None else labels) & set(tables):
            tables[label] = replace(tables[label], row_estimate=None)
        self.catalog = replace(self.catalog, tables=tables)

    def is_made(self, relation: str) -> bool:
        """Tell whether the plan made it, or the table that it is an index of."""
        if relation in self.made:
            return True
        index = self.catalog.index(relation)
        return index is not None and index[0].label in self.made

    def size(self, info: TableInfo) -> TableSize:
        """Return how large a table is."""
        if info.label in self.made:
            return TableSize(existed=False, size_bytes=0, rows=0)
        if self.any_size:
            return TableSize()
        return TableSize(size_bytes=info.size_bytes, rows=info.row_estimate, is_table=info.kind != "v")

    def sizes(self, since: Catalog | None = None) -> dict[str, TableSize]:
        """Return the sizes of every relation that is known, or of those that have changed since.

        A partition counts as large as all of them together.
        """
        known = since.tables if since is not None else {}
        changed = [info for label, info in self.catalog.tables.items() if known.get(label) is not info]
        found: dict[str, TableSize] = {}
        for info in changed:
            size = self.size(info)
            found.setdefault(info.label, size)
            part = replace(size, is_table=False)
            for index in info.indexes or ():
                found[index.name] = part
            for other in info.dependents or ():
                if other.kind == "sequence":
                    found[other.name] = part
        for info in changed:
            for below in info.partitions:
                found[below] = self.size(info)
        return found


def steps_of(migration: PlanMigration, ground: Ground) -> MigrationSteps:
    """Walk through one migration; ``ground`` is as it leaves it afterwards."""
    before, existed, numbers_before = ground.catalog, ground.existing, ground.numbers.copy()
    sizes = ground.sizes()
    numbers = _Transactions(migration)
    steps: list[Step] = []
    for operation, texts, deferred in _pieces(migration):
        number = numbers.of(operation, deferred=deferred)
        if not deferred and (said := _not_known(operation)):
            steps.append(_code_step(operation, said, number, ground))
            ground.filled()
        for text in texts:
            sql = actual_names(text, operation.guesses, ground.catalog)
            for facts in classify(sql, ground.catalog):
                facts = _about_the_table(facts, operation, ground.catalog)
                taken = {lock for step in steps if _same(step, number) for lock in step.assessed.locks}
                assessed = _assessed(facts, operation, number, taken, ground)
                steps.append(Step(operation, assessed, facts, ground.catalog, deferred))
                if facts.kind.startswith("drop index"):
                    _add(sizes, {name: TableSize(is_table=False) for name in facts.drops})
                catalog = ground.catalog
                ground.run(facts)
                _add(sizes, ground.sizes(catalog))
    changes = changes_between(before, ground.catalog, numbers_before, ground.numbers)
    return MigrationSteps(migration, tuple(steps), sizes, existed, before.evidence, changes)


def _add(sizes: dict[str, TableSize], more: dict[str, TableSize]) -> None:
    """Add sizes; where a name stood for two relations, the one that matters counts."""
    for label, size in more.items():
        if label not in sizes or not sizes[label].matters:
            sizes[label] = size


def _same(step: Step, number: int | None) -> bool:
    return number is not None and step.assessed.transaction == number


def _pieces(migration: PlanMigration) -> Iterator[tuple[PlanOperation, Sequence[str], bool]]:
    for operation in migration.operations:
        yield operation, operation.statements, False
    for text, operation in migration.deferred:
        yield operation, (text,), True


class _Transactions:
    """Number the transactions of one migration, as Migration.apply opens them."""

    def __init__(self, migration: PlanMigration) -> None:
        self.atomic = migration.atomic
        self.number = 0
        self.last: PlanOperation | None = None

    def of(self, operation: PlanOperation, *, deferred: bool) -> int | None:
        """Return the number of the transaction that an operation's statements run in, None for none."""
        if self.atomic:
            return 0
        if deferred or operation.transaction is None:
            return None
        if operation is not self.last:
            self.last = operation
            self.number += 1
        return self.number


def _not_known(operation: PlanOperation) -> tuple[str, str] | None:
    """Return (what stands for its statement, why what it does is not known), None where it is known."""
    if operation.python is not None:
        if operation.python.noop:
            return None
        name = operation.python.name
        return f"-- RunPython: {name}", f"what the Python code {name} runs is known only by running it, on a copy"
    if operation.note is not None:
        return f"-- {operation.kind}", operation.note
    if not operation.known:
        return f"-- {operation.path}", f"{operation.kind} is not Django's own: it may do more than its statements"
    return None


def _code_step(operation: PlanOperation, said: tuple[str, str], number: int | None, ground: Ground) -> Step:
    work: tuple[Work, ...] = ()
    if operation.python is not None:
        tables = {str(each["table"]) for each in operation.python.whole if each["table"]}
        changed = {
            str(each["table"])
            for each in operation.python.whole
            if each["table"] and each["what"].startswith(("update", "delete", "save"))
        }
        work = tuple(
            [Work(WorkKind.SCAN, table) for table in sorted(tables)]
            + [Work(WorkKind.CHANGE_ROWS, table) for table in sorted(changed)]
        )
    assessed = AssessedStatement(
        said[0], operation.describe, work=work, transaction=number, evidence="unknown", note=said[1]
    )
    return Step(operation, assessed, None, ground.catalog)


def _assessed(
    facts: StatementFacts,
    operation: PlanOperation,
    number: int | None,
    taken: Iterable[RelationLock],
    ground: Ground,
) -> AssessedStatement:
    had = set(taken)
    locks = tuple(
        lock
        for lock in facts.locks
        if lock not in had
        and lock.mode is not LockMode.ACCESS_SHARE
        and not ground.is_made(lock.relation)
        and lock.relation not in facts.creates
    )
    work = tuple(each for each in facts.work if not ground.is_made(each.relation))
    notes = facts.unsure if not facts.known else ((facts.fails,) if facts.fails else ())
    return AssessedStatement(
        sql=facts.sql,
        operation=operation.describe,
        locks=locks,
        work=work,
        transaction=number if facts.transactional else None,
        evidence=facts.evidence,
        note="; ".join(each for each in notes if each),
    )


def _about_the_table(facts: StatementFacts, operation: PlanOperation, catalog: Catalog) -> StatementFacts:
    """Where the table of a dropped index is not known: Django drops one of the operation's own model."""
    table = operation.plain.get("table")
    if facts.kind != "drop index" or not table or catalog.index(facts.relation or "") or catalog.evidence == "catalog":
        return facts
    return replace(facts, locks=(*facts.locks, RelationLock(str(table), LockMode.ACCESS_EXCLUSIVE)))
