"""What a schema is made of, as one database has it: relations and their parts, sequences, types, functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Column", "Constraint", "Index", "NamedObject", "Relation", "Schema", "Sequence", "Trigger"]

# The parts are named tuples, because a few hundred tables have thousands of them. Each begins with the number that it
# keeps for its whole life in one database, under whatever name.


class Column(NamedTuple):
    """State a column: its attnum, its type as format_type writes it, its default (or what generates it) as SQL.

    ``generated``: '', 'stored' or 'virtual'. ``identity``: '', 'always' or 'by default'. ``collation``: None for the
    type's own. ``not_null_valid``: False for a NOT NULL that was added NOT VALID and never validated (18 and later).
    """

    number: int
    name: str
    type: str
    not_null: bool = False
    default: str | None = None
    generated: str = ""
    identity: str = ""
    collation: str | None = None
    comment: str | None = None
    not_null_valid: bool = True

    @property
    def fills_itself(self) -> bool:
        """Tell whether an INSERT that leaves it out succeeds."""
        return not self.not_null or self.default is not None or bool(self.generated or self.identity)

    def __str__(self) -> str:
        parts = [self.name, self.type]
        if self.collation:
            parts.append(f"COLLATE {self.collation}")
        if self.generated:
            parts.append(f"GENERATED ALWAYS AS ({self.default}) {self.generated.upper()}")
        elif self.default is not None:
            parts.append(f"DEFAULT {self.default}")
        if self.identity:
            parts.append(f"GENERATED {self.identity.upper()} AS IDENTITY")
        if self.not_null:
            parts.append("NOT NULL" if self.not_null_valid else "NOT NULL NOT VALID")
        return " ".join(parts)


class Constraint(NamedTuple):
    """State a constraint: its definition as pg_get_constraintdef writes it, deferrability included, NOT VALID left out.

    ``kind``: 'c' CHECK, 'f' foreign key, 'p' primary key, 'u' unique, 'x' exclusion, as pg_constraint has it.
    """

    oid: int
    name: str
    kind: str
    definition: str
    valid: bool = True

    def __str__(self) -> str:
        return f"{self.name} {self.definition}" + ("" if self.valid else " NOT VALID")


class Index(NamedTuple):
    """State an index that no constraint stands for: what comes after its table's name, UNIQUE put first.

    ``valid``: False for what a failed CREATE INDEX CONCURRENTLY leaves.
    """

    oid: int
    name: str
    definition: str
    valid: bool = True

    def __str__(self) -> str:
        return f"{self.name} {self.definition}" + ("" if self.valid else " (invalid)")


class Trigger(NamedTuple):
    """State a trigger, its definition as pg_get_triggerdef writes it; those that serve a foreign key are left out."""

    oid: int
    name: str
    definition: str
    enabled: bool = True

    def __str__(self) -> str:
        return self.definition + ("" if self.enabled else " (disabled)")


class Sequence(NamedTuple):
    """State a sequence by its label: parameters as SQL, not its value; the oid and attnum of the column that owns it.

    ``owned_by``: that column as ``table.column``, None where nothing owns it.
    """

    oid: int
    name: str
    definition: str
    table: int | None = None
    column: int | None = None
    owned_by: str | None = None

    def __str__(self) -> str:
        return f"{self.name} AS {self.definition}" + (f" OWNED BY {self.owned_by}" if self.owned_by else "")


class NamedObject(NamedTuple):
    """State an enum, a domain, a range, a composite type, or a function: its label and its definition as SQL."""

    oid: int
    name: str
    definition: str

    def __str__(self) -> str:
        return f"{self.name} {self.definition}"


@dataclass(frozen=True, slots=True)
class Relation:
    """State a table, a partition, a view, a materialised view or a foreign table, with all its parts by name.

    ``label``: ``name`` where the search path finds it, else ``schema.name``. ``kind``: pg_class.relkind.
    ``definition``: the query of a view. ``properties``: UNLOGGED, PARTITION OF …, WITH (…) and the like, as SQL.
    Columns stand in their order.
    """

    oid: int
    kind: str
    label: str
    definition: str | None = None
    properties: str = ""
    comment: str | None = None
    columns: Mapping[str, Column] = field(default_factory=dict)
    constraints: Mapping[str, Constraint] = field(default_factory=dict)
    indexes: Mapping[str, Index] = field(default_factory=dict)
    triggers: Mapping[str, Trigger] = field(default_factory=dict)

    @property
    def is_view(self) -> bool:
        """Tell whether it is a view, a materialised one included."""
        return self.kind in "vm"

    def __str__(self) -> str:
        words = {"v": "view", "m": "materialised view", "f": "foreign table", "p": "partitioned table"}
        return f"{words.get(self.kind, 'table')} {self.label}"


@dataclass(frozen=True, slots=True, repr=False)
class Schema:
    """State everything that the user's schemas hold, by label; what an extension brought is left out.

    ``origin``: two schemas with the same one were read from the same database, where an oid and an attnum stay the
    same under another name; '' where nothing is known of that. ``major``: the server's major version.
    Not held: owners, privileges, policies, rules, statistics objects, and every value.
    """

    relations: Mapping[str, Relation] = field(default_factory=dict)
    sequences: Mapping[str, Sequence] = field(default_factory=dict)
    types: Mapping[str, NamedObject] = field(default_factory=dict)
    functions: Mapping[str, NamedObject] = field(default_factory=dict)
    schemas: frozenset[str] = frozenset()
    extensions: frozenset[str] = frozenset()
    origin: str = ""
    major: int = 0

    def __repr__(self) -> str:
        views = sum(each.is_view for each in self.relations.values())
        return f"<Schema: {len(self.relations) - views} tables, {views} views, PostgreSQL {self.major}>"

    @property
    def labels(self) -> frozenset[str]:
        """The labels of every table and view: what a plan finds when it begins."""
        return frozenset(self.relations)

    @property
    def tables(self) -> frozenset[str]:
        """The labels of all but the views."""
        return frozenset(label for label, each in self.relations.items() if not each.is_view)
