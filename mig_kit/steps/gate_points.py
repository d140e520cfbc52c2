"""What a plan asks of people: hazards to resolve or to acknowledge, and what the release that runs now will see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from mig_kit.hazards.assessment import Assessment, MigrationAssessment, VerdictKind
from mig_kit.hazards.finding import Finding, Severity
from mig_kit.steps.gate_facts import Fact
from mig_kit.steps.plan_hash import HashedPlan

__all__ = ["DATA_LOSS", "LOCK_SAFETY", "OLD_CODE", "Point", "answered", "joined", "points_of"]

# What can be acknowledged beside the ids of findings.
DATA_LOSS = "data loss"
LOCK_SAFETY = "lock safety"
OLD_CODE = "old code"

_OF_OLD_CODE = "MK3"  # findings about what the release that runs now sees


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """State one thing that somebody has to answer for.

    ``id``: of the finding, or one of the words that this module names. ``about``: the table, or the operation where it
    is about none, so that an answer covers just that. ``old_code``: it is about the release that runs now. ``reason``,
    ``by`` and ``at``: who acknowledged it why and when; '' and None while nobody did.
    """

    id: str
    migration: str
    message: str
    hint: str = ""
    about: str = ""
    evidence: str = ""
    old_code: bool = False
    reason: str = ""
    by: str = ""
    at: datetime | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is, where, and about what."""
        return self.id, self.migration, self.about

    def __str__(self) -> str:
        return f"{self.id} in {self.migration}"

    def as_fact(self) -> dict[str, Any]:
        """Return it as plain data, without its answer."""
        return {name: value for name, value in asdict(self).items() if name not in ("reason", "by", "at")}

    @classmethod
    def from_fact(cls, data: Mapping[str, Any]) -> Point:
        """Return what ``as_fact`` gave."""
        return cls(**data)


def points_of(assessment: Assessment) -> tuple[Point, ...]:
    """Return what an assessment asks: its findings that are errors or warnings, and each verdict that is not safe."""
    return tuple(point for each in assessment.migrations for point in _of_migration(each))


def _of_migration(migration: MigrationAssessment) -> Iterable[Point]:
    found = [_of_finding(each, str(migration)) for each in migration.findings if each.severity is not Severity.INFO]
    ignored = [each for each in migration.findings if each.ignored]
    locks, code = migration.lock_safety, migration.compatibility
    if locks.kind is not VerdictKind.SAFE and all(each.old_code for each in found) and not ignored:
        words = f"Its lock safety is {locks.kind}: {locks.reason or 'nobody looked'}."
        found.append(Point(id=LOCK_SAFETY, migration=str(migration), message=words, evidence=locks.evidence))
    if code.kind is not VerdictKind.SAFE and not any(each.old_code for each in [*found, *map(_ignored, ignored)]):
        words = f"Whether the release that runs now works on after it is {code.kind}: {code.reason or 'nobody looked'}."
        if code.kind is VerdictKind.UNSAFE:
            words = f"The release that runs now does not work on after it: {code.reason}."
        found.append(Point(id=OLD_CODE, migration=str(migration), message=words, evidence=code.evidence, old_code=True))
    return found


def _of_finding(finding: Finding, migration: str) -> Point:
    return Point(
        id=finding.id,
        migration=migration,
        message=finding.message,
        hint=finding.hint,
        about=finding.relation or finding.operation,
        evidence=finding.evidence,
        old_code=finding.id.startswith(_OF_OLD_CODE),
    )


def _ignored(finding: Finding) -> Point:
    return _of_finding(finding, f"{finding.app}.{finding.migration}")


def joined(derived: Sequence[Point], measured: Sequence[Point] | None) -> tuple[Point, ...]:
    """Return the points of a check and of a rehearsal of the same plan, each once.

    What the check could not tell is no point where a rehearsal measured it, and what both found is told as it was
    measured. ``measured``: None without a rehearsal.
    """
    if measured is None:
        return tuple(derived)
    seen = {each.key for each in measured}
    return (*(each for each in derived if each.evidence != "unknown" and each.key not in seen), *measured)


def answered(points: Sequence[Point], plan: HashedPlan, facts: Sequence[Fact]) -> tuple[Point, ...]:
    """Return the points with their answers, as far as somebody gave one for this very migration as it stands.

    ``facts``: acknowledgements, the newest first.
    """
    return tuple(_answered(each, plan, facts) for each in points)


def _answered(point: Point, plan: HashedPlan, facts: Sequence[Fact]) -> Point:
    hashed = plan.of(point.migration)
    for fact in facts:
        said = fact.data
        if (said["migration"], said["backwards"]) != (point.migration, plan.backwards):
            continue
        if hashed is None or not hashed.sha256 or said["sha256"] != hashed.sha256:
            continue
        if said["finding"] == point.id and point.about in said["about"]:
            return replace(point, reason=said["reason"], by=fact.by, at=fact.at)
    return point
