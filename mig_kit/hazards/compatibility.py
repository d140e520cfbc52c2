"""The verdict on compatibility: does the release that runs now go on working on the schema after a migration?

A migration runs while the old release still serves, and again when a deployment is taken back. Its models name every
column in each SELECT and INSERT, so what is judged are names, defaults and types, never the order of columns.

What the old release surely runs into makes the verdict ``unsafe``. What it may run into, because that depends on the
values it writes (a new CHECK, UNIQUE or foreign key, a trigger) or on how it speaks to the server (prepared statements
after a change of type), is a warning, and the verdict stays ``safe``. An exception is a CHECK that says no more than
``column IS NOT NULL``: that is a NOT NULL under another name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from mig_kit.hazards._column_compatibility import column_findings
from mig_kit.hazards._compatibility import Said
from mig_kit.hazards._constraint_compatibility import constraint_findings
from mig_kit.hazards._relation_compatibility import relation_findings
from mig_kit.hazards.assessment import Verdict, VerdictKind
from mig_kit.hazards.finding import Finding, Severity
from mig_kit.hazards.old_release import OldRelease
from mig_kit.postgres.schema import SchemaChange

__all__ = ["judge_compatibility"]


def judge_compatibility(
    app: str,
    name: str,
    changes: Iterable[SchemaChange],
    existed: Collection[str] | OldRelease,
    *,
    evidence: str,
    operation: str = "",
    unknown: Sequence[str] = (),
) -> tuple[Verdict, tuple[Finding, ...]]:
    """Return the verdict on one migration, and the findings MK301 to MK318 with that evidence.

    ``changes``: what it makes of the schema as the migration before it leaves that. ``existed``: the labels of the
    tables and views that were there before the plan, under the names they have now; what the plan made is used by
    nobody yet. For a plan of several migrations give an ``OldRelease`` and pass on ``existed.after(changes)``: it
    tells columns that the plan added from those that the old release knows. ``unknown``: reasons why a part of the
    migration could not be looked at, if any: without an error they make the verdict unknown.
    """
    listed = [each for each in changes if each.matters]
    old = OldRelease.of(existed)
    said = [*column_findings(listed, old), *relation_findings(listed, old), *constraint_findings(listed, old)]
    findings = tuple(_finding(each, app, name, operation, evidence) for each in said)
    failing = [each for each in findings if each.severity is Severity.ERROR]
    if failing:
        return Verdict(VerdictKind.UNSAFE, _reason(failing), evidence), findings
    if unknown or evidence == "unknown":
        return Verdict(VerdictKind.UNKNOWN, next(iter(unknown), "it could not be looked at"), "unknown"), findings
    return Verdict(VerdictKind.SAFE, _reason(findings), evidence), findings


def _finding(said: Said, app: str, name: str, operation: str, evidence: str) -> Finding:
    return Finding(
        said.id, said.severity, app, name, operation, said.message, said.hint, evidence, relation=said.relation
    )


def _reason(findings: Sequence[Finding]) -> str:
    """Return the first finding's first clause, and how many more there are."""
    if not findings:
        return ""
    first = findings[0].message.partition(":")[0].rstrip(".")
    first = first[0].lower() + first[1:]
    return first if len(findings) == 1 else f"{first}; and {len(findings) - 1} more"
