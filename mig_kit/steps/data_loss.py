"""What going back takes away, counted on the live database: rows of tables, values of columns. Read-only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from mig_kit.hazards.column_types import parse_type
from mig_kit.hazards.taken import Taken, TakenKind
from mig_kit.postgres import Connection
from mig_kit.postgres.refusal import first_line

__all__ = ["Candidate", "DataLoss", "count_losses"]

_LIMIT_S = 60
_TIMEOUTS = f"SET default_transaction_read_only = on; SET lock_timeout = '2s'; SET statement_timeout = '{_LIMIT_S}s'"
# A value that is too long for these is refused where it is assigned, and cut where it is cast.
_CUT = ("bit", "bit varying", "character", "character varying")


@dataclass(frozen=True, slots=True)
class Candidate:
    """Name what one operation takes away, and the default that its column had for the rows that were there.

    ``default``: as SQL; None where it is no plain value. ``note``: what there is to say where no statement tells.
    """

    migration: str
    operation: str
    taken: Taken
    default: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataLoss:
    """State what going back takes away from one table (``column`` '') or one column; ``table`` is ? where that is open.

    ``what``: in words. ``rows``: how many the table has; ``values``: in how many of them the column is not NULL.
    ``lost``: the rows that are lost with a table; of a column the values that do not come back when the migration runs
    again, those that differ from what it gives. None where that is not known, and ``note`` says why. ``fails``: why the
    way back will fail on what is there now, '' where it will not.
    """

    migration: str
    operation: str
    table: str
    column: str = ""
    what: str
    rows: int | None = None
    values: int | None = None
    lost: int | None = None
    note: str = ""
    fails: str = ""

    @property
    def nothing(self) -> bool:
        """Tell whether it is known that nothing is lost."""
        return self.lost == 0

    def __str__(self) -> str:
        if self.table == "?":
            return f"{self.operation}: what is lost is not known"
        name = f"{self.table}.{self.column}" if self.column else self.table
        unit = "values" if self.column else "rows"
        lost = "some" if self.lost is None else f"{self.lost:,}"
        of = "" if self.rows is None else f" of {self.rows:,} rows" if self.column else ""
        return f"{name}: {lost} {unit}{of} lost"


def count_losses(conn: Connection, candidates: Sequence[Candidate]) -> tuple[DataLoss, ...]:
    """Return what each candidate takes away, in their order. Every table is read once; a count takes a minute at most.

    The connection is read-only afterwards.
    """
    conn.execute(_TIMEOUTS)
    of_table: dict[str, list[int]] = defaultdict(list)
    found: list[DataLoss] = []
    for place, each in enumerate(candidates):
        found.append(_uncounted(each))
        if each.taken.table:
            of_table[each.taken.table].append(place)
    for table, places in of_table.items():
        counted = _count_table(conn, table, [candidates[place] for place in places])
        for place, numbers in zip(places, counted, strict=True):
            found[place] = replace(found[place], **numbers)
    return tuple(found)


def _uncounted(candidate: Candidate) -> DataLoss:
    taken = candidate.taken
    what = str(taken.kind)
    if taken.kind is TakenKind.CONVERTED:
        what = f"every value is converted to {taken.new_type}"
    note = candidate.note
    if taken.kind is TakenKind.UNREAD and not note:
        note = f"what it takes away is not known: {_short(taken.sql)}"
    return DataLoss(
        migration=candidate.migration,
        operation=candidate.operation,
        table=taken.table or "?",
        column=taken.column,
        what=what,
        note=note,
    )


def _count_table(conn: Connection, label: str, candidates: Sequence[Candidate]) -> list[Mapping[str, Any]]:
    """Return for each candidate of one table what was counted, as fields of a ``DataLoss``."""
    row = conn.execute("SELECT to_regclass(%s)::oid", [_quoted(label)]).fetchone()
    if row is None or row[0] is None:
        return [{"note": "the database has no such table", "lost": None} for _ in candidates]
    types: dict[str, str] = dict(
        conn.execute(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped",
            [row[0]],
        ).fetchall()
    )
    whole = [each for each in candidates if each.taken.kind is not TakenKind.CONVERTED]
    counted = _counts(conn, label, types, whole)
    plain = iter(counted)
    return [
        next(plain) if each.taken.kind is not TakenKind.CONVERTED else _converted(conn, label, types, each)
        for each in candidates
    ]


def _counts(
    conn: Connection, label: str, types: Mapping[str, str], candidates: Sequence[Candidate]
) -> list[Mapping[str, Any]]:
    """Count rows, values, and values that are not the default, in one pass."""
    if not candidates:
        return []
    columns = ["count(*)"]
    for each in candidates:
        if each.taken.column in types:
            name = _name(each.taken.column)
            columns.append(f"count({name})")
            if each.default is not None:
                columns.append(_not(name, types[each.taken.column], each.default))
    try:
        row = conn.execute(_select(columns, label)).fetchone()
    except psycopg.Error as error:
        return [_not_counted(conn, label, error)] * len(candidates)
    numbers = iter(row or ())
    rows = next(numbers)
    found: list[Mapping[str, Any]] = []
    for each in candidates:
        kind, column = each.taken.kind, each.taken.column
        if kind is TakenKind.ROWS:
            found.append({"rows": rows, "note": f"which rows, only the statement knows: {_short(each.taken.sql)}"})
        elif not column:
            found.append({"rows": rows, "lost": rows})
        elif column not in types:
            found.append({"rows": rows, "note": "the database has no such column"})
        else:
            values = next(numbers)
            differing = next(numbers) if each.default is not None else None
            note = "" if differing is not None else "what it would get again is no plain value: any value counts"
            found.append(
                {"rows": rows, "values": values, "lost": values if differing is None else differing, "note": note}
            )
    return found


def _converted(conn: Connection, label: str, types: Mapping[str, str], candidate: Candidate) -> Mapping[str, Any]:
    """Count the values that do not survive a conversion to another type and back."""
    taken = candidate.taken
    if taken.column not in types:
        return {"note": "the database has no such column"}
    if taken.using == "an expression":
        return {"note": f"it is converted by an expression of its own: {_short(taken.sql)}"}
    name, old, new = _name(taken.column), types[taken.column], taken.new_type
    back = f"count(*) FILTER (WHERE (({name}::{new})::{old})::text <> {name}::text)"
    try:
        row = conn.execute(_select(["count(*)", f"count({name})", back], label)).fetchone()
    except (psycopg.errors.DataError, psycopg.errors.CannotCoerce) as error:
        return {"note": "not every value can be converted", "fails": f"{label}.{taken.column}: {first_line(error)}"}
    except psycopg.Error as error:
        return _not_counted(conn, label, error)
    rows, values, lost = row or (None, None, None)
    if lost and not taken.using and parse_type(new).base in _CUT:
        words = f"{lost:,} value{'' if lost == 1 else 's'} of {label}.{taken.column} do not fit {new}"
        return {"rows": rows, "values": values, "lost": 0, "fails": words}
    return {"rows": rows, "values": values, "lost": lost}


def _not(name: str, kind: str, default: str) -> str:
    """Count the rows whose value is another one than the default; as text where the type has no equality."""
    if default == "NULL":
        return f"count({name})"
    value = f"({default})::{kind}"
    if kind.partition("[")[0] in ("json", "xml", "point"):
        name, value = f"{name}::text", f"{value}::text"
    return f"count(*) FILTER (WHERE {name} IS DISTINCT FROM {value})"


def _select(columns: Sequence[str], label: str) -> bytes:
    return f"SELECT {', '.join(columns)} FROM {_quoted(label)}".encode()


def _not_counted(conn: Connection, label: str, error: psycopg.Error) -> Mapping[str, Any]:
    why = f"counting took longer than {_LIMIT_S} s"
    if not isinstance(error, psycopg.errors.QueryCanceled):
        why = f"it could not be counted: {first_line(error)}"
    row = conn.execute(
        "SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(%s)", [_quoted(label)]
    ).fetchone()
    estimate = f"; the planner takes it for some {row[0]:,} rows" if row and row[0] >= 0 else ""
    return {"note": why + estimate}


def _quoted(label: str) -> str:
    return ".".join(map(_name, label.split(".", 1)))


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _short(text: str, limit: int = 120) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
