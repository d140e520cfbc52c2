"""The SQL of migrations, as far as it can be told without running them."""

from contextlib import contextmanager, nullcontext

from .faults import Fault, one_line
from .graph import connection_of, migration_key, targets_of

# Django asks the database for names and definitions while it writes the SQL of these: from a database that is not
# at the state just before the migration it gets none, and leaves statements out (Django ticket #32956 and others).
INTROSPECTING = {
    "AlterField",
    "AlterIndexTogether",
    "AlterModelTable",
    "AlterOrderWithRespectTo",
    "AlterUniqueTogether",
    "DeleteModel",
    "RemoveField",
    "RenameField",
    "RenameIndex",
    "RenameModel",
}

NOT_SQL = "This operation is Python code, not SQL: what it runs is known only by running it, on a copy."
ELSEWHERE = (
    "Django reads names from the database for this operation, and the database is not at the state just before it: "
    "statements may be missing here. A rehearsal on a copy shows all of them."
)


def sql(emit, migrations=None, database="default", app=None, name=None, backwards=False):
    """Return the SQL of migrations, operation by operation; changes nothing.

    ``migrations``: (app, name) pairs, or None for the pending plan up to ``app``/``name``. One pass over the project's
    state serves them all. Each: app, name, backwards, atomic, exact, operations [{describe, class, sql, note}], deferred.
    """
    from django.db.migrations.executor import MigrationExecutor

    connection = connection_of(database)
    executor = MigrationExecutor(connection)
    loader = executor.loader
    if migrations is None:
        plan = executor.migration_plan(targets_of(executor, app, name))
        if backwards and not all(back for _each, back in plan):
            raise Fault(
                "UsageError",
                f"Going to {app} {name} is not a step backwards.",
                "name a migration that is applied and lies before the last",
            )
        backwards = bool(plan) and plan[0][1]
        wanted = [(each.app_label, each.name) for each, _back in plan]
    else:
        wanted = [graph_key(loader, migration_key(loader, *each)) for each in migrations]
    applied = set(loader.applied_migrations)
    full = [each for each, _back in executor.migration_plan(loader.graph.leaf_nodes(), clean_start=True)]
    order = walk_order(executor, full, wanted, applied, backwards)
    collect = collect_backwards if backwards else collect_forwards
    collected = {}
    from django.db.migrations.state import ProjectState

    state = ProjectState(real_apps=loader.unmigrated_apps)
    remaining = set(wanted)
    for migration in order:
        if not remaining:
            break
        key = (migration.app_label, migration.name)
        if key not in remaining:
            state = migration.mutate_state(state, preserve=False)
            continue
        remaining.discard(key)
        state.apps  # noqa: B018 (rendered once, then kept up to date: rendering anew for each migration is slow)
        exact = is_exact(loader, key, applied, backwards)
        before = state
        collected[key], state = collect(migration, before, connection, exact)
    return [collected[key] for key in wanted if key in collected]


def graph_key(loader, key):
    """Return the key under which a migration stands in the graph: a replaced one may have left it."""
    if key in loader.graph.nodes:
        return key
    for squashed in loader.replacements.values():
        if key in squashed.replaces:
            raise Fault(
                "MigrationNotFound",
                key[1],
                app=key[0],
                name=key[1],
                nearest=[squashed.name],
                note=f"{key[0]}.{key[1]} is replaced by {squashed.name}",
            )
    raise Fault("MigrationNotFound", key[1], app=key[0], name=key[1], nearest=[])


def walk_order(executor, full, wanted, applied, backwards):
    """Return the migrations whose state leads up to the wanted ones, in the order their state is built.

    For pending ones that is what the database has, then the plan; for others the history from its beginning.
    """
    if backwards:
        return [
            each for each in full if (each.app_label, each.name) in applied or (each.app_label, each.name) in wanted
        ]
    if applied & set(wanted):
        return full
    have = [each for each in full if (each.app_label, each.name) in applied]
    return have + [each for each in full if (each.app_label, each.name) not in applied]


def is_exact(loader, key, applied, backwards):
    """Say whether the database is at the state just before this step."""
    node = loader.graph.node_map[key]
    if backwards:
        return key in applied and not any(child.key in applied for child in node.children)
    return key not in applied and all(parent.key in applied for parent in node.parents)


@contextmanager
def collecting(connection, migration):
    """Give a schema editor that collects its SQL; the transaction around it, if any, is rolled back."""
    from django.db import transaction

    atomic = migration.atomic and connection.features.can_rollback_ddl
    with transaction.atomic(using=connection.alias) if atomic else nullcontext():
        yield connection.schema_editor(collect_sql=True, atomic=migration.atomic)
        if atomic:
            transaction.set_rollback(True, using=connection.alias)


def collect_operation(editor, migration, operation, run, exact):
    """Run one operation against the collecting editor and return its SQL, or why it is not known."""
    from django.db import transaction

    entry = {"class": type(operation).__name__, "describe": operation.describe(), "sql": [], "note": None}
    if not operation.reduces_to_sql:
        entry["note"] = NOT_SQL
        return entry
    start = len(editor.collected_sql)
    try:
        # A failed look-up must not spoil the transaction for the operations that follow.
        with transaction.atomic(using=editor.connection.alias) if editor.atomic_migration else nullcontext():
            run()
    except Exception as exc:
        entry["note"] = "Not known here: {}. {}".format(one_line(exc).rstrip("."), ELSEWHERE)
    else:
        if not exact and type(operation).__name__ in INTROSPECTING:
            entry["note"] = ELSEWHERE
    entry["sql"] = [each for each in editor.collected_sql[start:] if not each.startswith("--")]
    return entry


def outcome(migration, backwards, exact, entries, editor, mark):
    """Return one migration's entry; what the editor held back until the end stands under ``deferred``."""
    return {
        "app": migration.app_label,
        "name": migration.name,
        "backwards": backwards,
        "atomic": bool(migration.atomic),
        "exact": exact,
        "operations": entries,
        "deferred": [each for each in editor.collected_sql[mark:] if not each.startswith("--")],
    }


def collect_forwards(migration, state, connection, exact):
    """Return a migration's SQL and the state after it, operation by operation as ``Migration.apply`` does."""
    entries = []
    with collecting(connection, migration) as editor, editor:
        for operation in migration.operations:
            old_state = state.clone()
            operation.state_forwards(migration.app_label, state)
            entries.append(
                collect_operation(
                    editor,
                    migration,
                    operation,
                    lambda op=operation, old=old_state: op.database_forwards(migration.app_label, editor, old, state),
                    exact,
                )
            )
        mark = len(editor.collected_sql)
    return outcome(migration, False, exact, entries, editor, mark), state


def collect_backwards(migration, state, connection, exact):
    """Return the SQL that takes a migration back, and the state after it, as ``Migration.unapply`` does."""
    steps = []  # type: list
    new_state = state
    for operation in migration.operations:
        new_state = new_state.clone()
        old_state = new_state.clone()
        operation.state_forwards(migration.app_label, new_state)
        steps.insert(0, (operation, old_state, new_state))
    entries = []
    with collecting(connection, migration) as editor, editor:
        for operation, to_state, from_state in steps:
            if not operation.reversible:
                entries.append(
                    {
                        "class": type(operation).__name__,
                        "describe": operation.describe(),
                        "sql": [],
                        "note": "This operation cannot be reversed: migrate would stop here.",
                    }
                )
                continue
            entries.append(
                collect_operation(
                    editor,
                    migration,
                    operation,
                    lambda op=operation, old=from_state, new=to_state: op.database_backwards(
                        migration.app_label, editor, old, new
                    ),
                    exact,
                )
            )
        mark = len(editor.collected_sql)
    return outcome(migration, True, exact, entries, editor, mark), new_state
