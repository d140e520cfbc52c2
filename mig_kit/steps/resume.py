"""Go on where an apply was left: find what it left unfinished, and finish it the one right way, or go back."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from mig_kit import errors
from mig_kit.postgres.migration_lock import refuse_while_migrating
from mig_kit.progress import ProgressCallback
from mig_kit.project.client import EventCallback
from mig_kit.record import Journal
from mig_kit.steps._migrating import Migrating
from mig_kit.steps.apply import Applied, PlannedMigration, Waiting, migrate, plan
from mig_kit.steps.standing import find_unfinished
from mig_kit.steps.target import Target
from mig_kit.steps.unfinished import GO_BACK, MigrationStanding, Standing, Unfinished

__all__ = ["look", "resume"]

# What may be said of a migration that was left half done, whatever the journal says.
UNDONE = "undone"
"""Somebody has put the database back to the state before the migration: it is run from its beginning."""


def look(target: Target, *, journal: Journal | None = None) -> Unfinished | None:
    """Return where the last apply of this database stands when it did not end; None when nothing is unfinished.

    Read-only. Compares the journals below the project's ``.mig`` with ``django_migrations`` and, where that tells
    nothing, with the schema. Raises ``GateClosed`` while a session migrates.
    """
    with contextlib.closing(target.connect("resume")) as connection:
        refuse_while_migrating(connection)
        return find_unfinished(target, connection, journal.path if journal is not None else None)


def resume(
    target: Target,
    *,
    choice: str | None = None,
    back: bool | None = None,
    waiting: Waiting | None = None,
    journal: Journal | None = None,
    progress: ProgressCallback | None = None,
    on_event: EventCallback | None = None,
) -> Applied:
    """Finish what the last apply, rollback or fake of this database left unfinished, and the rest of its plan.

    A migration that is not atomic is gone on with at the operation where it stands; with ``back`` what is done of it is
    taken back instead, and nothing else is run. ``back=False`` turns round where that was begun and not ended.
    ``choice``: where two things may have happened, which one did, by the names that ``Unfinished.next`` gives; or
    "undone", when somebody has put back by hand what was half done.

    Raises ``UsageError`` when nothing is unfinished or a choice is missing, ``GateClosed`` when another session
    migrates or the files changed the plan, ``ApplyFailed`` as ``apply`` does.
    """
    run = Migrating(target, GO_BACK if back else "resume", progress, on_event, waiting or Waiting(), journal=journal)
    with run.alone(resuming=True):
        found = run.unfinished()
        if found is None:
            raise errors.UsageError("Nothing was left unfinished.", hint="rb.status() shows what is pending")
        current = found.current
        place = _place(found, current, choice)
        if back or (back is None and found.step == GO_BACK):
            return _go_back(run, found, current, place)
        app, name = found.scope
        planned = plan(target, app, name)
        if found.step == GO_BACK and current is not None and place is not None:
            place = {**place, "operation": _count(target, current) - int(place.get("operation", 0))}
            return migrate(run, planned, app=app, name=name, other_databases=found.other_databases, resume=place)
        _same(found, planned)
        args: dict[str, Any] = {"resume": place} if place else {}
        if found.fake:
            args["fake"] = True
        return migrate(run, planned, app=app, name=name, other_databases=found.other_databases, **args)


def _place(found: Unfinished, current: MigrationStanding | None, choice: str | None) -> Mapping[str, Any] | None:
    """Return the place in the half-done migration to go on from, None where there is none."""
    if current is None:
        if choice is not None:
            raise errors.UsageError("Nothing is unclear, so there is nothing to choose.", hint="rb.resume()")
        return None
    if choice == UNDONE:
        return {"app": current.app, "name": current.name}
    choices = current.choices or {}
    if choice is None and current.standing is Standing.UNCLEAR:
        raise errors.UsageError(f"{found.words} Nothing tells which.", hint=found.next)
    if choice is None:
        return current.place
    if choice not in choices:
        known = ", ".join(repr(each) for each in (*choices, UNDONE))
        raise errors.UsageError(f"{choice!r} is no answer to how {current} stands.", hint=f"choose one of: {known}")
    return choices[choice][0]


def _same(found: Unfinished, planned: tuple[PlannedMigration, ...]) -> None:
    """Refuse to go on with another plan than the one that was left."""
    left = [(each.app, each.name, each.backwards) for each in found.rest]
    now = [(each.app, each.name, each.backwards) for each in planned]
    if left == now:
        return
    added = [each for each in now if each not in left]
    gone = [each for each in left if each not in now]
    said = [f"{app}.{name} came in" for app, name, _ in added] + [f"{app}.{name} is gone" for app, name, _ in gone]
    raise errors.GateClosed(
        f"The plan that was left unfinished is another one now: {', '.join(said) or 'its order changed'}.",
        gate="same plan",
        hint="put the migration files back as they were when it was begun, then rb.resume()",
    )


def _go_back(
    run: Migrating, found: Unfinished, current: MigrationStanding | None, place: Mapping[str, Any] | None
) -> Applied:
    """Take back what is done of the current migration."""
    if current is None or place is None:
        raise errors.UsageError(
            "No migration is half done, so there is none to go back in.",
            hint="rb.resume() goes on; rb.rollback(app, name) takes whole migrations back",
        )
    if found.step == GO_BACK:
        start = place
    elif current.backwards:
        raise errors.UsageError(f"{current} was on its way back already.", hint="rb.resume() goes on with that")
    else:
        start = _backwards(run.target, current, place)
    planned = (PlannedMigration(current.app, current.name, True),)
    return migrate(run, planned, method="undo", app=current.app, name=current.name, resume=start)


def _backwards(target: Target, current: MigrationStanding, place: Mapping[str, Any]) -> dict[str, Any]:
    """Return the place to begin at backwards: operations count from the last one then."""
    done = int(place.get("operation", 0))
    if place.get("part") == "statement":
        raise errors.UsageError(
            f"{current} stopped within {current.operation}, with some of its statements done: only going on is safe.",
            hint="rb.resume()",
        )
    if place.get("part") == "deferred":
        done += 1  # the operation itself is done, and takes with it what is held back of it
    operations = _operations(target, current)
    final = next((each for each in reversed(operations[:done]) if not each["reversible"]), None)
    if final is not None:
        raise errors.GateClosed(
            f"{current} cannot be taken back, nothing was run. Irreversible: {final['describe']}.",
            gate="reversible",
            hint="go on with it: rb.resume(); or restore a backup from before it: mig-kit restore",
        )
    return {"app": current.app, "name": current.name, "operation": len(operations) - done}


def _operations(target: Target, current: MigrationStanding) -> list[dict[str, Any]]:
    (migration,) = target.ask("operations", migrations=[[current.app, current.name]])
    found: list[dict[str, Any]] = migration["operations"]
    return found


def _count(target: Target, current: MigrationStanding) -> int:
    return len(_operations(target, current))
