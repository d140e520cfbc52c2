"""The plan as the worker replays it: migrations, their operations, what each would run; typed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Guess", "Plan", "PlanMigration", "PlanOperation", "PythonCode", "RawSql", "plan_of"]


@dataclass(frozen=True, slots=True)
class Guess:
    """A name of a constraint or index that another history of the database would have given otherwise.

    ``kind``: foreign key, primary key, unique, check or index. ``like``: it is the index for LIKE.
    """

    name: str
    table: str
    columns: tuple[str, ...]
    kind: str
    like: bool = False


@dataclass(frozen=True, slots=True)
class PythonCode:
    """What is known of a RunPython's code without running it; see the worker's ``code_facts``."""

    name: str
    file: str | None
    line: int | None
    noop: bool
    reverse: bool
    unknown: str | None
    direct_models: tuple[Mapping[str, Any], ...] = ()
    models: tuple[Mapping[str, Any], ...] = ()
    without_using: tuple[int, ...] = ()
    whole: tuple[Mapping[str, Any], ...] = ()
    raw_sql: bool = False
    reverse_noop: bool = False


@dataclass(frozen=True, slots=True)
class RawSql:
    """What a RunSQL was given."""

    sql: tuple[str, ...]
    reverse: bool
    state_operations: int


@dataclass(frozen=True, slots=True)
class PlanOperation:
    """One operation, or one database operation inside of a SeparateDatabaseAndState (``within``).

    ``known``: what it does is written in Django itself. ``note``: why its SQL is not known, None where it is.
    ``transaction``: ``migration``, ``own``, or None for none. ``plain``: the worker's plain data of the operation.
    """

    kind: str
    path: str
    describe: str
    line: int
    known: bool
    statements: tuple[str, ...]
    note: str | None
    transaction: str | None
    reversible: bool | None
    plain: Mapping[str, Any]
    guesses: tuple[Guess, ...] = ()
    python: PythonCode | None = None
    raw: RawSql | None = None
    within: str | None = None


@dataclass(frozen=True, slots=True)
class PlanMigration:
    """One migration. ``wanted``: False for one that only has to run before. ``deferred``: (statement, operation)."""

    app: str
    name: str
    file: str | None
    atomic: bool
    wanted: bool
    applied: bool
    reversible: bool | None
    operations: tuple[PlanOperation, ...]
    deferred: tuple[tuple[str, PlanOperation], ...]
    plain: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.app}.{self.name}"


@dataclass(frozen=True, slots=True)
class Plan:
    """Migrations in the order they would run, and the tables as the project's state has them before the first.

    ``history_known``: a database said what is applied; else each migration counts as a plan of its own.
    """

    migrations: tuple[PlanMigration, ...]
    tables: tuple[Mapping[str, Any], ...] = field(default=())
    history_known: bool = True

    @property
    def wanted(self) -> tuple[PlanMigration, ...]:
        """Those that are asked about."""
        return tuple(each for each in self.migrations if each.wanted)


def plan_of(data: Mapping[str, Any]) -> Plan:
    """Read what the worker's ``replay`` answered."""
    return Plan(
        tuple(_migration(each) for each in data["migrations"]), tuple(data["tables"]), bool(data["history_known"])
    )


def _migration(data: Mapping[str, Any]) -> PlanMigration:
    operations = tuple(_operation(each) for each in data["operations"])
    return PlanMigration(
        app=data["app"],
        name=data["name"],
        file=data["file"],
        atomic=data["atomic"],
        wanted=data["wanted"],
        applied=data["applied"],
        reversible=data["reversible"],
        operations=operations,
        deferred=tuple((each["sql"], operations[each["operation"]]) for each in data["deferred"]),
        plain=data,
    )


def _operation(data: Mapping[str, Any]) -> PlanOperation:
    python = data["python"]
    raw = data["raw"]
    return PlanOperation(
        kind=data["class"],
        path=data["path"],
        describe=data["describe"],
        line=data["line"],
        known=data["known"],
        statements=tuple(data["sql"]),
        note=data["note"],
        transaction=data["transaction"],
        reversible=data["reversible"],
        plain=data["plain"],
        guesses=tuple(_guess(each) for each in data["guesses"]),
        python=PythonCode(**{key: _tuple(value) for key, value in python.items()}) if python else None,
        raw=RawSql(tuple(raw["sql"]), raw["reverse"], raw["state_operations"]) if raw else None,
        within=data["within"],
    )


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _guess(data: Mapping[str, Any]) -> Guess:
    if data["foreign_key"]:
        kind = "foreign key"
    elif data["primary_key"]:
        kind = "primary key"
    elif data["check"]:
        kind = "check"
    else:
        kind = "unique" if data["unique"] else "index"
    return Guess(data["name"], data["table"], tuple(data["columns"]), kind, "pattern_ops" in data["definition"])
