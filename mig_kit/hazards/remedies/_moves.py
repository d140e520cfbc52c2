"""Statements that work through a table under a lock, and the statements that come to the same without."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from mig_kit.hazards.remedies import _sql_text as text
from mig_kit.hazards.remedies._remedy import NoRemedy
from mig_kit.hazards.remedies._sql_text import Action, AddedColumn, AddedConstraint, AlteredTable, CreatedIndex

__all__ = ["How", "Move", "moves_for"]


class How(Enum):
    """How a move runs, and with what it may share a file."""

    BRIEF = "brief"  # a lock for a moment: several may share a transaction
    SCAN = "scan"  # works through the table while others go on: in a transaction of its own
    CONCURRENT = "concurrent"  # refuses to run in a transaction
    BATCHES = "batches"  # changes rows, some at a time, each time in a transaction of its own


@dataclass(frozen=True, slots=True)
class Move:
    """State one statement, what takes it back ('' for nothing, None where that cannot be told), and how it runs.

    ``index``: the one that a concurrent build makes. ``key``: the column by which rows are taken in batches, quoted;
    the statement has ``{range}`` where the batch belongs then. ``later``: only when the running release is gone.
    """

    sql: str
    back: str | None
    how: How
    table: str
    slug: str
    says: str
    index: str | None = None
    key: str | None = None
    later: bool = False


# Functions whose value is the same for a whole statement; every other call may give each row its own.
_STABLE = {
    "now",
    "transaction_timestamp",
    "statement_timestamp",
    "current_setting",
    "lower",
    "upper",
    "jsonb_build_object",
}
_CALL = re.compile(r"([^\W\d][\w$.]*)\s*\(")
_FILL = re.compile(r"UPDATE (\S+) SET (\S+) = (.+) WHERE (\S+) IS NULL", re.DOTALL)


def moves_for(statements: Iterable[str], key: str | None, *, keep_default: bool = False) -> list[Move]:
    """Return what to run instead of an operation's statements; raises NoRemedy.

    ``key``: the table's primary key as one column, None where it has none. ``keep_default``: a default that Django
    would drop at once stays for the release that runs now, and is dropped in the next one.
    """
    found: list[Move] = []
    for given in statements:
        for statement in text.split(given):
            if not re.match(r"SET CONSTRAINTS\b", statement, re.IGNORECASE):
                found += _statement(statement, key, keep_default)
    return found


def _statement(statement: str, key: str | None, keep_default: bool) -> Iterator[Move]:
    read = text.read(statement)
    if isinstance(read, CreatedIndex):
        yield _build(read.table, read.name, read.text, unique=read.unique)
    elif isinstance(read, AlteredTable):
        for action in read.actions:
            if isinstance(action, AddedColumn):
                yield from _column(read.table, action, key)
            elif isinstance(action, AddedConstraint):
                yield from _constraint(read.table, action)
            else:
                yield from _action(read.table, action, keep_default)
    elif fill := _FILL.fullmatch(statement):
        yield _fill(fill[1], fill[2], fill[3], key)
    elif re.match(r"(CREATE|DROP) (UNIQUE )?INDEX CONCURRENTLY", statement, re.IGNORECASE):
        yield Move(statement, None, How.CONCURRENT, "", "index", "runs what refuses to run in a transaction")
    else:
        yield Move(statement, None, How.BRIEF, "", "rest", "does the rest")


def _alter(table: str, action: str, back: str | None, slug: str, says: str, *, how: How = How.BRIEF) -> Move:
    reverse = f"ALTER TABLE {table} {back}" if back else back
    return Move(f"ALTER TABLE {table} {action}", reverse, how, table, slug, says)


def _build(table: str, name: str, rest: str, *, unique: bool) -> Move:
    return Move(
        f"CREATE {'UNIQUE ' if unique else ''}INDEX CONCURRENTLY {name} ON {table} {rest}",
        f"DROP INDEX CONCURRENTLY IF EXISTS {name}",
        How.CONCURRENT,
        table,
        "index",
        "builds an index while reads and writes go on",
        index=name,
    )


def _fill(table: str, column: str, value: str, key: str | None) -> Move:
    if key is None:
        raise NoRemedy(f"{table} has no primary key of one column by which its rows could be filled in batches")
    escaped = f"UPDATE {table} SET {column} = {value} WHERE {column} IS NULL".replace("%", "%%").replace("{", "{{")
    sql = escaped.replace("}", "}}") + " AND {range}"
    return Move(sql, "", How.BATCHES, table, "fill", "fills the rows, some thousand at a time", key=key)


def _column(table: str, added: AddedColumn, key: str | None) -> Iterator[Move]:
    if added.primary or "GENERATED" in added.other.upper():
        raise NoRemedy(f"a column like {added.column} of {table} rewrites the table however it is added")
    column, own_value = added.column, added.default is not None and _differs_by_row(added.default)
    says = f"adds the column {text.identifier(column)}"
    back = f"DROP COLUMN {column}"
    if own_value:
        yield _alter(table, added.written(default=None, not_null=False), back, "column", says)
        yield _alter(table, f"ALTER COLUMN {column} SET DEFAULT {added.default}", "", "column", says)
        yield _fill(table, column, str(added.default), key)
        if added.not_null:
            yield from not_null(table, column)
    else:
        yield _alter(table, added.written(default=added.default, not_null=added.not_null), back, "column", says)
    if added.check is not None:
        name = text.quoted(text.default_name(table, text.identifier(column), "check"))
        yield from _constraint(table, AddedConstraint(name, "CHECK", added.check))
    if added.references is not None:
        name = added.foreign_key or text.quoted(text.default_name(table, text.identifier(column), "fkey"))
        yield from _constraint(table, AddedConstraint(name, "FOREIGN KEY", f"({column}) {added.references}"))
    if added.unique:
        name = text.quoted(text.default_name(table, text.identifier(column), "key"))
        yield from _constraint(table, AddedConstraint(name, "UNIQUE", f"({column})"))


def _differs_by_row(default: str) -> bool:
    return any(
        name.lower().rpartition(".")[2] not in _STABLE for name in _CALL.findall(re.sub(r"'[^']*'", "", default))
    )


def _constraint(table: str, added: AddedConstraint) -> Iterator[Move]:
    name = added.name
    back = f"DROP CONSTRAINT IF EXISTS {name}"
    label = text.identifier(name)
    if added.kind in ("CHECK", "FOREIGN KEY"):
        not_valid = f"ADD CONSTRAINT {name} {added.kind} {added.text} NOT VALID"
        yield _alter(table, not_valid, back, "constraint", f"adds the constraint {label} for new rows")
        yield _alter(
            table,
            f"VALIDATE CONSTRAINT {name}",
            "",
            "validate",
            f"tries {label} on the rows that are there, while reads and writes go on",
            how=How.SCAN,
        )
    elif added.kind == "UNIQUE":
        found = re.fullmatch(r"(NULLS (?:NOT )?DISTINCT )?(.*?)(\s+(?:NOT )?DEFERRABLE.*)?", added.text, re.DOTALL)
        assert found is not None
        columns = f"{found[2]} {found[1].strip()}" if found[1] else found[2]
        yield _build(table, name, columns, unique=True)
        yield _alter(
            table,
            f"ADD CONSTRAINT {name} UNIQUE USING INDEX {name}{found[3] or ''}",
            back,
            "constraint",
            f"makes the index {label} a constraint",
        )
    else:
        raise NoRemedy(f"there is no way to add {added.kind} {label} to {table} without a lock on it meanwhile")


def _action(table: str, action: Action, keep_default: bool) -> Iterator[Move]:
    column, does = action.column, action.does
    if column is None:
        yield _alter(table, does, None, "rest", "does the rest")
    elif does.upper() == "SET NOT NULL":
        yield from not_null(table, column)
    elif does.upper().startswith(("TYPE ", "SET DATA TYPE ")):
        raise NoRemedy(f"{column} of {table} changes its type: that takes a column of the new type beside it")
    else:
        opposite = {"DROP NOT NULL": f"ALTER COLUMN {column} SET NOT NULL"}.get(does.upper())
        if does.upper().startswith("SET DEFAULT"):
            opposite = f"ALTER COLUMN {column} DROP DEFAULT"
        dropped = does.upper() == "DROP DEFAULT"
        says = f"drops the default of {text.identifier(column)}" if dropped else f"alters {text.identifier(column)}"
        move = _alter(table, f"ALTER COLUMN {column} {does}", "" if dropped else opposite, "default", says)
        if dropped and keep_default:
            move = Move(move.sql, move.back, move.how, move.table, move.slug, move.says, later=True)
        yield move


def not_null(table: str, column: str) -> Iterator[Move]:
    """Give what makes a column NOT NULL without a scan under a lock: a CHECK that is validated first proves it."""
    label = text.identifier(column)
    name = text.quoted(text.default_name(table, label, "filled"))
    yield _alter(
        table,
        f"ADD CONSTRAINT {name} CHECK ({column} IS NOT NULL) NOT VALID",
        f"DROP CONSTRAINT IF EXISTS {name}",
        "not_null",
        f"keeps NULL out of {label} in new rows",
    )
    yield _alter(
        table,
        f"VALIDATE CONSTRAINT {name}",
        "",
        "validate",
        f"makes sure that no row has NULL in {label}, while reads and writes go on",
        how=How.SCAN,
    )
    says = f"makes {label} NOT NULL, which needs no scan with that constraint"
    yield _alter(table, f"ALTER COLUMN {column} SET NOT NULL", f"ALTER COLUMN {column} DROP NOT NULL", "set", says)
    yield _alter(table, f"DROP CONSTRAINT {name}", "", "set", says)
