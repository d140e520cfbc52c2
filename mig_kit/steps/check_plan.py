"""What pending migrations would do to a live database, without running any of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import psycopg

from mig_kit import errors
from mig_kit.hazards.assess import assess_plan
from mig_kit.hazards.assessment import Assessment
from mig_kit.hazards.catalog import Catalog, load_catalog
from mig_kit.hazards.ignores import apply_ignores
from mig_kit.hazards.plan import Plan, plan_of
from mig_kit.hazards.squawk import Opinion, SquawkFailed, ask_squawk, find_squawk
from mig_kit.hazards.state_catalog import catalog_of_state, with_sizes
from mig_kit.hazards.statement import classify
from mig_kit.steps.target import Target

__all__ = ["check_plan", "look_up"]

# Nobody waits longer than this for a check: the catalog is read in milliseconds, unless a lock is in the way.
_TIMEOUTS = "SET default_transaction_read_only = on; SET lock_timeout = '2s'; SET statement_timeout = '15s'"


def check_plan(
    target: Target, app: str | None = None, name: str | None = None, *, ask_database: bool = True
) -> Assessment:
    """Return what the pending migrations, an app's or the one named would do; runs none of it.

    The database is read, never written, and what is in nobody's way: with timeouts, and in a few round trips however
    many operations there are. ``ask_database``: False leaves it alone; where it cannot be reached, a note says so, and
    the verdicts follow from the migrations alone.
    """
    if name is not None and app is None:
        raise errors.UsageError(
            f"The migration {name!r} is named without its app.", hint=f"rb.check('the app', {name!r})"
        )
    target.need_postgres("check")
    notes: list[str] = []
    if ask_database and (unreachable := _unreachable(target)):
        notes.append(f"{unreachable} The verdicts follow from the migrations alone, for tables of any size.")
        ask_database = False
    plan = plan_of(target.ask("replay", app=app, name=name, ask_database=ask_database))
    catalog = catalog_of_state(plan.tables)
    if ask_database:
        catalog, said = look_up(target, plan, catalog)
        notes.append(said)
    if not plan.history_known:
        notes.append("Nothing tells which migrations are applied: each counts as the next one, by itself.")
    config = target.project.config.check
    if config.assume_large:
        notes.append("The configuration asks for verdicts for tables of any size.")
    opinions, missing = _second_opinions(plan, catalog.major)
    notes += missing
    migrations = assess_plan(
        plan, catalog, databases=_databases(target), any_size=config.assume_large, opinions=opinions
    )
    migrations, unused = apply_ignores(migrations, config.ignore)
    return Assessment(str(target.project.root), target.database, migrations, tuple(notes), unused)


def _unreachable(target: Target) -> str | None:
    """Return why the database cannot be asked, None where it can."""
    try:
        target.connect("check").close()
    except errors.DatabaseError as exc:
        return exc.message
    return None


def _second_opinions(plan: Plan, major: int | None) -> tuple[Mapping[str, tuple[Opinion, ...]], list[str]]:
    """Return what squawk says of the raw SQL in a plan, and a note where there is some and squawk has said nothing."""
    texts = [
        (text, operation.transaction is not None)
        for migration in plan.wanted
        for operation in migration.operations
        if operation.raw is not None
        for text in operation.statements
    ]
    if not texts:
        return {}, []
    program = find_squawk()
    if program is None:
        return {}, ["The raw SQL got no second opinion: squawk is not installed (pip install 'mig-kit[squawk]')."]
    try:
        return ask_squawk(program, texts, major=major), []
    except SquawkFailed as exc:
        return {}, [f"The raw SQL got no second opinion: squawk failed ({exc})."]


def _databases(target: Target) -> int:
    """Count the different databases that the project has."""
    places = {
        (each.get("HOST"), each.get("PORT"), each.get("NAME")) for each in target.description["databases"].values()
    }
    return len(places)


def look_up(target: Target, plan: Plan, state: Catalog) -> tuple[Catalog, str]:
    """Return the catalog of the tables that a plan touches, and which database was looked at.

    Of a migration that is applied already the database shows what comes after it: then it gives the sizes alone.
    """
    info = target.need_postgres("check")
    names = _names(plan, state)
    try:
        with target.connect("check") as connection:
            connection.execute(_TIMEOUTS)
            found = load_catalog(connection, names)
    except psycopg.Error as exc:
        said = (exc.diag.message_primary or str(exc)).strip().partition("\n")[0]
        return state, f"The catalog of {info.safe} could not be read ({said}): the verdicts follow from the migrations."
    said = f"Looked at {info.safe}: sizes are those of its tables."
    if any(each.applied for each in plan.wanted):
        return with_sizes(state, found), said
    tables = {**{label: table for label, table in state.tables.items() if label not in found.tables}, **found.tables}
    return replace(found, tables=tables), said


def _names(plan: Plan, state: Catalog) -> set[str]:
    """Name what the plan's statements touch, as far as they name it themselves."""
    names: set[str] = set()
    for migration in plan.migrations:
        texts = [text for operation in migration.operations for text in operation.statements]
        for text in [*texts, *(text for text, _operation in migration.deferred)]:
            for facts in classify(text, state):
                names |= {lock.relation for lock in facts.locks} | ({facts.relation} if facts.relation else set())
        for operation in migration.operations:
            if operation.python is not None:
                names |= {str(each["table"]) for each in operation.python.models if each["table"]}
    return names
