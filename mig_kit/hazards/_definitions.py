"""What CREATE TABLE, ADD COLUMN and CREATE INDEX define, read from their words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from mig_kit.hazards._words import Reader, Word, split_at_commas
from mig_kit.hazards.catalog import Check, Column, ForeignKey, Index
from mig_kit.hazards.column_change import skip_reference_clauses, type_words
from mig_kit.hazards.column_types import parse_type

__all__ = ["Defined", "default_name", "read_column", "read_constraint", "read_index"]


@dataclass
class Defined:
    """Gather what a statement adds to one table."""

    table: str
    column: Column | None = None
    indexes: list[Index] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    foreign_keys: list[ForeignKey] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The table's name without its schema."""
        return self.table.rpartition(".")[2]


def default_name(table: str, column: str, kind: str) -> str:
    """Return the name that PostgreSQL gives what goes with a column, shortened as it does for ASCII names."""
    table = table.rpartition(".")[2]
    room = 63 - len(kind) - 1 - bool(column)
    while len(table) + len(column) > room:
        if len(table) > len(column):
            table = table[:-1]
        else:
            column = column[:-1]
    return "_".join(each for each in (table, column, kind) if each)


def read_column(table: str, reader: Reader) -> Defined | None:
    """Read ``name type clauses``; None where it is not understood."""
    name = reader.identifier()
    if name is None:
        return None
    text = type_words(reader)
    kind = parse_type(text)
    found = Defined(table)
    not_null = identity = kind.is_serial
    default: str | None = None
    generated, collation, constraint = "", None, None
    while reader:
        if reader.take("CONSTRAINT"):
            constraint = reader.identifier()
            continue
        if reader.take("NOT", "NULL"):
            not_null = True
        elif reader.take("DEFAULT"):
            default = _text(_expression(reader))
        elif reader.take("CHECK"):
            inside = reader.parentheses() or []
            label = constraint or default_name(table, name, "check")
            found.checks.append(Check(label, (name,), True, _proves(inside), f"CHECK ({_text(inside)})"))
        elif reader.take("GENERATED"):
            reader.take_any("ALWAYS AS", "BY DEFAULT AS")
            if reader.take("IDENTITY"):
                identity = not_null = True
                reader.parentheses()
            else:
                reader.parentheses()
                generated = "stored" if reader.take("STORED") else "virtual"
                reader.take("VIRTUAL")
        elif reader.take("PRIMARY", "KEY"):
            not_null = True
            label = constraint or default_name(table, "", "pkey")
            found.indexes.append(Index(label, (name,), (name,), unique=True, primary=True, constraint=label))
        elif reader.take("UNIQUE"):
            reader.take_any("NULLS NOT DISTINCT", "NULLS DISTINCT")
            label = constraint or default_name(table, name, "key")
            found.indexes.append(Index(label, (name,), (name,), unique=True, constraint=label))
        elif reader.take("REFERENCES"):
            parent = reader.relation() or "?"
            columns = tuple(reader.names_in_parentheses() or ()) or ("id",)
            skip_reference_clauses(reader)
            label = constraint or default_name(table, name, "fkey")
            found.foreign_keys.append(ForeignKey(label, table, (name,), parent, columns))
        elif reader.take("COLLATE"):
            collation = reader.relation()
        else:
            reader.at += 1
            continue
        constraint = None
    plain = {"serial": "integer", "bigserial": "bigint", "smallserial": "smallint"}.get(kind.base, text)
    found.column = Column(name, plain, not_null, default, generated, identity, collation)
    return found


def _expression(reader: Reader) -> list[Word]:
    """Read a default up to the next clause; its first word may be NULL or NOT."""
    start = reader.at
    reader.at += 1
    reader.until("CHECK", "COLLATE", "CONSTRAINT", "GENERATED", "NOT", "NULL", "PRIMARY", "REFERENCES", "UNIQUE")
    return reader.words[start : reader.at]


def read_constraint(table: str, reader: Reader, known: Iterable[str] = ()) -> Defined | None:
    """Read ``[CONSTRAINT name] CHECK | UNIQUE | PRIMARY KEY | FOREIGN KEY | EXCLUDE …``; None for anything else."""
    found = Defined(table)
    given = reader.identifier() if reader.take("CONSTRAINT") else None
    kind = reader.take_any("CHECK", "UNIQUE", "PRIMARY KEY", "FOREIGN KEY", "EXCLUDE")
    if kind == "CHECK":
        inside = reader.parentheses() or []
        columns = _names(inside, known)
        label = given or default_name(table, columns[0] if len(columns) == 1 else "", "check")
        valid = not _ends_unchecked(reader)
        found.checks.append(Check(label, columns, valid, _proves(inside), f"CHECK ({_text(inside)})"))
    elif kind in ("UNIQUE", "PRIMARY KEY"):
        if reader.take("USING", "INDEX"):
            return found  # the index is known already
        reader.take_any("NULLS NOT DISTINCT", "NULLS DISTINCT")
        keys = tuple(reader.names_in_parentheses() or ())
        primary = kind == "PRIMARY KEY"
        label = given or default_name(table, "" if primary else "_".join(keys), "pkey" if primary else "key")
        found.indexes.append(Index(label, keys, keys, unique=True, primary=primary, constraint=label))
    elif kind == "FOREIGN KEY":
        columns = tuple(reader.names_in_parentheses() or ())
        parent = reader.relation() if reader.take("REFERENCES") else None
        if parent is None:
            return None
        parents = tuple(reader.names_in_parentheses() or ()) or ("id",)
        label = given or default_name(table, "_".join(columns), "fkey")
        found.foreign_keys.append(ForeignKey(label, table, columns, parent, parents, not _ends_unchecked(reader)))
    elif kind == "EXCLUDE":
        columns = _names(reader.rest, known)
        label = given or default_name(table, "_".join(columns), "excl")
        found.indexes.append(Index(label, columns, columns, expression=True, constraint=label))
    else:
        return None
    return found


def read_index(reader: Reader, known: Iterable[str] = ()) -> tuple[str, Index] | None:
    """Read what follows CREATE [UNIQUE] INDEX; returns (table, index)."""
    reader.take("CONCURRENTLY")
    reader.take("IF", "NOT", "EXISTS")
    name = None if reader.peek() == "ON" else reader.identifier()
    if not reader.take("ON"):
        return None
    reader.take("ONLY")
    table = reader.relation()
    if table is None:
        return None
    if reader.take("USING"):
        reader.identifier()
    inside = reader.parentheses()
    if inside is None:
        return None
    keys: list[str] = []
    reads: list[str] = []
    expression = False
    for part in split_at_commas(inside):
        simple = bool(part) and part[0].name is not None and not any(word.text == "(" for word in part)
        if simple:
            keys.append(str(part[0].name))
        else:
            expression = True
            reads += _names(part, known)
    if reader.take("INCLUDE"):
        reads += reader.names_in_parentheses() or ()
    reader.take_any("NULLS NOT DISTINCT", "NULLS DISTINCT")
    if reader.take("WITH"):
        reader.parentheses()
    if reader.take("TABLESPACE"):
        reader.identifier()
    partial = reader.take("WHERE")
    if partial:
        reads += _names(reader.rest, known)
    columns = tuple(dict.fromkeys([*keys, *reads]))
    label = name or default_name(table, "_".join(keys), "idx")
    return table, Index(label, columns, tuple(keys), expression=expression, partial=partial)


def _names(words: Sequence[Word], known: Iterable[str]) -> tuple[str, ...]:
    """Return the columns that words name: those known of the table, or every quoted name where none are."""
    known = set(known)
    names = [str(word.name) for word in words if word.name is not None and (word.name in known or not known)]
    return tuple(dict.fromkeys(names))


def _ends_unchecked(reader: Reader) -> bool:
    keys = [word.key for word in reader.rest]
    return any(pair in (("NOT", "VALID"), ("NOT", "ENFORCED")) for pair in pairwise(keys))


def _proves(inside: Sequence[Word]) -> str | None:
    """Return the column of ``column IS NOT NULL``, in parentheses or not."""
    words = [word for word in inside if word.text not in "()"]
    if len(words) == 4 and [word.key for word in words[1:]] == ["IS", "NOT", "NULL"]:
        return words[0].name
    return None


def _text(words: Sequence[Word]) -> str:
    return " ".join(word.text for word in words)
