"""What became of the values: compared column by column before and after each migration, and after its way back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from mig_kit.postgres import Connection
from mig_kit.postgres.column_digest import (
    ColumnRule,
    TableValues,
    column_rules,
    count_changed,
    digest_columns,
)
from mig_kit.postgres.observe import RelationState
from mig_kit.postgres.schema import Schema
from mig_kit.steps._migration_run import MigrationRun
from mig_kit.steps._way_back import Loss, ValuesChanged

__all__ = ["Before", "Values"]

_OWN = "django_migrations"  # the record itself


@dataclass(frozen=True, slots=True)
class _Held:
    """State what a table held before a migration, and the names that its columns had then, by number.

    ``original``: nothing had changed it since the backup. ``after``: what it held after the migration.
    """

    state: RelationState
    values: TableValues
    names: Mapping[int, str]
    original: bool
    after: TableValues | None = None


@dataclass(frozen=True, slots=True)
class Before:
    """State what the tables held whose values a migration changed or dropped, and the schema that they had."""

    schema: Schema
    tables: tuple[_Held, ...] = ()


class Values:
    """Compare values in the copy with those before; another copy, on which nothing runs, has those at the beginning.

    ``reference`` makes that one when it is first needed, and gives a connection; None where there is no room for it:
    then nothing is compared. A table is read only where rows of it were changed, or it was rewritten or emptied, or it
    or one of its columns is gone: nothing else changes a value.
    """

    def __init__(self, conn: Connection, reference: Callable[[], Connection | None]) -> None:
        self._conn = conn
        self._reference = reference
        self._known: dict[int, TableValues] = {}  # of the tables that are not any more as they were
        self._original: dict[int, TableValues] = {}

    def forwards(
        self, run: MigrationRun, now: Mapping[str, RelationState], before: Schema, after: Schema
    ) -> tuple[Before | None, tuple[ValuesChanged, ...]]:
        """Return what there was before the migration that just ran, and the columns whose values are others now."""
        there = {state.oid: state for state in now.values()}
        gone = _columns_gone(before, after)
        touched = [
            state
            for state in run.relations.values()
            if _is_table(state) and (state.label in run.changed or state.oid not in there or state.oid in gone)
        ]
        held = self._held(touched, before)
        if held is None:
            return None, ()
        changed: list[ValuesChanged] = []
        for place, each in enumerate(held):
            oid = each.state.oid
            if oid not in there:
                self._known.pop(oid, None)
            elif each.state.label in run.changed:
                current = self._digest(oid, each.values, each.values.rule.key)
                if current is not None:
                    self._known[oid] = current
                    held[place] = replace(each, after=current)
                    changed += self._changed(each, current)
            else:
                columns = {n: digest for n, digest in each.values.columns.items() if n not in gone[oid]}
                held[place] = replace(each, after=replace(each.values, columns=columns))
        return Before(before, tuple(held)), tuple(changed)

    def backwards(self, run: MigrationRun, before: Before, now: Mapping[str, RelationState]) -> tuple[Loss, ...]:
        """Return what did not come back by the way back that just ran."""
        known = {each.state.oid for each in before.tables}
        by_oid = {state.oid: state for state in now.values()}
        by_name = {(state.schema, state.name): state for state in now.values() if _is_table(state)}
        others = [
            state
            for state in run.relations.values()
            if _is_table(state) and state.label in run.changed and state.oid in by_oid and state.oid not in known
        ]
        lost: list[Loss] = []
        for each in (*before.tables, *(self._held(others, before.schema) or ())):
            was = each.state
            state = by_oid.get(was.oid) or by_name.get((was.schema, was.name))
            if state is None:
                lost += [Loss(was.label, None, each.values.rows, each.values.rows)] if each.values.rows else []
                continue
            key = [each.names.get(number, "") for number in each.values.rule.key]
            current = self._digest(state.oid, each.values, key)
            if current is not None:
                lost += self._lost(each, current)
                self._known[state.oid] = current
        return tuple(lost)

    def _held(self, states: Sequence[RelationState], schema: Schema) -> list[_Held] | None:
        """Return what tables hold according to what is known, or else held at the beginning; None without that.

        ``schema``: as it is at that point; what it does not have of a table is not of that time.
        """
        missing = [state.oid for state in states if state.oid not in self._known]
        if missing:
            reference = self._reference()
            if reference is None:
                return None
            new = [oid for oid in missing if oid not in self._original]
            self._original |= digest_columns(reference, column_rules(reference, new).values())
        relations = {each.oid: each for each in schema.relations.values()}
        found = []
        for state in states:
            values = self._known.get(state.oid) or self._original.get(state.oid)
            if values is None:  # the plan itself made it
                continue
            relation = relations.get(state.oid)
            names = dict(values.rule.columns)
            if relation is not None:
                names = {column.number: column.name for column in relation.columns.values()}
            columns = {number: digest for number, digest in values.columns.items() if number in names}
            found.append(_Held(state, replace(values, columns=columns), names, state.oid not in self._known))
        return found

    def _digest(self, oid: int, like: TableValues, key: Sequence[int | str]) -> TableValues | None:
        """Digest a table as it is now, by a key (numbers, or names) and as large a share as before."""
        rule = column_rules(self._conn, [oid]).get(oid)
        if rule is None:
            return None
        numbers = [rule.numbers([each])[:1] if isinstance(each, str) else (each,) for each in key]
        flat = tuple(number for found in numbers for number in found if number in rule.columns)
        if len(flat) != len(key):
            return None
        return digest_columns(self._conn, [replace(rule, key=flat, one_in=like.rule.one_in)])[oid]

    def _changed(self, held: _Held, now: TableValues) -> Iterable[ValuesChanged]:
        was = held.values
        numbers = [n for n, digest in was.columns.items() if n in now.columns and now.columns[n] != digest]
        counts = self._count(held, now.rule, [(n, n) for n in numbers])
        for number in numbers:
            count = counts.get(number) if counts is not None else None
            # With other rows there, all values that were there may still be.
            if count == 0 or (count is None and was.rows != now.rows):
                continue
            yield ValuesChanged(held.state.label, held.names[number], count, was.rows)

    def _lost(self, held: _Held, now: TableValues) -> Iterable[Loss]:
        was, label = held.values, held.state.label
        # What the way back of a later migration has lost is said of that one.
        before, rows_before = self._lost_before(held)
        rows = was.rows - now.rows - rows_before
        if rows > 0:
            yield Loss(label, None, rows, was.rows)
        here = {name: number for number, name in now.rule.columns.items()}
        pairs = []
        for number, digest in was.columns.items():
            name = held.names[number]
            if number in before or not digest.filled:
                continue
            if name not in here:
                yield Loss(label, name, digest.filled if was.rule.one_in == 1 else None, was.rows)
            elif now.columns[here[name]] != digest:
                pairs.append((number, here[name]))
        counts = self._count(held, now.rule, pairs)
        for number, there in pairs:
            filled, left = was.columns[number].filled, now.columns[there].filled
            if counts is not None:
                if counts[number]:
                    yield Loss(label, held.names[number], counts[number], filled)
            elif was.rows == now.rows:
                yield Loss(label, held.names[number], filled if not left else None, filled)

    def _lost_before(self, held: _Held) -> tuple[frozenset[int], int]:
        """Return the columns that were not as the migration left them when its way back began, and the rows short."""
        after, present = held.after, self._known.get(held.state.oid)
        if after is None or present is None:
            return frozenset(), 0
        columns = frozenset(n for n, digest in after.columns.items() if present.columns.get(n) != digest)
        return columns, max(0, after.rows - present.rows)

    def _count(self, held: _Held, now: ColumnRule, pairs: list[tuple[int, int]]) -> dict[int, int] | None:
        reference = self._reference() if pairs and held.original and held.values.rule.one_in == 1 else None
        return None if reference is None else count_changed(reference, held.values.rule, self._conn, now, pairs)


def _columns_gone(before: Schema, after: Schema) -> dict[int, frozenset[int]]:
    """Return the tables that have lost columns, by their oids, with the numbers of those."""
    now = {each.oid: each for each in after.relations.values()}
    found = {}
    for was in before.relations.values():
        if was.oid in now and was.kind == "r":
            numbers = {column.number for column in now[was.oid].columns.values()}
            if gone := frozenset(column.number for column in was.columns.values()) - numbers:
                found[was.oid] = gone
    return found


def _is_table(state: RelationState | None) -> bool:
    return state is not None and state.kind == "r" and state.name != _OWN
