"""Migrations operation by operation, replayed on the project's state: what each would run, without a database."""

import typing

from .faults import Fault, one_line
from .graph import connection_of, graph_key, migration_key, module_file, targets_of
from .light_state import light
from .offline import NeedsDatabase, no_database, offline_connection, offline_editor
from .plain import operation_data
from .python_code import code_facts, operation_lines
from .sql import walk_order
from .tables import constraints, models_by_table, table_data

PYTHON = "This operation is Python code, not SQL."


def replay(emit, database="default", app=None, name=None, ask_database=True, server_version=None):
    """Return the plan with what each operation would run; changes nothing and asks the database for its history only.

    Without names: what is pending. ``app``: that app's pending ones; ``app`` and ``name``: that one, applied or not.
    With ``ask_database`` false nothing is known to be applied: then it is every migration of the project's own apps
    (or of ``app``). Each migration: app, name, file, wanted (False for one that has to run before), applied, atomic,
    reversible, operations, deferred. ``tables``: as the state has them before the first one.
    """
    connection = connection_of(database)
    if connection.vendor != "postgresql":
        raise Fault("NotPostgreSQL", f"The database {database!r} is {connection.vendor}.", "name another alias")
    loader, order, wanted, before = planned(connection, app, name, ask_database)
    with no_database():
        offline = offline_connection(database, server_version)
        state = state_before(loader, order, wanted | before)
        state.apps  # noqa: B018 (rendered once, then kept up to date)
        editor = offline_editor(offline, lambda table: [])
        tables = [table_data(model, editor) for _name, model in sorted(models_by_table(state).items())]
        found = []
        started = False
        for key in order:
            migration = loader.graph.nodes[key]
            started = started or key in wanted or key in before
            if not started:
                continue
            if key in wanted or key in before:
                entry, state = replayed(migration, state, offline)
                entry["wanted"] = key in wanted
                entry["applied"] = key in loader.applied_migrations
                found.append(entry)
            else:
                state = migration.mutate_state(state, preserve=False)
            if len(found) == len(wanted | before):
                break
    return {"tables": tables, "migrations": found, "history_known": ask_database}


def planned(connection, app, name, ask_database):
    """Return (loader, every migration in order, those wanted, those that have to run before them)."""
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection if ask_database else None)
    loader = executor.loader
    full = [each for each, _back in executor.migration_plan(loader.graph.leaf_nodes(), clean_start=True)]
    applied = set(loader.applied_migrations)
    before = set()
    if name is not None:
        wanted = [graph_key(loader, migration_key(loader, app, name))]
        if ask_database and wanted[0] not in applied:
            plan = executor.migration_plan(wanted)
            before = {(each.app_label, each.name) for each, _back in plan} - set(wanted)
    elif ask_database:
        plan = executor.migration_plan(targets_of(executor, app, None))
        wanted = [(each.app_label, each.name) for each, back in plan if not back]
    else:
        targets_of(executor, app, None)  # refuses an app that is none
        labels = {app} if app is not None else own_apps()
        wanted = [(each.app_label, each.name) for each in full if each.app_label in labels]
    if name is not None and not applied.intersection(wanted):
        order = order_up_to(loader, full, wanted[0], applied)
    else:
        order = [(each.app_label, each.name) for each in walk_order(executor, full, wanted, applied, False)]
    return loader, order, set(wanted), before


def order_up_to(loader, full, key, applied):
    """Return what leads up to one migration that is not applied, and it: nothing that might come beside it.

    That is what is applied and what it depends on; where nothing is known to be applied, of the other apps all that
    does not depend on it, because their tables may refer to the ones at hand.
    """
    needed = loader.graph.forwards_plan(key)
    if applied:
        # What is applied may depend on some of what is needed: so that is all of it first, in its order.
        return [each for each in keys_of(full) if each in applied] + [each for each in needed if each not in applied]
    after = set(loader.graph.backwards_plan(key))
    others = [each for each in keys_of(full) if each[0] != key[0] and each not in after and each not in needed]
    return needed[:-1] + others + [key]


def keys_of(migrations):
    """Return the (app, name) of each."""
    return [(each.app_label, each.name) for each in migrations]


def own_apps():
    """Return the labels of the apps that are the project's own."""
    from .describe import apps

    return {each["label"] for each in apps() if each["own"]}


_states: typing.Any = {}


def state_before(loader, order, chosen):
    """Return the project's state before the first chosen migration; kept, since files that change end this process."""
    from django.db.migrations.state import ProjectState

    first = next((number for number, key in enumerate(order) if key in chosen), len(order))
    history = tuple(order[:first])
    if history not in _states:
        state = ProjectState(real_apps=loader.unmigrated_apps)
        for key in history:
            state = loader.graph.nodes[key].mutate_state(state, preserve=False)
        state.apps  # noqa: B018 (rendered)
        _states.clear()
        _states[history] = state
    return light(_states[history].clone())


def replayed(migration, state, connection):
    """Return one migration's entry, and the state after it."""
    held = {}  # type: dict[str, object]

    def constraints_of(table):
        return list_constraints(held["state"], table, editor)

    editor = offline_editor(connection, constraints_of)
    editor.deferred_sql = []
    owners = {}  # type: dict[int, tuple[object, int]]
    entries = []
    lines = operation_lines(module_file(migration), len(migration.operations))
    app = migration.app_label
    for number, operation in enumerate(migration.operations):
        plain = operation_data(operation, app, state, connection)
        old_state = state.clone()
        operation.state_forwards(app, state)
        held["state"] = old_state
        for entry in run(operation, migration, editor, old_state, state, held, plain):
            entry["index"] = number
            entry["line"] = lines[number]
            entries.append(entry)
        for statement in editor.deferred_sql:
            owners.setdefault(id(statement), (statement, len(entries) - 1))
    start = len(editor.collected_sql)
    deferred = []
    for statement in editor.deferred_sql:
        editor.execute(statement, None)
        deferred.append({"sql": editor.collected_sql[-1], "operation": owners[id(statement)][1]})
    assert len(editor.collected_sql) - start == len(deferred)
    reversible = [entry["reversible"] for entry in entries]
    return {
        "app": app,
        "name": migration.name,
        "file": module_file(migration),
        "atomic": bool(migration.atomic),
        "initial": bool(migration.initial),
        "reversible": False if False in reversible else None if None in reversible else True,
        "operations": entries,
        "deferred": deferred,
    }, state


def list_constraints(state, table, editor):
    """Return the constraints that a table has in a state, none where the state does not know it."""
    model = models_by_table(state).get(table)
    return constraints(model, editor) if model is not None else []


def run(operation, migration, editor, old_state, state, held, plain):
    """Give one entry for an operation, or one for each database operation inside of a SeparateDatabaseAndState."""
    app = migration.app_label
    if type(operation).__name__ == "SeparateDatabaseAndState" and is_djangos(operation):
        if not operation.database_operations:
            yield dict(blank(operation, migration), plain=plain, state_only=True)
        for inner in operation.database_operations:
            before = old_state.clone()
            inner_plain = operation_data(inner, app, old_state.clone(), editor.connection)
            after = old_state.clone()
            inner.state_forwards(app, after)
            held["state"] = before
            for entry in run(inner, migration, editor, before, after, held, inner_plain):
                entry["within"] = operation.describe()
                yield entry
            old_state = after
        return
    entry = dict(blank(operation, migration), plain=plain)
    kind = type(operation).__name__
    start, guessed = len(editor.collected_sql), len(editor.guesses)
    if hasattr(operation, "code") and not operation.reduces_to_sql:
        entry["python"] = code_facts(operation, old_state)
    elif not operation.reduces_to_sql:
        entry["note"] = PYTHON
    elif is_extension(operation):
        from django.db import router

        if router.allow_migrate(editor.connection.alias, app, **getattr(operation, "hints", {})):
            editor.execute(f"CREATE EXTENSION IF NOT EXISTS {editor.quote_name(operation.name)}", None)
    else:
        try:
            operation.database_forwards(app, editor, old_state, state)
        except NeedsDatabase as exc:
            entry["note"] = f"{kind}: {exc}."
        except Exception as exc:
            entry["note"] = f"Django raises here: {one_line(exc).rstrip('.')}."
    entry["sql"] = [each for each in editor.collected_sql[start:] if not each.startswith("--")]
    entry["guesses"] = editor.guesses[guessed:]
    yield entry


def blank(operation, migration):
    """Return an operation's entry without its statements."""
    kind = type(operation)
    # As Migration.apply decides it.
    own = operation.atomic or (migration.atomic and operation.atomic is not False)
    known = is_djangos(operation)
    return {
        "class": kind.__name__,
        "path": kind.__module__ + "." + kind.__qualname__,
        "describe": operation.describe(),
        "known": known,
        "state_only": False,
        "within": None,
        "sql": [],
        "guesses": [],
        "note": None,
        "python": None,
        "raw": raw_data(operation),
        "transaction": "migration" if migration.atomic else "own" if own else None,
        "reversible": is_reversible(operation, known),
    }


def is_djangos(operation):
    """Say whether what an operation does to the database is written in Django itself."""
    return type(operation).database_forwards.__module__.startswith("django.")


def is_reversible(operation, known):
    """Say whether an operation can be taken back; None where only its author knows."""
    if type(operation).__name__ == "SeparateDatabaseAndState" and known:
        answers = [is_reversible(each, is_djangos(each)) for each in operation.database_operations]
        return False if False in answers else None if None in answers else True
    if not operation.reversible:
        return False
    written = type(operation).database_backwards.__module__ != "django.db.migrations.operations.base"
    return True if written else None


def is_extension(operation):
    """Say whether it is one of Django's CreateExtension family, which asks the database first."""
    return hasattr(operation, "extension_exists") and is_djangos(operation)


def raw_data(operation):
    """Return what a RunSQL was given: its statements, whether it has a reverse, how many operations on the state."""
    if not (hasattr(operation, "sql") and hasattr(operation, "reverse_sql")):
        return None
    given = operation.sql if isinstance(operation.sql, (list, tuple)) else [operation.sql]
    texts = [each[0] if isinstance(each, (list, tuple)) and each else each for each in given]
    return {
        "sql": [str(each) for each in texts if each],
        "reverse": operation.reverse_sql is not None,
        "state_operations": len(operation.state_operations),
    }
