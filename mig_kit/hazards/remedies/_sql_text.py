"""SQL as Django's schema editor writes it, taken apart at its clauses with every text kept as it stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

__all__ = [
    "TABLE",
    "Action",
    "AddedColumn",
    "AddedConstraint",
    "AlteredTable",
    "CreatedIndex",
    "default_name",
    "identifier",
    "quoted",
    "read",
    "split",
]

_WORD = re.compile(
    r"""'(?:[^']|'')*'|\$(\w*)\$.*?\$\1\$|"(?:[^"]|"")*"|[^\W\d][\w$]*|[\d.]+|--[^\n]*|/\*.*?\*/|\s+|.""", re.DOTALL
)
_NAME = r'(?:"(?:[^"]|"")*"|[^\W\d][\w$]*)'
TABLE = rf"{_NAME}(?:\.{_NAME})?"
"""The pattern of a table's name, as written."""


class _Piece(NamedTuple):
    text: str
    start: int
    end: int
    depth: int


@dataclass(frozen=True, slots=True)
class AddedColumn:
    """State ADD COLUMN: names as written, the rest as SQL; ``references``: from REFERENCES on, deferrability included.

    ``other``: what was not taken apart and belongs to the column itself (COLLATE …, GENERATED …).
    """

    column: str
    type: str
    other: str = ""
    default: str | None = None
    not_null: bool = False
    unique: bool = False
    primary: bool = False
    check: str | None = None
    foreign_key: str | None = None
    references: str | None = None

    def written(self, *, default: str | None, not_null: bool) -> str:
        """Return ADD COLUMN with another default and nullability, and without any constraint."""
        parts = ["ADD COLUMN", self.column, self.type, self.other, f"DEFAULT {default}" if default is not None else ""]
        return " ".join(each for each in (*parts, "NOT NULL" if not_null else "NULL") if each)


@dataclass(frozen=True, slots=True)
class AddedConstraint:
    """State ADD CONSTRAINT: ``kind`` (CHECK, UNIQUE, PRIMARY KEY, FOREIGN KEY, EXCLUDE), ``text``: what follows it."""

    name: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Action:
    """State one other action of ALTER TABLE: on a column, ``does`` is what follows its name; else the whole text."""

    does: str
    column: str | None = None


@dataclass(frozen=True, slots=True)
class AlteredTable:
    """State ALTER TABLE and its actions in their order."""

    table: str
    actions: tuple[AddedColumn | AddedConstraint | Action, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class CreatedIndex:
    """State CREATE INDEX; ``text``: what follows the table's name."""

    name: str
    table: str
    text: str
    unique: bool = False


def split(sql: str) -> list[str]:
    """Return the statements of a text, without their semicolons."""
    found, start = [], 0
    for piece in _pieces(sql):
        if piece.text == ";" and piece.depth == 0:
            found.append(sql[start : piece.start].strip())
            start = piece.end
    found.append(sql[start:].strip())
    return [each for each in found if each]


def read(statement: str) -> AlteredTable | CreatedIndex | None:
    """Take a statement apart; None for one of another form."""
    index = re.fullmatch(
        rf"CREATE (UNIQUE )?INDEX (?:IF NOT EXISTS )?({_NAME}) ON ({TABLE}) (.*)", statement, re.DOTALL | re.IGNORECASE
    )
    if index:
        return CreatedIndex(index[2], index[3], index[4], bool(index[1]))
    altered = re.fullmatch(rf"ALTER TABLE ({TABLE}) (.*)", statement, re.DOTALL | re.IGNORECASE)
    if not altered:
        return None
    return AlteredTable(altered[1], tuple(_action(text) for text in _at_commas(altered[2])))


def identifier(name: str) -> str:
    """Return a name without its quotes."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()


def quoted(name: str) -> str:
    """Return a name in quotes."""
    return '"' + name.replace('"', '""') + '"'


def default_name(table: str, column: str, kind: str) -> str:
    """Return the name that PostgreSQL itself gives to what goes with a column (makeObjectName, 63 bytes)."""
    first, second = identifier(table.rpartition(".")[2]).encode(), column.encode()
    room = 63 - len(kind) - 2
    while len(first) + len(second) > room:
        if len(first) > len(second):
            first = first[:-1]
        else:
            second = second[:-1]
    return "_".join([first.decode("utf-8", "ignore"), second.decode("utf-8", "ignore"), kind])


def _pieces(sql: str) -> Iterator[_Piece]:
    depth = 0
    for match in _WORD.finditer(sql):
        text = match[0]
        if text in "([":
            yield _Piece(text, match.start(), match.end(), depth)
            depth += 1
            continue
        if text in ")]":
            depth -= 1
        if not text.isspace():
            yield _Piece(text, match.start(), match.end(), depth)


def _at_commas(sql: str) -> list[str]:
    found, start = [], 0
    for piece in _pieces(sql):
        if piece.text == "," and piece.depth == 0:
            found.append(sql[start : piece.start].strip())
            start = piece.end
    return [*found, sql[start:].strip()]


def _action(text: str) -> AddedColumn | AddedConstraint | Action:
    constraint = re.fullmatch(
        rf"ADD CONSTRAINT ({_NAME}) (CHECK|UNIQUE|PRIMARY KEY|FOREIGN KEY|EXCLUDE)\b\s*(.*)",
        text,
        re.DOTALL | re.IGNORECASE,
    )
    if constraint:
        return AddedConstraint(constraint[1], constraint[2].upper(), constraint[3])
    column = re.fullmatch(rf"ADD COLUMN ({_NAME}) (.*)", text, re.DOTALL | re.IGNORECASE)
    if column:
        return _column(column[1], column[2])
    altered = re.fullmatch(rf"ALTER (?:COLUMN )?({_NAME}) (.*)", text, re.DOTALL | re.IGNORECASE)
    return Action(altered[2], altered[1]) if altered else Action(text)


_STARTS = ("COLLATE", "DEFAULT", "NULL", "NOT", "UNIQUE", "PRIMARY", "CHECK", "CONSTRAINT", "REFERENCES", "GENERATED")


def _column(name: str, text: str) -> AddedColumn:
    """Take a column's definition apart at the words that begin a clause."""
    pieces = [piece for piece in _pieces(text) if piece.depth == 0]
    starts = [n for n, piece in enumerate(pieces) if piece.text.upper() in _STARTS]
    # NULL after NOT, REFERENCES after CONSTRAINT name, and NULL or NOT right after DEFAULT begin nothing of their own.
    own = [n for n in starts if not (n and pieces[n - 1].text.upper() in ("NOT", "DEFAULT"))]
    own = [n for n in own if not (n > 1 and pieces[n - 2].text.upper() == "CONSTRAINT")]
    bounds = [*own, len(pieces)]
    first = pieces[own[0]].start if own else len(text)
    found: dict[str, str] = {}
    for n, following in pairwise(bounds):
        end = pieces[following].start if following < len(pieces) else len(text)
        found[pieces[n].text.upper()] = text[pieces[n].start : end].strip()
    foreign_key, references = None, found.get("REFERENCES")
    check = found.get("CHECK")
    if named := re.fullmatch(rf"CONSTRAINT ({_NAME}) (.*)", found.get("CONSTRAINT", ""), re.DOTALL | re.IGNORECASE):
        foreign_key, references = named[1], named[2]
    return AddedColumn(
        column=name,
        type=text[:first].strip(),
        other=" ".join(found[key] for key in ("COLLATE", "GENERATED") if key in found),
        default=found["DEFAULT"][7:].strip() if "DEFAULT" in found else None,
        not_null="NOT" in found or "PRIMARY" in found,
        unique="UNIQUE" in found,
        primary="PRIMARY" in found,
        check=check[5:].strip() if check else None,
        foreign_key=foreign_key,
        references=references,
    )
