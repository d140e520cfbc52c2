"""The project's ignore rules: what they fit is kept as information, with the reason; what fits nothing is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mig_kit.hazards.assessment import MigrationAssessment
from mig_kit.hazards.finding import Finding, Severity
from mig_kit.project.check_config import IgnoreRule

__all__ = ["apply_ignores"]


def apply_ignores(
    migrations: Sequence[MigrationAssessment], rules: Sequence[IgnoreRule]
) -> tuple[tuple[MigrationAssessment, ...], tuple[Finding, ...]]:
    """Return the migrations with what is ignored marked as such, and a finding for each rule that fits nothing.

    The verdicts stay: an ignored hazard is still one.
    """
    used: set[IgnoreRule] = set()

    def considered(migration: MigrationAssessment, finding: Finding) -> Finding:
        for rule in rules:
            if rule.fits(finding.id, str(migration), finding.relation):
                used.add(rule)
                return replace(finding, severity=Severity.INFO, ignored=rule.reason)
        return finding

    marked = tuple(
        replace(each, findings=tuple(considered(each, finding) for finding in each.findings)) for each in migrations
    )
    return marked, tuple(_unused(rule) for rule in rules if rule not in used)


def _unused(rule: IgnoreRule) -> Finding:
    return Finding(
        "MK501",
        Severity.INFO,
        app="",
        migration=rule.migration,
        operation="",
        message=f"The ignore rule {rule} fits no finding of this plan ({rule.reason}).",
        hint="remove it once its migration is applied everywhere, or correct it",
        relation=rule.relation,
    )
