"""From a replayed plan and what is known of the tables to an assessment, without running anything."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from mig_kit.hazards.assessment import MigrationAssessment, Verdict, VerdictKind
from mig_kit.hazards.catalog import Catalog
from mig_kit.hazards.code_findings import code_findings
from mig_kit.hazards.finding import Finding, Severity
from mig_kit.hazards.lock_findings import lock_findings
from mig_kit.hazards.lock_safety import judge_locks
from mig_kit.hazards.plan import Plan
from mig_kit.hazards.transaction_findings import transaction_findings
from mig_kit.hazards.walk import Ground, MigrationSteps, steps_of

__all__ = ["assess_plan", "walk_plan"]


def walk_plan(plan: Plan, catalog: Catalog, *, any_size: bool = False) -> tuple[MigrationSteps, ...]:
    """Walk through a plan from the catalog as it is before it; migrations that only run before are walked too."""
    ground = Ground(catalog, any_size)
    found = []
    for migration in plan.migrations:
        if not plan.history_known:
            ground.begin_plan()
        found.append(steps_of(migration, ground))
    return tuple(found)


def assess_plan(
    plan: Plan, catalog: Catalog, *, databases: int = 1, any_size: bool = False
) -> tuple[MigrationAssessment, ...]:
    """Return what each wanted migration would do.

    ``catalog``: before the plan, from a database or from the project's state. ``databases``: how many different ones
    the project has. ``any_size``: give the verdict for tables of any size. Nothing is asked of any database.
    """
    walked = walk_plan(plan, catalog, any_size=any_size)
    return tuple(_assessment(each, databases=databases, any_size=any_size) for each in walked if each.migration.wanted)


def _assessment(migration: MigrationSteps, *, databases: int, any_size: bool) -> MigrationAssessment:
    findings = [
        *lock_findings(migration, any_size=any_size),
        *transaction_findings(migration, any_size=any_size),
        *code_findings(migration, databases=databases, any_size=any_size),
    ]
    found = [replace(each, file=migration.migration.file) for each in _once(findings)]
    places: dict[tuple[int | None, str], int] = {
        (each.line, each.describe): n for n, each in reversed(list(enumerate(migration.migration.operations)))
    }
    statements = tuple(step.assessed for step in migration.steps)
    return MigrationAssessment(
        app=migration.migration.app,
        name=migration.migration.name,
        lock_safety=judge_locks(statements, migration.sizes),
        compatibility=Verdict(VerdictKind.UNKNOWN, "not looked at", "unknown"),
        reversible=migration.migration.reversible,
        statements=statements,
        findings=tuple(sorted(found, key=lambda each: (places[each.line, each.operation], each.id))),
    )


def _once(findings: Iterable[Finding]) -> list[Finding]:
    """Leave out what is said twice of one operation and table; the graver one stays."""
    order = (Severity.ERROR, Severity.WARNING, Severity.INFO)
    found: dict[tuple[object, ...], Finding] = {}
    for each in findings:
        key = (each.id, each.operation, each.line, each.relation, each.message if each.relation is None else None)
        if key not in found or order.index(each.severity) < order.index(found[key].severity):
            found[key] = each
    return list(found.values())
