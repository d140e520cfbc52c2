"""From a finding to its remedy."""

from __future__ import annotations

from mig_kit.hazards.plan import PlanMigration, PlanOperation
from mig_kit.hazards.remedies._operations import Work, safe_steps
from mig_kit.hazards.remedies._remedy import NoRemedy, Remedy
from mig_kit.hazards.remedies._source import read_source
from mig_kit.hazards.remedies._steps import compose

__all__ = ["remedy"]

LOCKS = {
    "MK201": "The index is built while reads and writes go on",
    "MK203": "NOT NULL is proved by a CHECK that is validated while reads and writes go on",
    "MK204": "The column comes without its CHECK, which is validated afterwards",
    "MK205": "The foreign key holds for new rows first, and is validated while reads and writes go on",
    "MK206": "The CHECK holds for new rows first, and is validated while reads and writes go on",
    "MK207": "The constraint's index is built while reads and writes go on",
    "MK213": "The column comes empty, and its rows are filled in batches",
    "MK216": "What a failed build has left is dropped first",
    "MK220": "The rows are changed in batches",
}


def remedy(finding_id: str, migration: PlanMigration, operation: PlanOperation) -> Remedy | None:
    """Return the migrations to write instead, where there is a way that rewriting alone can find; else None.

    Reads the migration's file, writes nothing. The rest of the migration stays as it is, around the operation.
    """
    try:
        return _remedy(finding_id, migration, operation)
    except NoRemedy:
        return None


def _remedy(finding_id: str, migration: PlanMigration, operation: PlanOperation) -> Remedy:
    if finding_id not in LOCKS:
        raise NoRemedy(f"there is no remedy for {finding_id}")
    source = read_source(migration)
    number = next(
        each["index"]
        for each, entry in zip(migration.plain["operations"], migration.operations, strict=True)
        if entry is operation
    )
    steps = []
    for n in range(len(source.operations)):
        work = Work(migration, source, n)
        steps += safe_steps(work) if n == number else [work.kept()]
    return compose(migration, source, steps, LOCKS[finding_id])
