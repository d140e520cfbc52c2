"""From a replayed plan and what is known of the tables to an assessment, without running anything."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import replace

from mig_kit.hazards.assessment import MigrationAssessment, Verdict
from mig_kit.hazards.catalog import Catalog
from mig_kit.hazards.code_findings import code_findings
from mig_kit.hazards.compatibility import judge_compatibility
from mig_kit.hazards.facts import StatementFacts
from mig_kit.hazards.finding import Finding, Severity
from mig_kit.hazards.lock_findings import lock_findings
from mig_kit.hazards.lock_safety import judge_locks
from mig_kit.hazards.old_release import OldRelease
from mig_kit.hazards.plan import Plan, PlanMigration
from mig_kit.hazards.remedies import remedy
from mig_kit.hazards.squawk import Opinion
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
    plan: Plan,
    catalog: Catalog,
    *,
    databases: int = 1,
    any_size: bool = False,
    opinions: Mapping[str, tuple[Opinion, ...]] = {},
) -> tuple[MigrationAssessment, ...]:
    """Return what each wanted migration would do.

    ``catalog``: before the plan, from a database or from the project's state. ``databases``: how many different ones
    the project has. ``any_size``: give the verdict for tables of any size. ``opinions``: squawk's on raw SQL, by its
    text. Nothing is asked of any database.
    """
    found = []
    old: OldRelease | None = None
    for each in walk_plan(plan, catalog, any_size=any_size):
        if old is None or not plan.history_known:
            old = OldRelease.of(each.existed)
        if each.migration.wanted:
            found.append(_assessment(each, old, databases=databases, any_size=any_size, opinions=opinions))
        old = old.after(each.changes)
    return tuple(found)


def _assessment(
    migration: MigrationSteps,
    old: OldRelease,
    *,
    databases: int,
    any_size: bool,
    opinions: Mapping[str, tuple[Opinion, ...]],
) -> MigrationAssessment:
    compatibility, of_the_old = _compatibility(migration, old)
    findings = [
        *lock_findings(migration, any_size=any_size),
        *transaction_findings(migration, any_size=any_size),
        *code_findings(migration, databases=databases, any_size=any_size, opinions=opinions),
        *of_the_old,
    ]
    found = [_with_code(each, migration.migration) for each in _once(findings)]
    places: dict[tuple[int | None, str], int] = {
        (each.line, each.describe): n for n, each in reversed(list(enumerate(migration.migration.operations)))
    }
    statements = tuple(step.assessed for step in migration.steps)
    return MigrationAssessment(
        app=migration.migration.app,
        name=migration.migration.name,
        lock_safety=judge_locks(statements, migration.sizes),
        compatibility=compatibility,
        reversible=migration.migration.reversible,
        statements=statements,
        findings=tuple(sorted(found, key=lambda each: (places.get((each.line, each.operation), len(places)), each.id))),
    )


def _with_code(finding: Finding, plan: PlanMigration) -> Finding:
    """Say in which file a finding is, and what to write instead, where it has to be answered and there is something."""
    code = ""
    operation = next(
        (each for each in plan.operations if (each.line, each.describe) == (finding.line, finding.operation)), None
    )
    if operation is not None and finding.severity is not Severity.INFO:
        # Whatever a file holds that cannot be rewritten: a hint is not worth the check.
        with contextlib.suppress(Exception):
            found = remedy(finding.id, plan, operation)
            code = found.code if found is not None else ""
    return replace(finding, file=plan.file, code=code)


def _compatibility(migration: MigrationSteps, old: OldRelease) -> tuple[Verdict, list[Finding]]:
    """Give the verdict for the running release, and its findings beside the operations that they come from."""
    plan = migration.migration
    verdict, findings = judge_compatibility(
        plan.app,
        plan.name,
        migration.changes,
        old,
        evidence=migration.evidence,
        unknown=[each.assessed.note for each in migration.steps if each.assessed.evidence == "unknown"],
    )
    placed = []
    for finding in findings:
        steps = [step for step in migration.steps if step.facts and finding.relation in _touched(step.facts)]
        if steps:
            finding = replace(finding, operation=steps[0].operation.describe, line=steps[0].operation.line)
        placed.append(finding)
    return verdict, placed


def _touched(facts: StatementFacts) -> tuple[str | None, ...]:
    return (facts.relation, *facts.drops)


def _once(findings: Iterable[Finding]) -> list[Finding]:
    """Leave out what is said twice of one operation and table; the graver one stays."""
    order = (Severity.ERROR, Severity.WARNING, Severity.INFO)
    found: dict[tuple[object, ...], Finding] = {}
    for each in findings:
        key = (each.id, each.operation, each.line, each.relation, each.message if each.relation is None else None)
        if key not in found or order.index(each.severity) < order.index(found[key].severity):
            found[key] = each
    return list(found.values())
