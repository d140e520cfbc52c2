"""The runbook's success criteria, each with the evidence of a session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mig_kit.errors import ApplyFailed
from mig_kit.steps import _verify_checks as checks
from mig_kit.steps.apply import Applied
from mig_kit.steps.generate import Generated
from mig_kit.steps.review import ModelChanges
from mig_kit.steps.verify import Verification

if TYPE_CHECKING:
    import pandas

__all__ = ["Criterion", "SuccessCriteria", "success_criteria"]


@dataclass(frozen=True, slots=True)
class Criterion:
    """One of the runbook's success criteria: whether it holds (None: not looked at yet), and the evidence."""

    criterion: str
    holds: bool | None
    evidence: str


@dataclass(frozen=True, slots=True)
class SuccessCriteria:
    """The runbook's success criteria, each with its evidence; true when all hold."""

    criteria: tuple[Criterion, ...]

    def __bool__(self) -> bool:
        return all(each.holds for each in self.criteria)

    def to_frame(self) -> pandas.DataFrame:
        """Return one row a criterion: [x] or [ ], criterion, evidence."""
        import pandas

        rows = [("[x]" if each.holds else "[ ]", each.criterion, each.evidence) for each in self.criteria]
        return pandas.DataFrame(rows, columns=["", "success criterion", "evidence"])


def success_criteria(
    changes: ModelChanges | None,
    generated: Sequence[Generated],
    attempts: Sequence[Applied | ApplyFailed],
    verification: Verification | None,
) -> SuccessCriteria:
    """Judge a session by what its steps left behind; what was not looked at does not hold.

    ``attempts``: how each apply came out, in order.
    """
    return SuccessCriteria(
        (
            _files(changes, generated),
            _verified("showmigrations shows all migrations applied", checks.APPLIED, verification),
            _migrate(attempts),
            _verified("Models can be imported and queried", checks.MODELS, verification),
            _verified("Admin interface works correctly", checks.ADMIN, verification),
        )
    )


def _files(changes: ModelChanges | None, generated: Sequence[Generated]) -> Criterion:
    name = "makemigrations creates expected migration files"
    files = [f"{each.app}.{each.name}" for result in generated for each in result.files]
    if files:
        found = sum(len(result.findings) for result in generated)
        looked = f"; {found} finding{'s' if found != 1 else ''} to look at" if found else "; no findings"
        return Criterion(name, True, ", ".join(files) + looked)
    return Criterion(name, False if changes else None, "no file was generated in this session")


def _migrate(attempts: Sequence[Applied | ApplyFailed]) -> Criterion:
    name = "No errors during migrate"
    if not attempts:
        return Criterion(name, None, "nothing was applied in this session")
    last = attempts[-1]
    if isinstance(last, ApplyFailed):
        return Criterion(name, False, last.message.partition("\n")[0])
    count = sum(len(each.migrations) for each in attempts if isinstance(each, Applied))
    failures = sum(isinstance(each, ApplyFailed) for each in attempts)
    evidence = f"{count} migration{'s' if count != 1 else ''} applied in this session"
    again = f", after {failures} failed attempt{'s' if failures != 1 else ''}" if failures else ""
    return Criterion(name, True, evidence + again)


def _verified(criterion: str, check: str, verification: Verification | None) -> Criterion:
    if verification is None:
        return Criterion(criterion, None, "not verified since the last change: rb.verify()")
    found = verification.check(check)
    holds = {"ok": True, "warning": True, "failed": False}.get(found.state)
    return Criterion(criterion, holds, found.detail)
