"""How long statements would take on every row: a line through what they took on samples of two sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from mig_kit.steps._rehearsal import RehearsedMigration
from mig_kit.steps._rehearsed_statement import Extrapolated, RehearsedStatement

__all__ = ["extrapolated"]

Rows = Callable[[str], tuple[int, int, int] | None]


def extrapolated(
    smaller: Sequence[RehearsedMigration], larger: Sequence[RehearsedMigration], rows: Rows
) -> tuple[RehearsedMigration, ...]:
    """Return the migrations of the larger sample, each statement with its time on every row.

    ``rows`` tells of a table how many rows it had in the smaller sample, in the larger, and has in production; None of
    one that is not a sample.
    """
    found = []
    for few, many in zip(smaller, larger, strict=True):
        partners = _partners(few.statements, many.statements)
        statements = [
            replace(each, extrapolated=_one(partner, each, rows))
            for partner, each in zip(partners, many.statements, strict=True)
        ]
        found.append(replace(many, statements=tuple(statements)))
    return tuple(found)


def _partners(few: Sequence[RehearsedStatement], many: Sequence[RehearsedStatement]) -> list[RehearsedStatement | None]:
    """Return for each statement the one of the smaller sample that it is: the next of that text and operation."""
    rest = list(few)
    found: list[RehearsedStatement | None] = []
    for each in many:
        partner = next((one for one in rest if (one.sql, one.operation) == (each.sql, each.operation)), None)
        if partner is not None:
            rest.remove(partner)
        found.append(partner)
    return found


def _one(few: RehearsedStatement | None, many: RehearsedStatement, rows: Rows) -> Extrapolated | None:
    sizes = [size for table in many.tables if (size := rows(table)) is not None]
    if not sizes and not many.unknown:
        return None  # what it works on is there in full, or is nothing that grows
    small, large, real = (sum(size[place] for size in sizes) for place in range(3))
    if many.unknown:
        return Extrapolated(real, ((large, many.ms),), None, many.unknown)
    if few is None:
        return Extrapolated(real, ((large, many.ms),), None, "it ran on the larger sample only")
    if few.error or many.error:
        return Extrapolated(real, ((small, few.ms), (large, many.ms)), None, "it failed")
    measured = ((small, few.ms), (large, many.ms))
    if large <= small:
        return Extrapolated(real, measured, None, "both samples have the same rows")
    # Time that does not grow is noise, or no work on the rows at all.
    a_row = max(0.0, (many.ms - few.ms) / (large - small))
    return Extrapolated(real, measured, many.ms + a_row * (real - large))
