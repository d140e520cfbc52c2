"""From a finding to its remedy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from mig_kit.hazards.plan import PlanMigration, PlanOperation
from mig_kit.hazards.remedies._moves import How, Move
from mig_kit.hazards.remedies._operations import Work, safe_steps, steps_of_moves
from mig_kit.hazards.remedies._python import BATCH_NOTE, in_batches, in_this_database, with_noop, with_own_models
from mig_kit.hazards.remedies._releases import LATER_NOTE, in_two_releases
from mig_kit.hazards.remedies._remedy import NoRemedy, Remedy
from mig_kit.hazards.remedies._source import read_source
from mig_kit.hazards.remedies._steps import Step, compose
from mig_kit.hazards.remedies._type_change import TYPE_NOTE, by_a_copy

__all__ = ["IN_SQL", "REMEDIES", "Way", "number_of", "remedy"]

Steps = Callable[[Work], list[Step]]
Edit = Callable[[Work], tuple[Work, list[Step]]]


@dataclass(frozen=True, slots=True)
class Way:
    """State how a kind of finding is dealt with.

    ``steps``: for the operation that it is about; ``rest``: for the others of the migration, which stay as they are
    without it. ``edit``: in place of ``steps``, where the code that an operation runs is changed itself.
    """

    title: str
    steps: Steps | None = None
    rest: Steps | None = None
    notes: tuple[str, ...] = ()
    edit: Edit | None = None


def _kept(work: Work) -> list[Step]:
    return [work.kept()]


def _alone(work: Work) -> list[Step]:
    """Return each operation in a file of its own, safely where that can be done."""
    try:
        steps = safe_steps(work)
    except NoRemedy:
        steps = [work.kept()]
    return [replace(each, alone=True) for each in steps]


def _outside(work: Work) -> list[Step]:
    return [replace(work.kept(), alone=True, atomic=False)]


def _default_stays(work: Work) -> list[Step]:
    steps = safe_steps(work, keep_default=True)
    if not any(each.later for each in steps):
        raise NoRemedy("there is no default that the database could keep for the running release")
    return steps


DEFAULT_NOTE = (
    "Django 5.0 and later can leave the default in the database for good: give the field a db_default as well, and "
    "nothing is left for the next release."
)

# What gives each row a value of its own, as the database can do it.
IN_SQL = {
    "uuid.uuid4": "gen_random_uuid()",
    "django.utils.timezone.now": "now()",
    "datetime.datetime.now": "now()",
    "datetime.date.today": "CURRENT_DATE",
}


def _own_values(work: Work) -> list[Step]:
    (entry,) = work.entries
    called = (entry.plain.get("after") or {}).get("default_callable")
    if called not in IN_SQL:
        raise NoRemedy(f"the database cannot do what {called}() does: give each row its value in a RunPython")
    return safe_steps(work, value=IN_SQL[called])


def _analyzed(work: Work) -> list[Step]:
    (entry,) = work.entries
    after = entry.plain.get("after") or {}
    table = ".".join(f'"{each}"' for each in str(entry.plain["table"]).split("."))
    analyze = Move(
        f'ANALYZE {table} ("{after["column"]}")', (), How.SCAN, table, "analyze", "gathers the column's statistics anew"
    )
    return [work.kept(), *steps_of_moves([analyze], [], first=True)]


_BUILT = "The index is built while reads and writes go on"
_TRIED = "The constraint holds for new rows first, and the others are tried while reads and writes go on"
_DIVIDED = "Each operation is a transaction of its own"
_RELEASES = "The change goes over two releases"

REMEDIES: Mapping[str, Way] = {
    "MK201": Way(_BUILT, safe_steps),
    "MK202": Way(
        "The new type comes in a column of its own, which is filled in batches", by_a_copy, notes=(TYPE_NOTE,)
    ),
    "MK203": Way("NOT NULL is proved by a CHECK that is tried while reads and writes go on", safe_steps),
    "MK204": Way("The column comes without its CHECK, which is tried while reads and writes go on", safe_steps),
    "MK205": Way(_TRIED, safe_steps),
    "MK206": Way(_TRIED, safe_steps),
    "MK207": Way("The constraint's index is built while reads and writes go on", safe_steps),
    "MK209": Way("The column is filled beside its indexes and takes their place", by_a_copy, notes=(TYPE_NOTE,)),
    "MK210": Way("The column is filled beside its constraints, tried meanwhile", by_a_copy, notes=(TYPE_NOTE,)),
    "MK211": Way("The column's statistics are gathered anew right after its type has changed", _analyzed),
    "MK213": Way("The column comes empty, and its rows are filled in batches", safe_steps),
    "MK214": Way(_DIVIDED, _alone, _alone),
    "MK215": Way("What refuses to run in a transaction has a file of its own without one", _outside),
    "MK216": Way("What a failed build has left is dropped first", safe_steps),
    "MK217": Way(_DIVIDED, _alone, _alone),
    "MK220": Way("The rows are changed in batches", safe_steps),
    "MK301": Way(_RELEASES, in_two_releases, notes=(LATER_NOTE,)),
    "MK303": Way(_RELEASES, in_two_releases, notes=(LATER_NOTE,)),
    "MK305": Way(_RELEASES, in_two_releases, notes=(LATER_NOTE,)),
    "MK306": Way(
        "The database keeps the default until the next release", _default_stays, notes=(LATER_NOTE, DEFAULT_NOTE)
    ),
    "MK307": Way(_RELEASES, in_two_releases, notes=(LATER_NOTE,)),
    "MK308": Way(_RELEASES, in_two_releases, notes=(LATER_NOTE,)),
    "MK309": Way(_RELEASES, in_two_releases, notes=(LATER_NOTE,)),
    "MK312": Way(_RELEASES, in_two_releases, notes=(LATER_NOTE,)),
    "MK401": Way("The code has a way back, on which nothing is done", edit=with_noop),
    "MK402": Way("The code uses the models as they are at this migration", edit=with_own_models),
    "MK403": Way("The code means the database that is migrated", edit=in_this_database),
    "MK404": Way("The code goes by ranges of the key, each committed by itself", edit=in_batches, notes=(BATCH_NOTE,)),
    "MK405": Way("Code and schema changes are migrations of their own", _alone, _alone),
    "MK407": Way("Each row gets a value of its own, in batches", _own_values),
}
"""Finding id → what to do about it; every other one takes somebody who knows the code."""


def remedy(finding_id: str, migration: PlanMigration, operation: PlanOperation) -> Remedy | None:
    """Return the migrations to write instead, where there is a way that rewriting alone can find; else None.

    Reads the migration's file, writes nothing. The rest of the migration stays as it is, around the operation.
    """
    way = REMEDIES.get(finding_id)
    if way is None:
        return None
    try:
        number = number_of(migration, operation)
        source = read_source(migration)
        own: list[Step] | None = None
        if way.edit is not None:
            work, own = way.edit(Work(migration, source, number))
            source = work.source
        steps: list[Step] = []
        for n in range(len(source.operations)):
            work = Work(migration, source, n)
            if n == number:
                steps += own if own is not None else (way.steps or _kept)(work)
            else:
                steps += (way.rest or _kept)(work)
        return compose(migration, source, steps, way.title, way.notes)
    except NoRemedy:
        return None


def number_of(migration: PlanMigration, operation: PlanOperation) -> int:
    """Return the operation's place in the migration's list."""
    data: Sequence[Mapping[str, object]] = migration.plain["operations"]
    pairs = zip(data, migration.operations, strict=True)
    return next(int(str(each["index"])) for each, entry in pairs if entry is operation)
