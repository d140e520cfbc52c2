"""One difference between two schemas, as a fact and as a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

__all__ = ["ChangeKind", "SchemaChange"]


class ChangeKind(Enum):
    """What became of a part of the schema; ``before`` and ``after`` of a change hold the part itself."""

    TABLE_ADDED = "table added"  # with everything in it, which is not listed again
    TABLE_REMOVED = "table removed"
    TABLE_RENAMED = "table renamed"
    TABLE_CHANGED = "table changed"  # UNLOGGED, PARTITION OF, WITH (…), row level security; a table made a view's kind
    COLUMN_ADDED = "column added"
    COLUMN_REMOVED = "column removed"
    COLUMN_RENAMED = "column renamed"
    COLUMN_ORDER = "column order"  # the same columns stand in another order: harmless, Django names every column
    TYPE_CHANGED = "type changed"
    COLLATION_CHANGED = "collation changed"
    DEFAULT_CHANGED = "default changed"  # the database's own; given, dropped or another one
    NULLABILITY_CHANGED = "nullability changed"  # NOT NULL set, dropped, or validated
    GENERATED_CHANGED = "generated changed"  # what generates a column, or that something does
    IDENTITY_CHANGED = "identity changed"
    COMMENT_CHANGED = "comment changed"  # a table's (then name is None), or a column's
    CONSTRAINT_ADDED = "constraint added"
    CONSTRAINT_REMOVED = "constraint removed"
    CONSTRAINT_RENAMED = "constraint renamed"
    CONSTRAINT_CHANGED = "constraint changed"  # another definition, deferrability included, under the same name
    CONSTRAINT_VALIDITY_CHANGED = "constraint validity changed"  # NOT VALID became valid, or the other way round
    INDEX_ADDED = "index added"
    INDEX_REMOVED = "index removed"
    INDEX_RENAMED = "index renamed"
    INDEX_CHANGED = "index changed"
    INDEX_VALIDITY_CHANGED = "index validity changed"  # pg_index.indisvalid
    SEQUENCE_ADDED = "sequence added"  # one that comes and goes with a table or a column is not listed
    SEQUENCE_REMOVED = "sequence removed"
    SEQUENCE_RENAMED = "sequence renamed"
    SEQUENCE_CHANGED = "sequence changed"  # its parameters, or what owns it; never its value
    TRIGGER_ADDED = "trigger added"
    TRIGGER_REMOVED = "trigger removed"
    TRIGGER_RENAMED = "trigger renamed"
    TRIGGER_CHANGED = "trigger changed"  # its definition, or whether it is enabled
    VIEW_ADDED = "view added"  # of views and materialised views alike
    VIEW_REMOVED = "view removed"
    VIEW_RENAMED = "view renamed"
    VIEW_CHANGED = "view changed"  # its query, or the columns it gives
    DATA_TYPE_ADDED = "data type added"  # an enum, a domain, a range, a composite type
    DATA_TYPE_REMOVED = "data type removed"
    DATA_TYPE_RENAMED = "data type renamed"
    DATA_TYPE_CHANGED = "data type changed"  # a label of an enum, a CHECK of a domain
    FUNCTION_ADDED = "function added"  # the name of a function includes its arguments
    FUNCTION_REMOVED = "function removed"
    FUNCTION_RENAMED = "function renamed"
    FUNCTION_CHANGED = "function changed"
    SCHEMA_ADDED = "schema added"
    SCHEMA_REMOVED = "schema removed"
    EXTENSION_ADDED = "extension added"
    EXTENSION_REMOVED = "extension removed"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """State one difference; ``str()`` is one sentence.

    ``relation``: the label of the table or view it is about, the one it had before; a new one goes by its own; None
    for what belongs to no relation. ``name``: of the part (column, constraint, index, trigger) or of a sequence, type,
    function, schema or extension, before; None where it is about the relation as a whole. ``before``, ``after``: the
    part itself (``Column``, ``Constraint``, ``Relation`` …), None where there is none; of an order, the columns' names.
    """

    kind: ChangeKind
    relation: str | None
    name: str | None
    before: Any = None
    after: Any = None

    @property
    def matters(self) -> bool:
        """Tell whether it makes a difference to anybody; the order of columns makes none."""
        return self.kind is not ChangeKind.COLUMN_ORDER

    def __str__(self) -> str:
        of, before, after = f"{self.name} of {self.relation}", self.before, self.after
        match self.kind:
            case ChangeKind.COLUMN_ADDED:
                return f"column {after} was added to {self.relation}"
            case ChangeKind.COLUMN_REMOVED:
                return f"column {before} was removed from {self.relation}"
            case ChangeKind.COLUMN_ORDER:
                return f"the columns of {self.relation} stand in another order: {', '.join(after)}"
            case ChangeKind.TYPE_CHANGED:
                return f"column {of} changed from {before.type} to {after.type}"
            case ChangeKind.COLLATION_CHANGED:
                return f"column {of} changed {_from_to('collation', before.collation, after.collation)}"
            case ChangeKind.IDENTITY_CHANGED:
                return f"column {of} changed {_from_to('identity', before.identity, after.identity)}"
            case ChangeKind.GENERATED_CHANGED:
                return f"column {of} is generated otherwise: {before} before, {after} now"
            case ChangeKind.DEFAULT_CHANGED:
                return _default(f"the default of column {of}", before.default, after.default)
            case ChangeKind.NULLABILITY_CHANGED:
                return f"column {of} {_nullability(before, after)}"
            case ChangeKind.COMMENT_CHANGED:
                return f"the comment on {self.relation}{f'.{self.name}' if self.name else ''} changed"
            case ChangeKind.CONSTRAINT_VALIDITY_CHANGED | ChangeKind.INDEX_VALIDITY_CHANGED:
                return f"{self._word} {of} is {'valid' if after.valid else 'not valid'} now"
        return self._usual()

    @property
    def _word(self) -> str:
        return self.kind.value.partition(" ")[0] if not self.kind.value.startswith("data type") else "data type"

    def _usual(self) -> str:
        """Say what was added, removed, renamed or changed as a whole."""
        before, after = self.before, self.after
        whole = self.kind.name.startswith(("TABLE", "VIEW"))
        part = self.relation is not None and not whole
        label = self.relation if whole else self.name
        place = f" of {self.relation}" if part else ""
        match self.kind.name.rpartition("_")[2]:
            case "ADDED" if part:
                return f"{self._word} {after} was added to {self.relation}"
            case "REMOVED" if part:
                return f"{self._word} {before} was removed from {self.relation}"
            case "ADDED":
                return f"{self._word} {label} was added"
            case "REMOVED":
                return f"{self._word} {label} was removed"
            case "RENAMED":
                return f"{self._word} {label}{place} was renamed to {after.label if whole else after.name}"
        if self.kind is ChangeKind.TABLE_CHANGED:
            return f"{before} has other properties: {after.properties or 'none'}; {before.properties or 'none'} before"
        if self.kind in (ChangeKind.VIEW_CHANGED, ChangeKind.FUNCTION_CHANGED):
            return f"{self._word} {label} has another definition"
        return f"{self._word} {label}{place} changed: {before} before, {after} now"


def _from_to(what: str, before: str | None, after: str | None) -> str:
    return f"its {what} from {before or 'none of its own'} to {after or 'none of its own'}"


def _default(what: str, before: str | None, after: str | None) -> str:
    if before is None:
        return f"{what} is now {after}; it had none"
    return f"{what} was dropped; it was {before}" if after is None else f"{what} changed from {before} to {after}"


def _nullability(before: Any, after: Any) -> str:
    if before.not_null == after.not_null:
        return "has its NOT NULL validated now" if after.not_null_valid else "has a NOT NULL that is not validated now"
    if after.not_null:
        return "became NOT NULL" + ("" if after.not_null_valid else ", not validated")
    return "became nullable"
