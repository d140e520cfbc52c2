"""What a plan of migrations would do, migration by migration: derived by ``check``, measured by ``rehearse``.

Both give this one shape, as JSON too; ``assessment.schema.json`` beside this file describes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from mig_kit.hazards.facts import RelationLock, Work
from mig_kit.hazards.finding import Finding, Severity

if TYPE_CHECKING:
    import pandas

__all__ = ["SCHEMA", "AssessedStatement", "Assessment", "MigrationAssessment", "Verdict", "VerdictKind"]

SCHEMA = 1


class VerdictKind(Enum):
    """How a question about a migration is answered; what could not be looked at is unknown, never safe."""

    SAFE = "safe"
    UNSAFE = "unsafe"
    UNKNOWN = "unknown"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Verdict:
    """State an answer, the reason in one line, and how it is known: measured, catalog, rule or unknown."""

    kind: VerdictKind
    reason: str
    evidence: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason} ({self.evidence})" if self.reason else f"{self.kind} ({self.evidence})"


@dataclass(frozen=True, slots=True)
class AssessedStatement:
    """State what one statement takes and does.

    ``operation``: Django's words for the operation it belongs to. ``ms``: how long it ran, in milliseconds; None where
    it was not run. ``locks``: those that are new with it, ACCESS SHARE and relations made by the plan left out.
    ``work``: what grows with a table. ``transaction``: statements of one transaction share the number, in which they
    run in this order; None for one outside of any. ``evidence``: measured, catalog, rule, or unknown, and then the
    rest is incomplete. ``note``: why it is unknown, or what else there is to say.
    """

    sql: str
    operation: str = ""
    ms: float | None = None
    locks: tuple[RelationLock, ...] = ()
    work: tuple[Work, ...] = ()
    transaction: int | None = None
    evidence: str = "rule"
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "sql": self.sql,
            "ms": None if self.ms is None else round(self.ms, 3),
            "locks": [{"relation": each.relation, "mode": each.mode.value} for each in self.locks],
            "work": [str(each) for each in self.work],
            "evidence": self.evidence,
        }


@dataclass(frozen=True, slots=True)
class MigrationAssessment:
    """State what one migration would do to a live database and to the release that runs against it.

    ``lock_safety``: does it keep readers or writers waiting while it works through a table? ``compatibility``: does
    the code that runs now go on working after it? ``reversible``: None where that is not known.
    """

    app: str
    name: str
    lock_safety: Verdict
    compatibility: Verdict
    reversible: bool | None
    statements: tuple[AssessedStatement, ...]
    findings: tuple[Finding, ...]

    def __str__(self) -> str:
        return f"{self.app}.{self.name}"

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "app": self.app,
            "name": self.name,
            "lock_safety": str(self.lock_safety.kind),
            "compatibility": str(self.compatibility.kind),
            "reversible": self.reversible,
            "statements": [each.as_json() for each in self.statements],
            "findings": [each.as_json() for each in self.findings],
        }


@dataclass(frozen=True, slots=True)
class Assessment:
    """State what a plan would do, in the order it would run. ``project``: its root; ``database``: the alias.

    ``notes``: what to know about how it was looked at. ``remarks``: findings about no migration of the plan.
    """

    project: str
    database: str
    migrations: tuple[MigrationAssessment, ...]
    notes: tuple[str, ...] = ()
    remarks: tuple[Finding, ...] = ()

    def __repr__(self) -> str:
        unsafe = sum(each.lock_safety.kind is VerdictKind.UNSAFE for each in self.migrations)
        return f"<Assessment: {len(self.migrations)} migrations, {unsafe} not lock-safe, {len(self.findings)} findings>"

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every finding, in order."""
        return tuple(each for migration in self.migrations for each in migration.findings) + self.remarks

    @property
    def hazards(self) -> tuple[Finding, ...]:
        """The findings that somebody has to answer: those of severity error or warning."""
        return tuple(each for each in self.findings if each.severity is not Severity.INFO)

    def of(self, app: str, name: str) -> MigrationAssessment | None:
        """Return one migration's assessment, None when it is not in the plan."""
        return next((each for each in self.migrations if (each.app, each.name) == (app, name)), None)

    def as_json(self) -> dict[str, Any]:
        """Return the document of ``mig-kit check --json``; see ``assessment.schema.json``."""
        document: dict[str, Any] = {
            "schema": SCHEMA,
            "project": self.project,
            "database": self.database,
            "migrations": [each.as_json() for each in self.migrations],
        }
        if self.notes:
            document["notes"] = list(self.notes)
        if self.remarks:
            document["findings"] = [each.as_json() for each in self.remarks]
        return document

    def to_frame(self) -> pandas.DataFrame:
        """Return one row a migration: migration, lock safety, old code, reversible, findings, why."""
        import pandas

        rows = [
            (
                str(each),
                str(each.lock_safety.kind),
                str(each.compatibility.kind),
                {True: "yes", False: "no", None: "unknown"}[each.reversible],
                ", ".join(_once(finding.id for finding in each.findings)),
                "; ".join(filter(None, (each.lock_safety.reason, each.compatibility.reason))),
            )
            for each in self.migrations
        ]
        columns = ["migration", "lock safety", "old code", "reversible", "findings", "why"]
        return pandas.DataFrame(rows, columns=columns)


def _once(given: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(given))
