"""What a way back would do to a live database and to the release that runs against it, told from its statements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mig_kit.hazards.assess import assess_plan
from mig_kit.hazards.assessment import Assessment
from mig_kit.hazards.catalog import Catalog
from mig_kit.hazards.ignores import apply_ignores
from mig_kit.hazards.plan import Plan, PlanMigration, PlanOperation, PythonCode
from mig_kit.steps.check_plan import look_up
from mig_kit.steps.preview import MigrationSql, OperationSql, SqlPlan
from mig_kit.steps.target import Target

__all__ = ["assess_way_back"]

_NOTHING = PythonCode(name="noop", file=None, line=None, noop=True, reverse=True, unknown=None)


def assess_way_back(target: Target, sql: SqlPlan, found: Sequence[PlanMigration]) -> Assessment:
    """Return the assessment of a way back. ``found``: the migrations as the worker replays them, in the same order.

    The running release is the one that was written for the schema as it is now. Nothing is run.
    """
    migrations = tuple(_backwards(*each) for each in zip(sql.migrations, found, strict=True))
    plan = Plan(migrations)
    catalog, said = look_up(target, plan, Catalog(evidence="rule"))
    config = target.project.config.check
    assessed = assess_plan(plan, catalog, any_size=config.assume_large)
    # What to write instead is about the way there.
    bare = tuple(
        replace(each, findings=tuple(replace(finding, code="") for finding in each.findings)) for each in assessed
    )
    ignored, _unused = apply_ignores(bare, config.ignore)
    return Assessment(str(target.project.root), target.database, ignored, (said,))


def _backwards(migration: MigrationSql, replayed: PlanMigration) -> PlanMigration:
    """Return a migration whose operations are those of its way back."""
    count = len(migration.operations)
    by_place: dict[int, list[PlanOperation]] = {}
    for data, each in zip(replayed.plain["operations"], replayed.operations, strict=True):
        by_place.setdefault(data["index"], []).append(each)
    operations = tuple(
        _operation(each, by_place.get(count - 1 - place, []), atomic=migration.atomic)
        for place, each in enumerate(migration.operations)
    )
    last = operations[-1:]
    return replace(
        replayed,
        applied=False,
        wanted=True,
        operations=operations,
        deferred=tuple((text, last[0]) for text in migration.deferred) if last else (),
        plain={**replayed.plain, "operations": []},
    )


def _operation(operation: OperationSql, forwards: Sequence[PlanOperation], *, atomic: bool) -> PlanOperation:
    """Return one operation of the way back; ``forwards``: what it takes back."""
    first = forwards[0] if forwards else None
    noop = bool(forwards) and all(each.python is not None and each.python.reverse_noop for each in forwards)
    return PlanOperation(
        kind=operation.operation,
        path=first.path if first else operation.operation,
        describe=operation.description,
        line=first.line if first else 1,
        known=first.known if first else False,
        statements=operation.statements,
        note=None if noop else operation.note,
        transaction="migration" if atomic else first.transaction if first else None,
        reversible=True,
        plain={"table": first.plain.get("table")} if first else {},
        python=_NOTHING if noop else None,
    )
