"""How much a hazard weighs, by the size of the table that it is about."""

from __future__ import annotations

from mig_kit.hazards.finding import Severity
from mig_kit.hazards.lock_safety import TableSize
from mig_kit.hazards.walk import MigrationSteps

__all__ = ["known_by", "size_words", "weigh"]


def weigh(size: TableSize, worst: Severity, *, any_size: bool = False) -> Severity | None:
    """Return the severity, None for a table that is new or known to be empty.

    ``worst`` is for a table that is known to be large, or meant to be (``any_size``). On a small one it is good to
    know, because it may not stay small; of one whose size is not known, nobody can say that it must be an error.
    """
    if not size.existed or size.rows == 0:
        return None
    if size.is_small:
        return Severity.INFO
    if size.rows is None and size.size_bytes is None and not any_size and worst is Severity.ERROR:
        return Severity.WARNING
    return worst


def known_by(size: TableSize, evidence: str) -> str:
    """Return how a finding is known: by a statement's own evidence, and by whether the size comes from a database."""
    if evidence == "unknown" or size.rows is not None or size.size_bytes is not None:
        return evidence
    return "rule"


def size_words(migration: MigrationSteps, relation: str) -> str:
    """Return a table's size in words for a message, in parentheses; nothing where it is not known."""
    size = migration.size(relation)
    if size.rows is None and size.size_bytes is None:
        return ""
    rows = f"{size.rows:,} rows" if size.rows is not None else "never analyzed"
    return f" ({rows}, {_bytes(size.size_bytes or 0)})"


def _bytes(count: int) -> str:
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1024:
            return f"{value:.0f} {unit}"
        value /= 1024
    return f"{value:.1f} TB"
