"""How a check looks: the verdict on each migration, the findings, then each statement's locks and work."""

from __future__ import annotations

from mig_kit.hazards.assessment import AssessedStatement, Assessment, MigrationAssessment, VerdictKind
from mig_kit.hazards.finding import Severity
from mig_kit.lab.blocks import Block, Fold, Group, Paragraph, Phrase, Table, Title, View, code, limited, quiet, strong
from mig_kit.lab.views.findings import finding_blocks
from mig_kit.lab.views.session import plural
from mig_kit.lab.views.verdict import verdict_words

__all__ = ["assessment_view", "statement_table"]

_MOST = 400


def assessment_view(assessment: Assessment) -> View:
    """Return the verdicts in plain sight and the statements in folds."""
    if not assessment.migrations:
        return View((Title("Nothing to check: no migration is pending"), *_notes(assessment)))
    rows: list[tuple[Phrase, ...]] = [
        (
            code(each),
            verdict_words(each.lock_safety),
            verdict_words(each.compatibility),
            {True: "yes", False: "no", None: "unknown"}[each.reversible],
        )
        for each in assessment.migrations
    ]
    columns = ("migration", "lock safety", "the release that runs now", "reversible")
    blocks: list[Block] = [_title(assessment), Table("Verdicts, nothing was run for them", columns, tuple(rows))]
    blocks += finding_blocks(assessment.findings)
    blocks += _notes(assessment)
    folded = len(assessment.migrations) > 3
    for each in assessment.migrations:
        summary = (strong(str(each)), quiet(f"  {plural(len(each.statements), 'statement')}"))
        blocks.append(Fold(summary, (statement_table(each),), open=not folded))
    return View(tuple(blocks))


def statement_table(migration: MigrationAssessment) -> Block:
    """Return what each statement of a migration locks and does, and how that is known."""
    if not migration.statements:
        return Paragraph("It runs no statement.")
    rows: list[tuple[Phrase, ...] | Group] = []
    operation = ""
    for each in migration.statements:
        if each.operation != operation:
            operation = each.operation
            rows.append(Group(operation))
        rows.append((code(" ".join(each.sql.split())), _locks(each), _work(each), quiet(each.evidence)))
    columns = ("statement", "new locks", "work that grows with a table", "known by")
    return Table(f"What {migration} locks and does", columns, limited(rows, _MOST, "rb.check().as_json()"))


def _locks(statement: AssessedStatement) -> Phrase:
    return "\n".join(f"{each.mode} on {each.relation}" for each in statement.locks) or quiet("none new")


def _work(statement: AssessedStatement) -> Phrase:
    said = "\n".join(f"{each.kind} of {each.relation}" for each in statement.work)
    if statement.note:
        return (said, "\n" if said else "", quiet(statement.note))
    return said or quiet("none")


def _title(assessment: Assessment) -> Title:
    count = plural(len(assessment.migrations), "migration")
    errors = sum(each.severity is Severity.ERROR for each in assessment.findings)
    kinds = {verdict.kind for each in assessment.migrations for verdict in (each.lock_safety, each.compatibility)}
    if errors or VerdictKind.UNSAFE in kinds:
        return Title(f"Check: {count}, not all of it is safe on a live database", "warn")
    if VerdictKind.UNKNOWN in kinds:
        return Title(f"Check: {count}, and not all of it can be known without a rehearsal", "warn")
    return Title(f"Check: {count}, no hazard found", "good")


def _notes(assessment: Assessment) -> list[Block]:
    return [Paragraph(("Note: ", each)) for each in assessment.notes]
