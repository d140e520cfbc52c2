"""What a migration makes of the schema, as far as the catalogs before and after it tell: for the old release."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from mig_kit.hazards.catalog import Catalog, TableInfo
from mig_kit.hazards.column_types import parse_type
from mig_kit.postgres.schema import Column, Constraint, Index, Relation, Schema, SchemaChange, schema_changes

__all__ = ["Numbers", "changes_between"]


@dataclass
class Numbers:
    """Give tables and columns numbers that they keep under another name, as a database gives oids and attnums."""

    tables: dict[str, int] = field(default_factory=dict)
    columns: dict[tuple[int, str], int] = field(default_factory=dict)
    last: int = 0

    def _next(self) -> int:
        self.last += 1
        return self.last

    def copy(self) -> Numbers:
        """Return the numbers as they are now."""
        return Numbers(dict(self.tables), dict(self.columns), self.last)

    def note(self, catalog: Catalog) -> None:
        """Number what has no number yet, and forget what is gone."""
        for label in self.tables.keys() - catalog.tables.keys():
            del self.tables[label]
        for label, info in catalog.tables.items():
            table = self.tables.get(label)
            if table is None:
                table = self.tables[label] = self._next()
            for name in info.columns or ():
                if (table, name) not in self.columns:
                    self.columns[table, name] = self._next()

    def follow(self, before: Catalog, after: Catalog, renamed: tuple[str, str] | None) -> None:
        """Take a statement as run: a renamed table or column keeps its number."""
        if renamed is not None and renamed[0] in self.tables:
            self.tables[renamed[1]] = self.tables.pop(renamed[0])
        for label, info in after.tables.items():
            old = before.tables.get(label)
            if old is None or old is info or old.columns is None or info.columns is None:
                continue
            gone = [name for name in old.columns if name not in info.columns]
            come = [name for name in info.columns if name not in old.columns]
            table = self.tables.get(label)
            if len(gone) == len(come) == 1 and table is not None:
                self.columns[table, come[0]] = self.columns.pop((table, gone[0]), 0) or self._next()
            elif table is not None:
                for name in gone:
                    self.columns.pop((table, name), None)
        self.note(after)


def changes_between(
    before: Catalog, after: Catalog, numbers_before: Numbers, numbers_after: Numbers
) -> tuple[SchemaChange, ...]:
    """Return what became of the tables, renames known as such; indexes and constraints as far as they are known."""
    untouched = {label for label, info in before.tables.items() if after.tables.get(label) is info}
    schemas = [
        Schema(
            relations={
                label: _relation(info, numbers) for label, info in catalog.tables.items() if label not in untouched
            },
            origin="plan",
            major=catalog.major or 0,
        )
        for catalog, numbers in ((before, numbers_before), (after, numbers_after))
    ]
    return schema_changes(*schemas)


def _relation(info: TableInfo, numbers: Numbers) -> Relation:
    oid = numbers.tables[info.label]
    columns = {
        name: Column(
            numbers.columns[oid, name],
            name,
            _type(each.type),
            each.not_null,
            each.default,
            each.generated,
            "by default" if each.identity else "",
            each.collation,
        )
        for name, each in (info.columns or {}).items()
    }

    def number(kind: str, names: Iterable[str], more: str = "") -> int:
        """A constraint or index under another name is the same on the same columns."""
        key = f"{oid} {kind} {[columns[name].number if name in columns else name for name in names]} {more}"
        return zlib.crc32(key.encode())

    constraints: dict[str, Constraint] = {}
    indexes: dict[str, Index] = {}
    for check in info.checks or ():
        text = check.definition.removesuffix(" NOT VALID")
        if check.proves_not_null is not None:
            text = f"CHECK (({_quoted(check.proves_not_null)} IS NOT NULL))"
        constraints[check.name] = Constraint(number("c", check.columns, check.name), check.name, "c", text, check.valid)
    for key in info.foreign_keys or ():
        text = f"FOREIGN KEY ({_listed(key.columns)}) REFERENCES {key.parent}({_listed(key.parent_columns)})"
        constraints[key.name] = Constraint(
            number("f", key.columns, str(numbers.tables.get(key.parent, key.parent))), key.name, "f", text, key.valid
        )
    for index in info.indexes or ():
        if index.constraint is not None:
            kind = "p" if index.primary else "u" if index.unique else "x"
            word = {"p": "PRIMARY KEY", "u": "UNIQUE", "x": "EXCLUDE"}[kind]
            text = f"{word} ({_listed(index.keys)})"
            constraints[index.constraint] = Constraint(number(kind, index.keys), index.constraint, kind, text)
        else:
            text = f"{'UNIQUE ' if index.unique else ''}USING btree ({_listed(index.keys)})"
            text += " WHERE …" if index.partial or index.expression else ""
            indexes[index.name] = Index(number("i", index.columns, index.name), index.name, text, index.valid)
    return Relation(oid, info.kind, info.label, columns=columns, constraints=constraints, indexes=indexes)


def _type(text: str) -> str:
    """Write a type in one way, whoever wrote it."""
    kind = parse_type(text)
    arguments = f"({','.join(kind.arguments)})" if kind.arguments else ""
    return f"{kind.base}{arguments}{'[]' if kind.array else ''}"


def _quoted(name: str) -> str:
    plain = name.isidentifier() and name == name.lower()
    return name if plain else '"' + name.replace('"', '""') + '"'


def _listed(names: Iterable[str]) -> str:
    return ", ".join(_quoted(name) for name in names)
