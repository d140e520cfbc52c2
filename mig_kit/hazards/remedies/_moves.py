"""Statements that work through a table under a lock, and the statements that come to the same without."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum

from mig_kit.hazards.remedies import _sql_text as text
from mig_kit.hazards.remedies._remedy import NoRemedy
from mig_kit.hazards.remedies._sql_text import Action, AddedColumn, AddedConstraint, AlteredTable, CreatedIndex

__all__ = ["How", "Move", "Mover", "alter", "build", "fill", "not_null", "validated"]


class How(Enum):
    """How a move runs, and with what it may share a file."""

    BRIEF = "brief"  # a lock for a moment: several may share a transaction
    SCAN = "scan"  # works through the table while others go on: in a transaction of its own
    CONCURRENT = "concurrent"  # outside of any transaction: it refuses to be in one, or its way back has to be
    BATCHES = "batches"  # changes rows, some at a time, each time in a transaction of its own


@dataclass(frozen=True, slots=True)
class Move:
    """State one statement, what takes it back, and how it runs.

    ``back``: statements, none where there is nothing to take back; None where that cannot be told. ``index``: the one
    that a concurrent build makes. ``key``: the column by which rows are taken in batches, quoted, '' for the table's
    primary key, whichever that is; the statement has ``{range}`` where the batch belongs then. ``later``: only when the
    running release is gone. ``own_back``: what takes it back as Python text, where somebody wrote that.
    """

    sql: str
    back: tuple[str, ...] | None
    how: How
    table: str
    slug: str
    says: str
    index: str | None = None
    key: str | None = None
    later: bool = False
    own_back: str = ""


# Functions whose value is the same for a whole statement; every other call may give each row its own.
_STABLE = frozenset(("current_setting", "jsonb_build_object", "lower", "now", "statement_timestamp", "upper"))
_CALL = re.compile(r"([^\W\d][\w$.]*)\s*\(")
_UPDATE = re.compile(rf"UPDATE ({text.TABLE}) SET (.+?)(?: WHERE (.+))?", re.DOTALL | re.IGNORECASE)
_ALONE = re.compile(
    r"(CREATE|DROP)( UNIQUE)? INDEX CONCURRENTLY|REINDEX .*CONCURRENTLY|VACUUM|ALTER TYPE .* ADD VALUE",
    re.DOTALL | re.IGNORECASE,
)


def alter(table: str, action: str, back: str | None, slug: str, says: str, *, how: How = How.BRIEF) -> Move:
    """Return one action of ALTER TABLE; ``back``: one too, '' for nothing."""
    reverse = None if back is None else (f"ALTER TABLE {table} {back}",) if back else ()
    return Move(f"ALTER TABLE {table} {action}", reverse, how, table, slug, says)


def build(table: str, name: str, rest: str, *, unique: bool) -> Move:
    """Return a concurrent index build; ``rest``: what follows the table's name."""
    schema, dot, _table = table.rpartition(".")
    return Move(
        f"CREATE {'UNIQUE ' if unique else ''}INDEX CONCURRENTLY {name} ON {table} {rest}",
        (f"DROP INDEX CONCURRENTLY IF EXISTS {schema}{dot}{name}",),
        How.CONCURRENT,
        table,
        "index",
        "builds an index while reads and writes go on",
        index=f"{schema}{dot}{name}",
    )


def fill(table: str, setting: str, condition: str | None, key: str | None, back: tuple[str, ...] = ()) -> Move:
    """Return an UPDATE in batches; raises NoRemedy without a key to take them by."""
    if key is None:
        raise NoRemedy(f"{table} has no primary key of one column by which its rows could be taken in batches")
    given = f"UPDATE {table} SET {setting} WHERE " + (f"({condition}) AND " if condition else "")
    sql = given.replace("%", "%%").replace("{", "{{").replace("}", "}}") + "{range}"
    return Move(sql, back, How.BATCHES, table, "fill", "fills the rows, some thousand at a time", key=key)


def validated(table: str, name: str, definition: str, says: str, *, how: How = How.SCAN) -> Move:
    """Return VALIDATE CONSTRAINT, and what makes the constraint not valid again."""
    back = (f"ALTER TABLE {table} DROP CONSTRAINT {name}", f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
    forwards = alter(table, f"VALIDATE CONSTRAINT {name}", "", "validate", says, how=how)
    return replace(forwards, back=(back[0], f"{back[1]} NOT VALID"))


def not_null(table: str, column: str) -> Iterator[Move]:
    """Give what makes a column NOT NULL without a scan under a lock: a CHECK that is validated first proves it."""
    label = text.identifier(column)
    name = text.quoted(text.default_name(table, label, "filled"))
    check = f"CHECK ({column} IS NOT NULL)"
    add = f"ADD CONSTRAINT {name} {check} NOT VALID"
    yield alter(table, add, f"DROP CONSTRAINT {name}", "check", f"keeps NULL out of {label} in new rows")
    says = f"makes sure that no row has NULL in {label}, while reads and writes go on"
    yield validated(table, name, check, says)
    says = f"makes {label} NOT NULL, which needs no scan with that constraint"
    yield alter(table, f"ALTER COLUMN {column} SET NOT NULL", f"ALTER COLUMN {column} DROP NOT NULL", "not_null", says)
    # By itself and without a transaction, because its way back has to validate the constraint once more.
    drop = alter(table, f"DROP CONSTRAINT {name}", "", "drop_check", "drops that constraint", how=How.CONCURRENT)
    yield replace(drop, back=(f"ALTER TABLE {table} {add}", f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}"))


@dataclass
class Mover:
    """Rewrite the statements of one operation.

    ``key``: the table's primary key as one column, quoted; None where it has none, '' to look it up when it runs.
    ``keep_default``: a default that Django would drop at once stays for the release that runs now, and is dropped in
    the next one. ``value``: what a new column's rows are given, in place of the default that Django has worked out.
    """

    key: str | None
    keep_default: bool = False
    value: str | None = None
    defaults: dict[str, str] = field(default_factory=dict)

    def moves(self, statements: Iterable[str]) -> list[Move]:
        """Return what to run instead; raises NoRemedy."""
        found: list[Move] = []
        for given in statements:
            for statement in text.split(given):
                if not re.match(r"SET CONSTRAINTS\b", statement, re.IGNORECASE):
                    found += self._statement(statement)
        # What only tidies up comes last, so that brief ones before it share a transaction.
        return sorted(found, key=lambda move: move.slug == "drop_check" and not move.later)

    def _statement(self, statement: str) -> Iterator[Move]:
        read = text.read(statement)
        if isinstance(read, CreatedIndex):
            yield build(read.table, read.name, read.text, unique=read.unique)
        elif isinstance(read, AlteredTable):
            for action in read.actions:
                if isinstance(action, AddedColumn):
                    yield from self._column(read.table, action)
                elif isinstance(action, AddedConstraint):
                    yield from self.constraint(read.table, action)
                else:
                    yield from self._action(read.table, action)
        elif update := _UPDATE.fullmatch(statement):
            yield fill(update[1], update[2], update[3], self.key)
        else:
            how = How.CONCURRENT if _ALONE.match(statement) else How.BRIEF
            yield Move(statement, None, how, "", "rest", "does the rest")

    def _column(self, table: str, added: AddedColumn) -> Iterator[Move]:
        if added.primary or "GENERATED" in added.other.upper():
            raise NoRemedy(f"a column like {added.column} of {table} rewrites the table however it is added")
        if self.value is not None and added.default is not None:
            added = replace(added, default=self.value)
        column, default = added.column, added.default
        label = text.identifier(column)
        says, back = f"adds the column {label}", f"DROP COLUMN {column}"
        if default is not None:
            self.defaults[column] = default
        if default is not None and _differs_by_row(default):
            yield alter(table, added.written(default=None, not_null=False), back, "column", says)
            set_default = f"ALTER COLUMN {column} SET DEFAULT {default}"
            yield alter(table, set_default, f"ALTER COLUMN {column} DROP DEFAULT", "column", says)
            yield fill(table, f"{column} = {default}", f"{column} IS NULL", self.key)
            if added.not_null:
                yield from not_null(table, column)
        else:
            written = added.written(default=default, not_null=added.not_null)
            if added.references is not None and default is None:
                # No row has a value in it, which the server knows: nothing is looked up in the parent.
                written += f" CONSTRAINT {added.foreign_key}" if added.foreign_key else ""
                written += f" {added.references}"
                added = replace(added, references=None)
            yield alter(table, written, back, "column", says)
        if added.check is not None:
            name = text.quoted(text.default_name(table, label, "check"))
            yield from self.constraint(table, AddedConstraint(name, "CHECK", added.check))
        if added.references is not None:
            name = added.foreign_key or text.quoted(text.default_name(table, label, "fkey"))
            yield from self.constraint(table, AddedConstraint(name, "FOREIGN KEY", f"({column}) {added.references}"))
        if added.unique:
            name = text.quoted(text.default_name(table, label, "key"))
            yield from self.constraint(table, AddedConstraint(name, "UNIQUE", f"({column})"))

    def constraint(self, table: str, added: AddedConstraint) -> Iterator[Move]:
        """Give what adds a constraint."""
        name, label = added.name, text.identifier(added.name)
        drop = f"DROP CONSTRAINT {name}"
        if added.kind in ("CHECK", "FOREIGN KEY"):
            definition = f"{added.kind} {added.text}"
            says = f"adds the constraint {label} for new rows"
            yield alter(table, f"ADD CONSTRAINT {name} {definition} NOT VALID", drop, "constraint", says)
            says = f"tries {label} on the rows that are there, while reads and writes go on"
            yield validated(table, name, definition, says)
        elif added.kind == "UNIQUE":
            found = re.fullmatch(r"(NULLS (?:NOT )?DISTINCT )?(.*?)(\s+(?:NOT )?DEFERRABLE.*)?", added.text, re.DOTALL)
            assert found is not None
            columns = f"{found[2]} {found[1].strip()}" if found[1] else found[2]
            unique = build(table, name, columns, unique=True)
            yield unique
            # By itself and without a transaction: dropping the constraint drops its index, which is built once more.
            using = f"ADD CONSTRAINT {name} UNIQUE USING INDEX {name}{found[3] or ''}"
            says = f"makes the index {label} a constraint"
            made = alter(table, using, drop, "constraint", says, how=How.CONCURRENT)
            yield replace(made, back=(*(made.back or ()), unique.sql))
        else:
            raise NoRemedy(f"there is no way to add {added.kind} {label} to {table} without a lock on it meanwhile")

    def _action(self, table: str, action: Action) -> Iterator[Move]:
        column, does = action.column, action.does
        if column is None:
            yield alter(table, does, None, "rest", "does the rest")
            return
        label, start = text.identifier(column), does.upper()
        if start == "SET NOT NULL":
            yield from not_null(table, column)
        elif start.startswith(("TYPE ", "SET DATA TYPE ")):
            raise NoRemedy(f"{column} of {table} changes its type: that takes a column of the new type beside it")
        elif start == "DROP DEFAULT":
            known = self.defaults.get(column)
            back = f"ALTER COLUMN {column} SET DEFAULT {known}" if known is not None else None
            move = alter(table, f"ALTER COLUMN {column} {does}", back, "default", f"drops the default of {label}")
            yield replace(move, later=self.keep_default)
        else:
            back = f"ALTER COLUMN {column} SET NOT NULL" if start == "DROP NOT NULL" else None
            if start.startswith("SET DEFAULT "):
                self.defaults[column] = does[len("SET DEFAULT ") :]
                back = f"ALTER COLUMN {column} DROP DEFAULT"
            yield alter(table, f"ALTER COLUMN {column} {does}", back, "alter", f"alters {label}")


def _differs_by_row(default: str) -> bool:
    called = _CALL.findall(re.sub(r"'[^']*'", "", default))
    return any(name.lower().rpartition(".")[2] not in _STABLE for name in called)
