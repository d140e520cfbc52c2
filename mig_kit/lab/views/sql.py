"""How the SQL of migrations looks."""

from __future__ import annotations

from mig_kit.hazards.assessment import MigrationAssessment
from mig_kit.lab.blocks import (
    Block,
    Fold,
    Paragraph,
    Phrase,
    Source,
    Table,
    Title,
    View,
    code,
    facts,
    quiet,
    state,
    strong,
)
from mig_kit.lab.views.findings import finding_blocks
from mig_kit.lab.views.session import plural
from mig_kit.lab.views.verdict import verdict_words
from mig_kit.steps.preview import MigrationSql, SqlPlan

__all__ = ["sql_view"]

# Every migration is shown in full; from this many on those that are wholly known start folded.
_MANY = 10


def sql_view(plan: SqlPlan) -> View:
    """Return each migration's script, with what cannot be known here stated before it."""
    if not plan.migrations:
        return View(
            (
                Title("No SQL to show: nothing is pending"),
                Paragraph(("One that is applied can be looked at, too: ", code("rb.preview(app, name)"), ".")),
            )
        )
    statements = sum(len(each.statements) for each in plan.migrations)
    unknown = sum(bool(each.notes) for each in plan.migrations)
    way = " backwards" if any(each.backwards for each in plan.migrations) else ""
    title = f"SQL of {plural(len(plan.migrations), 'migration')}{way}: {plural(statements, 'statement')}"
    if unknown:
        title += f"; {unknown} not wholly known"
    hazards = len(plan.assessment.hazards) if plan.assessment else 0
    if hazards:
        title += f"; {plural(hazards, 'hazard')}"
    blocks: list[Block] = [Title(title, "warn" if unknown or hazards else None)]
    if len(plan.migrations) > 1:
        order = " → ".join(f"{each.app}.{each.name}" for each in plan.migrations)
        blocks.append(Paragraph((quiet("In this order: "), order)))
    blocks += [Paragraph(("Note: ", each)) for each in plan.assessment.notes] if plan.assessment else []
    for each in plan.migrations:
        found = plan.assessment.of(each.app, each.name) if plan.assessment else None
        folded = len(plan.migrations) >= _MANY and not each.notes and not (found and found.findings)
        blocks += _migration(each, found, folded=folded)
    return View(tuple(blocks))


def _migration(migration: MigrationSql, found: MigrationAssessment | None, *, folded: bool) -> list[Block]:
    name = f"{migration.app}.{migration.name}"
    said: list[str] = [plural(len(migration.statements), "statement")]
    if migration.backwards:
        said.append("backwards")
    said.append("one transaction" if migration.atomic else "not atomic: each statement stands once it has run")
    summary: Phrase = (strong(name), quiet("  " + ", ".join(said)))
    script = Source(migration.annotated, "sql")
    blocks: list[Block] = []
    if found is not None:
        verdicts = (("lock safety", found.lock_safety), ("the release that runs now", found.compatibility))
        pairs: list[tuple[str, Phrase]] = [(name, verdict_words(verdict)) for name, verdict in verdicts]
        blocks += [facts(f"What {name} would do, nothing was run for it", pairs), *finding_blocks(found.findings)]
    unknown: list[tuple[Phrase, ...]] = [
        (each.description, state("not known here", "warn"), each.note) for each in migration.operations if each.note
    ]
    if unknown:
        blocks.append(Table(f"What SQL cannot tell about {name}", ("operation", "state", "why"), tuple(unknown)))
    elif not migration.exact and migration.statements:
        # Django asks the database for names of constraints: away from that state the models have to answer.
        blocks.append(
            Paragraph(
                "The database is not at the state just before this migration, so this is what the models say; what "
                "Django looks up in the database (the names of constraints) may differ."
            )
        )
    return [Fold(summary, (*blocks, script), open=not folded)]
