"""How findings look."""

from __future__ import annotations

from collections.abc import Sequence

from mig_kit.hazards.finding import Finding
from mig_kit.lab.blocks import Block, Fold, Group, Phrase, Source, Table, code, quiet, state, strong

__all__ = ["finding_blocks", "finding_table"]


def finding_table(findings: Sequence[Finding]) -> Table:
    """Return findings by migration: how much each weighs, what it is, what to do."""
    rows: list[tuple[Phrase, ...] | Group] = []
    named = ""
    for each in findings:
        migration = f"{each.app}.{each.migration}"
        if migration != named:
            named = migration
            rows.append(Group(code(migration)))
        where = (each.operation, "\n") if each.operation else ()
        message: Phrase = (*where, each.message, "\n", strong("Next: "), each.hint)
        rows.append((code(each.id), state(str(each.severity)), message, quiet(each.evidence)))
    return Table("Findings", ("id", "severity", "finding", "known by"), tuple(rows))


def finding_blocks(findings: Sequence[Finding]) -> list[Block]:
    """Return the table, and behind a fold for each the code to write instead, where there is some."""
    if not findings:
        return []
    blocks: list[Block] = [finding_table(findings)]
    shown: set[str] = set()
    for each in findings:
        if each.code and each.code not in shown:
            shown.add(each.code)
            summary = (
                "What to write instead: ",
                strong(f"{each.app}.{each.migration}"),
                quiet(f"  {each.operation}, {each.id}"),
            )
            blocks.append(Fold(summary, (Source(each.code, "python"),)))
    return blocks
