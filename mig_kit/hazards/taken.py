"""What statements take away: tables, columns, rows; under the names that the database has for them now.

A plan that goes back renames before it drops, and makes anew what it drops later: the names are followed through it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from mig_kit.hazards._words import NotRead, Reader, Word, read_statements, split_at_commas
from mig_kit.hazards.column_change import type_words
from mig_kit.hazards.statement import classify_one

__all__ = ["Taken", "TakenKind", "Taking", "defaults_of"]


class TakenKind(Enum):
    """What is taken away."""

    TABLE = "the table is dropped"
    COLUMN = "the column is dropped"
    CONVERTED = "every value is converted"  # to a type that may hold less
    EMPTIED = "every row is deleted"
    ROWS = "rows are deleted or changed"  # which ones, only the statement knows
    UNREAD = "not known"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Taken:
    """State one thing that a statement takes away.

    ``table``, ``column``: as the database has them now. ``at_the_time``: the same names as the statement has them.
    ``new_type``: what a column is converted to, '' where it is not; ``using``: how, '' for what assigning a value does.
    """

    kind: TakenKind
    table: str = ""
    column: str = ""
    at_the_time: tuple[str, str] = ("", "")
    new_type: str = ""
    using: str = ""
    sql: str = ""


@dataclass
class Taking:
    """Follow the statements of a plan, in their order, from the database as it is now."""

    _tables: dict[str, str | None] = field(default_factory=dict)
    _columns: dict[tuple[str, str], str | None] = field(default_factory=dict)

    def take(self, sql: str) -> tuple[Taken, ...]:
        """Return what a text of one or several statements takes away of what is there now, and go on after it."""
        try:
            read = read_statements(sql)
        except NotRead:
            return (Taken(TakenKind.UNREAD, sql=sql),)
        return tuple(each for text, words in read for each in self._statement(text, Reader(words)))

    def _statement(self, text: str, reader: Reader) -> Iterable[Taken]:
        if reader.take("ALTER", "TABLE"):
            return self._alter_table(text, reader)
        if reader.take("DROP", "TABLE"):
            reader.take("IF", "EXISTS")
            return self._whole(TakenKind.TABLE, reader.relations(), text, gone=True)
        if reader.take("TRUNCATE"):
            reader.take("TABLE")
            reader.take("ONLY")
            emptied = self._whole(TakenKind.EMPTIED, reader.relations(), text)
            return (*emptied, Taken(TakenKind.UNREAD, sql=text)) if "CASCADE" in _keys(reader.rest) else emptied
        if reader.take("CREATE", "TABLE"):
            reader.take("IF", "NOT", "EXISTS")
            if name := reader.relation():
                self._tables[name] = None
            return ()
        if reader.take("DELETE", "FROM"):
            reader.take("ONLY")
            name = reader.relation()
            whole = TakenKind.ROWS if reader else TakenKind.EMPTIED
            return self._whole(whole, [name] if name else None, text)
        if reader.take("UPDATE"):
            reader.take("ONLY")
            name = reader.relation()
            return self._whole(TakenKind.ROWS, [name] if name else None, text)
        if reader.peek() == "SELECT" and classify_one(text).known:
            return ()
        verb, what = reader.peek(), reader.peek(1)
        takes_columns = verb == "DROP" and what in ("EXTENSION", "TYPE") and "CASCADE" in _keys(reader.rest)
        if (verb in _HARMLESS or (verb, what) in _HARMLESS_PAIRS) and not takes_columns:
            return ()
        return (Taken(TakenKind.UNREAD, sql=text),)

    def _whole(
        self, kind: TakenKind, names: Sequence[str] | None, text: str, *, gone: bool = False
    ) -> tuple[Taken, ...]:
        if names is None:
            return (Taken(TakenKind.UNREAD, sql=text),)
        found = []
        for name in names:
            if (table := self._table(name)) is not None:
                found.append(Taken(kind, table, at_the_time=(name, ""), sql=text))
            if gone:
                self._tables[name] = None
        return tuple(found)

    def _alter_table(self, text: str, reader: Reader) -> Iterable[Taken]:
        reader.take("IF", "EXISTS")
        reader.take("ONLY")
        name = reader.relation()
        if name is None:
            return (Taken(TakenKind.UNREAD, sql=text),)
        reader.take("*")
        found: list[Taken] = []
        for words in split_at_commas(reader.rest):
            found += self._action(name, Reader(words), text)
        return found

    def _action(self, name: str, action: Reader, text: str) -> Iterable[Taken]:
        table = self._table(name)
        if action.take("RENAME", "TO"):
            new = action.identifier()
            if new:
                schema, dot, _old = name.rpartition(".")
                self._rename_table(name, f"{schema}{dot}{new}")
        elif action.take("RENAME", "CONSTRAINT"):
            pass
        elif action.take("RENAME"):
            action.take("COLUMN")
            old = action.identifier()
            new = action.identifier() if action.take("TO") else None
            if old and new:
                self._columns[name, new] = self._column(name, old)
        elif action.take("ADD"):
            if action.peek() not in _CONSTRAINTS:
                action.take("COLUMN")
                action.take("IF", "NOT", "EXISTS")
                if column := action.identifier():
                    self._columns[name, column] = None
        elif action.take("DROP", "CONSTRAINT"):
            pass
        elif action.take("DROP"):
            action.take("COLUMN")
            action.take("IF", "EXISTS")
            column = action.identifier()
            if column is None:
                return (Taken(TakenKind.UNREAD, sql=text),)
            live = self._column(name, column)
            self._columns[name, column] = None
            if table is not None and live is not None:
                return (Taken(TakenKind.COLUMN, table, live, (name, column), sql=text),)
        elif action.take("ALTER") and action.peek() != "CONSTRAINT":
            return self._alter_column(name, table, action, text)
        return ()

    def _alter_column(self, name: str, table: str | None, action: Reader, text: str) -> Iterable[Taken]:
        action.take("COLUMN")
        column = action.identifier()
        action.take("SET", "DATA")
        if column is None or not action.take("TYPE"):
            return ()
        live = self._column(name, column)
        kind = type_words(action)
        if table is None or live is None:
            return ()
        keys = _keys(action.rest)
        words = action.rest[keys.index("USING") + 1 :] if "USING" in keys else []
        using = "".join(word.text for word in words).replace(" ", "")
        how = "a cast" if using in _casts(column, kind) else using and "an expression"
        return (Taken(TakenKind.CONVERTED, table, live, (name, column), kind, how, text),)

    # Names at this point of the plan, and what the database calls the same thing now; None for what is new.

    def _table(self, name: str) -> str | None:
        return self._tables.get(name, name)

    def _column(self, table: str, column: str) -> str | None:
        return self._columns.get((table, column), column)

    def _rename_table(self, old: str, new: str) -> None:
        self._tables[new] = self._table(old)
        for (table, column), live in list(self._columns.items()):
            if table == old:
                self._columns[new, column] = live


def defaults_of(statements: Iterable[str]) -> dict[tuple[str, str], str]:
    """Return what each column that is added gets for the rows that are there: (table, column) → SQL, ``NULL`` for none.

    Left out is a column whose default is no plain value: nobody can tell later what it gave.
    """
    found: dict[tuple[str, str], str] = {}
    for sql in statements:
        try:
            read = read_statements(sql)
        except NotRead:
            continue
        for _text, words in read:
            reader = Reader(words)
            if not reader.take("ALTER", "TABLE"):
                continue
            reader.take("IF", "EXISTS")
            name = reader.relation()
            for part in split_at_commas(reader.rest) if name else ():
                action = Reader(part)
                if action.take("ADD") and action.peek() not in _CONSTRAINTS:
                    action.take("COLUMN")
                    action.take("IF", "NOT", "EXISTS")
                    column = action.identifier()
                    default = _plain_default(action)
                    if column and default is not None:
                        found[str(name), column] = default
    return found


def _plain_default(reader: Reader) -> str | None:
    type_words(reader)
    keys = _keys(reader.rest)
    if "GENERATED" in keys:
        return None
    if "DEFAULT" not in keys:
        return "NULL"
    value = reader.rest[keys.index("DEFAULT") + 1 :]
    sign = [] if not value or value[0].text != "-" else [value.pop(0)]
    literal = bool(value) and (value[0].kind in ("string", "number") or value[0].key in ("TRUE", "FALSE", "NULL"))
    rest = _keys(value[1:])
    if not literal or (rest and rest[0] not in ("NOT", "NULL", "UNIQUE", "CHECK", "CONSTRAINT", "REFERENCES")):
        return None
    return "".join(word.text for word in [*sign, value[0]])


def _casts(column: str, kind: str) -> set[str]:
    return {f"{name}::{kind}".replace(" ", "") for name in (column, f'"{column}"')}


def _keys(words: Sequence[Word]) -> list[str]:
    return [word.key for word in words]


_CONSTRAINTS = ("CONSTRAINT", "CHECK", "UNIQUE", "PRIMARY", "FOREIGN", "EXCLUDE")
# What takes no value away.
_HARMLESS = frozenset(("ANALYZE", "COMMENT", "CREATE", "INSERT", "LOCK", "RESET", "SET", "SHOW", "VACUUM"))
_DROPPED = "AGGREGATE COLLATION EXTENSION FUNCTION INDEX POLICY PROCEDURE RULE SEQUENCE TRIGGER TYPE VIEW MATERIALIZED"
_HARMLESS_PAIRS = frozenset(
    [("DROP", each) for each in _DROPPED.split()]
    + [("ALTER", each) for each in ("INDEX", "SEQUENCE", "TYPE", "TRIGGER", "POLICY", "FUNCTION", "VIEW", "EXTENSION")]
)
