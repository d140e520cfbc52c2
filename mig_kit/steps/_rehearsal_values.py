"""What became of the values: compared column by column before and after each migration, and after its way back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
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
from mig_kit.steps._rehearsal_events import MigrationRun
from mig_kit.steps._way_back import Loss, ValuesChanged

__all__ = ["Before", "Values"]

_OWN = "django_migrations"  # the record itself


@dataclass(frozen=True, slots=True)
class Before:
    """State what the tables held that a migration may change, before it; ``original``: those nothing changed before."""

    tables: Mapping[str, TableValues]
    labels: Mapping[str, str]
    original: frozenset[str]


class Values:
    """Compare values in the copy with those before; a copy that nothing runs on, made when first needed, has those.

    ``reference`` returns a connection to it, None where there is no room for one: then nothing is compared.
    A table on which no migration took more than a weak lock cannot have changed, and is not read.
    """

    def __init__(self, conn: Connection, reference: Callable[[], Connection | None]) -> None:
        self._conn = conn
        self._reference = reference
        self._known: dict[str, TableValues] = {}

    def forwards(
        self, run: MigrationRun, now: Mapping[str, RelationState]
    ) -> tuple[Before | None, tuple[ValuesChanged, ...]]:
        """Return what there was before the migration that just ran, and the columns whose values are others now."""
        touched = [run.relations[label] for label in sorted(run.changed) if _is_table(run.relations.get(label))]
        reference = self._reference() if touched else None
        if reference is None:
            return (None if touched else Before({}, {}, frozenset())), ()
        missing = [_key(state) for state in touched if _key(state) not in self._known]
        original = digest_columns(reference, column_rules(reference, missing))
        before = {_key(state): self._known.pop(_key(state), None) or original.get(_key(state)) for state in touched}
        tables = {key: values for key, values in before.items() if values is not None}
        by_oid = {state.oid: state for state in now.values()}
        places = {_key(state): by_oid[state.oid] for state in touched if state.oid in by_oid}
        after = self._digest({key: places[key] for key in tables if key in places}, tables)
        changed: list[ValuesChanged] = []
        for state in touched:
            key = _key(state)
            if key in tables and key in after:
                self._known[_key(places[key])] = after[key]
                changed += self._changed(state, tables[key], after[key], reference if key in original else None)
        labels = {_key(state): state.label for state in touched}
        return Before(tables, labels, frozenset(original)), tuple(changed)

    def backwards(self, before: Before, now: Mapping[str, RelationState]) -> tuple[Loss, ...]:
        """Return what did not come back by the way back that just ran."""
        by_key = {_key(state): state for state in now.values() if _is_table(state)}
        after = self._digest({key: by_key[key] for key in before.tables if key in by_key}, before.tables)
        self._known.update(after)
        reference = self._reference()
        lost: list[Loss] = []
        for key, was in before.tables.items():
            label = before.labels[key]
            if key not in after:
                lost += [Loss(label, None, was.rows, was.rows)] if was.rows else []
                continue
            known = reference if key in before.original else None
            lost += self._lost(label, was, after[key], known)
        return tuple(lost)

    def _digest(self, places: Mapping[str, RelationState], by: Mapping[str, TableValues]) -> dict[str, TableValues]:
        """Digest tables where they are now by the rules they were digested by before."""
        here = {each.table: each for each in column_rules(self._conn, [_key(state) for state in places.values()])}
        rules = {}
        for key, state in places.items():
            rule, was = here.get(_key(state)), by[key].rule
            if rule is not None and set(was.key) <= set(rule.columns):
                rules[key] = replace(rule, key=was.key, one_in=was.one_in)
        found = digest_columns(self._conn, rules.values())
        return {key: found[rule.table] for key, rule in rules.items()}

    def _changed(
        self, state: RelationState, was: TableValues, now: TableValues, reference: Connection | None
    ) -> Iterable[ValuesChanged]:
        columns = [name for name, each in was.columns.items() if name in now.columns and now.columns[name] != each]
        counts = self._count(was.rule, columns, reference, (now.rule.schema, now.rule.name))
        for name in columns:
            count = counts.get(name) if counts is not None else None
            # With other rows there, all values that were there may still be.
            if count == 0 or (count is None and was.rows != now.rows):
                continue
            yield ValuesChanged(state.label, name, count, was.rows)

    def _lost(self, label: str, was: TableValues, now: TableValues, reference: Connection | None) -> Iterable[Loss]:
        if now.rows < was.rows:
            yield Loss(label, None, was.rows - now.rows, was.rows)
        for name, each in was.columns.items():
            if name not in now.columns and each.filled:
                yield Loss(label, name, each.filled if was.rule.one_in == 1 else None, was.rows)
        columns = [name for name, each in was.columns.items() if now.columns.get(name, each) != each and each.filled]
        counts = self._count(was.rule, columns, reference, None)
        for name in columns:
            filled, now_filled = was.columns[name].filled, now.columns[name].filled
            if counts is not None:
                if counts[name]:
                    yield Loss(label, name, counts[name], filled)
            elif was.rows == now.rows:
                yield Loss(label, name, filled if not now_filled else None, filled)

    def _count(
        self, rule: ColumnRule, columns: list[str], reference: Connection | None, now: tuple[str, str] | None
    ) -> dict[str, int] | None:
        if reference is None or rule.one_in > 1:
            return None
        return count_changed(reference, self._conn, rule, columns, now)


def _is_table(state: RelationState | None) -> bool:
    return state is not None and state.kind == "r" and state.name != _OWN


def _key(state: RelationState) -> str:
    return f"{state.schema}.{state.name}"
