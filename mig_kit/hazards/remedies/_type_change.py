"""A change of type without a rewrite: a column of the new type beside the old one, filled, then put in its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from mig_kit.hazards.plan import PlanOperation
from mig_kit.hazards.remedies import _sql_text as text
from mig_kit.hazards.remedies._moves import How, Move, Mover, alter, build, fill, not_null
from mig_kit.hazards.remedies._operations import Work, key_of, steps_of_moves
from mig_kit.hazards.remedies._remedy import NoRemedy
from mig_kit.hazards.remedies._sql_text import Action, AddedConstraint, AlteredTable, CreatedIndex
from mig_kit.hazards.remedies._steps import Step

__all__ = ["TYPE_NOTE", "by_a_copy"]

TYPE_NOTE = (
    "While the copy is filled a trigger keeps it up with what is written to the old column; the way back rewrites the "
    "table, as the original does."
)


def by_a_copy(work: Work) -> list[Step]:
    """Return the steps of an AlterField; raises NoRemedy for what cannot be copied beside itself."""
    (entry,) = work.entries
    table, column, kind, using = _change(entry, work)
    plain = entry.plain
    before, after = plain["before"], plain["after"]
    if before["null"] != after["null"] or before["has_db_default"] or after["has_db_default"]:
        raise NoRemedy(f"{column} of {table} changes more than its type: change that in a migration of its own first")
    if plain.get("parts") is None:
        raise NoRemedy(f"the indexes and constraints on {column} of {table} are not known")
    copy = _Copy(table, column, kind, using)
    moves = [
        *copy.added(before["db_type"]),
        fill(table, f"{copy.name} = {copy.value()}", f"{copy.name} IS NULL AND {column} IS NOT NULL", key_of(entry)),
        *([] if before["null"] else not_null(table, copy.name)),
        *(move for part in plain["parts"] for move in copy.part(part)),
    ]
    # On the way back the column itself changes its type again, with all that is on it by then.
    moves = [moves[0], *(replace(each, back=()) for each in moves[1:]), *copy.swapped(before["db_type"])]
    return list(steps_of_moves(moves, [work.text], first=False))


def _change(entry: PlanOperation, work: Work) -> tuple[str, str, str, str | None]:
    """Return table, column, type and the conversion; there must be nothing else."""
    statements = [each for sql in work.statements(entry) for each in text.split(sql)]
    read = text.read(statements[0]) if len(statements) == 1 else None
    if isinstance(read, AlteredTable) and len(read.actions) == 1 and isinstance(read.actions[0], Action):
        action = read.actions[0]
        if action.column is not None and action.does.upper().startswith("TYPE "):
            kind, _, using = action.does[len("TYPE ") :].partition(" USING ")
            return read.table, action.column, kind.strip(), using.strip() or None
    raise NoRemedy(f"{entry.describe} does more than change a column's type")


class _Copy:
    """A column beside another one, and what goes with it."""

    def __init__(self, table: str, column: str, kind: str, using: str | None) -> None:
        self.table, self.column, self.kind = table, column, kind
        self.label = text.identifier(column)
        self.name = text.quoted(text.default_name(self.label, "", "new").replace("__", "_"))
        self.using = using or f"{column}::{kind.partition(' COLLATE ')[0]}"
        self.function = text.quoted(text.default_name(table, self.label, "copy"))
        self.swaps: list[Move] = []

    def value(self, row: str = "") -> str:
        """Return the old column's value in the new type."""
        return self.using.replace(self.column, f"{row}{self.column}")

    def added(self, old_type: str | None) -> Iterator[Move]:
        """Give what adds the column and keeps it up with the old one."""
        if not old_type:
            raise NoRemedy(f"the type of {self.column} is not known")
        says = f"adds a column of the new type beside {self.label}, which a trigger keeps up with it"
        yield replace(
            alter(self.table, f"ADD COLUMN {self.name} {self.kind} NULL", "", "copy", says),
            back=(
                f"DROP TRIGGER IF EXISTS {self.function} ON {self.table}",
                f"DROP FUNCTION IF EXISTS {self.function}()",
                f"ALTER TABLE {self.table} DROP COLUMN IF EXISTS {self.name}",
            ),
        )
        body = f"BEGIN NEW.{self.name} := {self.value('NEW.')}; RETURN NEW; END"
        yield self._brief(f"CREATE FUNCTION {self.function}() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$", says)
        yield self._brief(
            f"CREATE TRIGGER {self.function} BEFORE INSERT OR UPDATE ON {self.table} FOR EACH ROW"
            f" EXECUTE FUNCTION {self.function}()",
            says,
        )

    def part(self, part: Mapping[str, Any]) -> Iterator[Move]:
        """Give what makes an index or constraint on the copy; it takes the old one's name with the swap."""
        old = text.quoted(part["name"])
        new = text.quoted(text.default_name(part["name"], "", "new").replace("__", "_"))
        if part["primary_key"] or part["foreign_key"]:
            raise NoRemedy(f"{self.label} is a key, and what refers to it would have to change with it")
        read = text.read(text.split(part["definition"])[0]) if part["definition"] else None
        if isinstance(read, CreatedIndex):
            yield build(self.table, new, self._on_copy(read.text), unique=read.unique)
            self.swaps.append(self._brief(f"ALTER INDEX {new} RENAME TO {old}"))
        elif part["check"]:
            check = part["definition"].partition("CHECK ")[2]
            yield from Mover(None).constraint(self.table, AddedConstraint(new, "CHECK", self._on_copy(check)))
            self.swaps.append(self._brief(f"ALTER TABLE {self.table} RENAME CONSTRAINT {new} TO {old}"))
        elif part["unique"] and not part["partial"] and not part["expression"]:
            columns = ", ".join(text.quoted(each) for each in part["columns"])
            yield build(self.table, new, self._on_copy(f"({columns})"), unique=True)
            more = "".join(part["definition"].partition(" DEFERRABLE")[1:])
            self.swaps.append(
                self._brief(f"ALTER TABLE {self.table} ADD CONSTRAINT {old} UNIQUE USING INDEX {new}{more}")
            )
        else:
            raise NoRemedy(f"{part['name']} on {self.label} cannot be made again beside itself")

    def swapped(self, old_type: str) -> Iterator[Move]:
        """Give what puts the copy in the old column's place."""
        says = f"puts the new column in the place of {self.label}"
        back = f"ALTER COLUMN {self.column} TYPE {old_type} USING {self.column}::{old_type}"
        yield self._brief(f"DROP TRIGGER {self.function} ON {self.table}", says)
        yield self._brief(f"DROP FUNCTION {self.function}()", says)
        yield self._brief(f"ALTER TABLE {self.table} DROP COLUMN {self.column}", says)
        yield alter(self.table, f"RENAME COLUMN {self.name} TO {self.column}", back, "swap", says)
        yield from (replace(each, says=says) for each in self.swaps)

    def _on_copy(self, definition: str) -> str:
        return definition.replace(self.column, self.name)

    def _brief(self, sql: str, says: str = "") -> Move:
        return Move(sql, (), How.BRIEF, self.table, "swap", says)
