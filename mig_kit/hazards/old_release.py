"""What the release that runs now knows of the database, while a plan goes on under it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from mig_kit.hazards.column_types import parse_type
from mig_kit.postgres.schema import ChangeKind, SchemaChange

__all__ = ["OldRelease", "takes_all"]


@dataclass(frozen=True, slots=True)
class OldRelease:
    """State what was there when the running release was made, by the labels that it has now.

    ``relations``: tables and views; whatever else there is, the plan made, and the running release does not use it.
    ``unknown``: (relation, column) that the plan added or renamed since: the running release does not name them.
    """

    relations: frozenset[str]
    unknown: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def of(cls, existed: Collection[str] | OldRelease) -> OldRelease:
        """Return what ``existed`` says, which may be the labels alone."""
        return existed if isinstance(existed, OldRelease) else cls(frozenset(existed))

    def knows(self, relation: str | None, column: str | None = None) -> bool:
        """Tell whether the running release may name that relation, and that column of it."""
        return relation in self.relations and (relation, column) not in self.unknown

    def after(self, changes: Iterable[SchemaChange]) -> OldRelease:
        """Return the same after one migration of the plan, for the next one."""
        gone, come, unknown = set(), set(), set(self.unknown)
        for each in changes:
            label, kind = each.relation, each.kind
            if label not in self.relations:
                continue
            if kind in _GONE:
                gone.add(label)
            elif kind in (ChangeKind.TABLE_ADDED, ChangeKind.VIEW_ADDED):
                come.add(label)  # it takes the place of one that was removed or renamed
            elif kind is ChangeKind.COLUMN_ADDED:
                unknown.add((label, each.after.name))
            elif kind is ChangeKind.COLUMN_RENAMED:
                unknown.discard((label, each.before.name))
                unknown.add((label, each.after.name))
            elif kind is ChangeKind.COLUMN_REMOVED:
                unknown.discard((label, each.before.name))
        relations = (self.relations - gone) | come
        return OldRelease(relations, frozenset(each for each in unknown if each[0] in relations - come))


_GONE = (ChangeKind.TABLE_REMOVED, ChangeKind.TABLE_RENAMED, ChangeKind.VIEW_REMOVED, ChangeKind.VIEW_RENAMED)

# Digits before the point that always fit.
_INTEGERS = {"smallint": 4, "integer": 9, "bigint": 18}
_TEXTS = ("character", "character varying", "text", "citext")
_ALSO = {("real", "double precision"), ("smallint", "double precision"), ("integer", "double precision")} | {
    ("json", "jsonb"),
    ("cidr", "inet"),
}


def takes_all(old: str, new: str) -> bool:
    """Tell whether a column of the new type takes every value that one of the old type took, and compares like it.

    False where that is not known.
    """
    before, after = parse_type(old), parse_type(new)
    if before == after:
        return True
    if before.array != after.array:
        return False
    if before.base in _INTEGERS:
        if after.base in _INTEGERS:
            return _INTEGERS[after.base] >= _INTEGERS[before.base]
        whole = _digits(after.arguments)
        return after.base == "numeric" and (whole is None or whole[0] > _INTEGERS[before.base])
    if before.base in _TEXTS and after.base in _TEXTS:
        return not after.arguments or (bool(before.arguments) and int(after.arguments[0]) >= int(before.arguments[0]))
    if before.base == after.base == "numeric":
        had, has = _digits(before.arguments), _digits(after.arguments)
        return has is None or (had is not None and has[0] >= had[0] and has[1] >= had[1])
    if before.base == after.base and before.base.startswith("time"):
        return not after.arguments or (bool(before.arguments) and int(after.arguments[0]) >= int(before.arguments[0]))
    return (before.base, after.base) in _ALSO


def _digits(arguments: tuple[str, ...]) -> tuple[int, int] | None:
    """Return how many digits stand before and after the point, None for any number."""
    if not arguments:
        return None
    precision, scale = (int(each) for each in arguments)
    return precision - scale, scale
