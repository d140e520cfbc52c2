"""A catalog without a database: the tables as the project's state says they are, and what a database adds to that."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from mig_kit.hazards.catalog import Catalog, Check, Column, ForeignKey, Index, TableInfo
from mig_kit.hazards.plan import Guess

__all__ = ["actual_names", "catalog_of_state", "with_sizes"]


def catalog_of_state(tables: Iterable[Mapping[str, Any]], major: int | None = None) -> Catalog:
    """Return what the worker's tables say; evidence ``rule``: indexes or views made by hand are not in it."""
    tables = list(tables)
    keys = {each["label"]: _keys(each) for each in tables}
    incoming: defaultdict[str, list[ForeignKey]] = defaultdict(list)
    for own in keys.values():
        for key in own:
            incoming[key.parent].append(key)
    known = {
        each["label"]: TableInfo(
            label=each["label"],
            schema="",
            name=each["label"].rpartition(".")[2],
            columns={column["name"]: Column(**column) for column in each["columns"]},
            indexes=tuple(
                Index(**{**index, "columns": tuple(index["columns"]), "keys": tuple(index["keys"])})
                for index in each["indexes"]
            ),
            checks=tuple(
                Check(check["name"], tuple(check["columns"]), definition=check["definition"])
                for check in each["checks"]
            ),
            foreign_keys=keys[each["label"]],
            referenced_by=tuple(incoming[each["label"]]),
        )
        for each in tables
    }
    return Catalog(tables=known, major=major, evidence="rule")


def _keys(table: Mapping[str, Any]) -> tuple[ForeignKey, ...]:
    return tuple(
        ForeignKey(each["name"], table["label"], tuple(each["columns"]), each["parent"], tuple(each["parent_columns"]))
        for each in table["foreign_keys"]
    )


def with_sizes(state: Catalog, database: Catalog) -> Catalog:
    """Return the tables as the state has them with the sizes that a database has, which is at another state."""
    tables = {
        label: replace(info, size_bytes=found.size_bytes, row_estimate=found.row_estimate)
        if (found := database.table(label)) is not None
        else info
        for label, info in state.tables.items()
    }
    return replace(state, tables=tables, major=database.major, timezone=database.timezone, volatile=database.volatile)


def actual_names(sql: str, guesses: Iterable[Guess], catalog: Catalog) -> str:
    """Put the names that the catalog has for those that were guessed, where one of it surely is the one meant."""
    for guess in guesses:
        info = catalog.table(guess.table.strip('"').replace('"."', "."))
        if info is None:
            continue
        fitting = _fitting(info, guess)
        if guess.name not in fitting and len(fitting) == 1:
            sql = sql.replace(f'"{guess.name}"', '"' + fitting[0].replace('"', '""') + '"')
    return sql


def _fitting(info: TableInfo, guess: Guess) -> list[str]:
    """Return the names of what is of that kind on just those columns."""
    if guess.kind == "foreign key":
        return [key.name for key in info.foreign_keys or () if key.columns == guess.columns]
    if guess.kind == "check":
        return [check.name for check in info.checks or () if check.columns == guess.columns]
    indexes = [index for index in info.indexes or () if not index.expression and not index.partial]
    if guess.kind == "primary key":
        return [index.name for index in indexes if index.primary]
    indexes = [index for index in indexes if index.keys == guess.columns and not index.primary]
    if guess.kind == "unique":
        return [index.name for index in indexes if index.unique]
    return [index.name for index in indexes if not index.unique and ("pattern_ops" in index.definition) == guess.like]
