"""One operation over two releases: now what the running one can live with, the rest when it is gone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mig_kit.hazards.plan import PlanOperation
from mig_kit.hazards.remedies import _sql_text as text
from mig_kit.hazards.remedies._code import with_state
from mig_kit.hazards.remedies._moves import How, Move, Mover, alter
from mig_kit.hazards.remedies._operations import Work, key_of, steps_of_moves
from mig_kit.hazards.remedies._remedy import NoRemedy
from mig_kit.hazards.remedies._steps import Step

__all__ = ["LATER_NOTE", "in_two_releases"]

LATER_NOTE = (
    "The files for the next release are not part of this one: add them when no process of the release that runs now "
    "is left."
)


def in_two_releases(work: Work) -> list[Step]:
    """Return the steps of an operation of Django's on the schema; raises NoRemedy."""
    entries = work.entries
    if len(entries) != 1 or entries[0].within is not None:
        raise NoRemedy("what is inside of a SeparateDatabaseAndState is divided by hand")
    (entry,) = entries
    if entry.kind == "RemoveField":
        return list(_remove_field(work, entry))
    if entry.kind == "DeleteModel":
        return list(_delete_model(work, entry))
    if entry.kind in ("AddConstraint", "AlterField", "AlterUniqueTogether"):
        return list(_all_later(work, entry))
    raise NoRemedy(f"{entry.kind} cannot be divided over two releases without another change of the models")


def _table(entry: PlanOperation) -> str:
    return ".".join(text.quoted(each) for each in str(entry.plain["table"]).split("."))


def _remove_field(work: Work, entry: PlanOperation) -> Iterator[Step]:
    before = entry.plain["before"]
    if before["many_to_many"]:
        yield from _tables_later(work, entry)
        return
    if not before["column"]:
        raise NoRemedy(f"{entry.describe}: its column is not known")
    table, column = _table(entry), text.quoted(before["column"])
    moves = []
    if not before["null"] and not before["has_db_default"]:
        # The new release leaves it out of its INSERTs.
        back = f"ALTER COLUMN {column} SET NOT NULL"
        says = f"lets {before['column']} be left out of new rows"
        moves.append(alter(table, f"ALTER COLUMN {column} DROP NOT NULL", back, "nullable", says))
    if before["to"]:
        # Nor does it look after rows that refer to one it deletes.
        moves.append(_drop_keys(table, before["column"]))
    yield from steps_of_moves(moves, [work.text], first=False)
    back_type = f"ADD COLUMN {column} {before['db_type']} NULL" if before["db_type"] else None
    drop = alter(table, f"DROP COLUMN {column} CASCADE", back_type, "drop", f"drops the column {before['column']}")
    yield from steps_of_moves([replace(drop, later=True)], [], first=True)


def _delete_model(work: Work, entry: PlanOperation) -> Iterator[Step]:
    yield from _tables_later(work, entry)


def _tables_later(work: Work, entry: PlanOperation) -> Iterator[Step]:
    """Give up the tables that are dropped: they stay, with no foreign key that the new release would run into."""
    statements = [each for sql in work.statements(entry) for each in text.split(sql)]
    dropped = [each.split()[2] for each in statements if each.upper().startswith("DROP TABLE ")]
    if not dropped:
        raise NoRemedy(f"{entry.describe} drops no table")
    yield from steps_of_moves([_drop_keys(table) for table in dropped], [work.text], first=False)
    moves = [
        Move(f"DROP TABLE {table} CASCADE", None, How.BRIEF, table, "drop", f"drops the table {text.identifier(table)}")
        for table in dropped
    ]
    yield from steps_of_moves([replace(each, later=True) for each in moves], [], first=True)


def _drop_keys(table: str, column: str | None = None) -> Move:
    """Return what drops the foreign keys of a table, or of its column, whatever their names are."""
    on = ""
    if column is not None:
        name = column.replace("'", "''")
        on = f" AND conkey = ARRAY(SELECT attnum FROM pg_attribute WHERE attrelid = conrelid AND attname = '{name}')"
    quoted = table.replace("'", "''")
    sql = (
        "DO $$ DECLARE name text; BEGIN FOR name IN SELECT quote_ident(conname) FROM pg_constraint"
        f" WHERE conrelid = '{quoted}'::regclass AND contype = 'f'{on}"
        f" LOOP EXECUTE 'ALTER TABLE {quoted} DROP CONSTRAINT ' || name; END LOOP; END $$"
    )
    what = text.identifier(table.rpartition(".")[2])
    return Move(sql, (), How.BRIEF, table, "keys", f"drops the foreign keys of {what}")


def _all_later(work: Work, entry: PlanOperation) -> Iterator[Step]:
    """Change the project's state now, and the database in the next release."""
    moves = Mover(key_of(entry)).moves(work.statements(entry))
    yield Step((with_state([], [work.text]),), "state", "changes the project's state only", alone=False)
    yield from steps_of_moves([replace(each, later=True) for each in moves], [], first=True)
