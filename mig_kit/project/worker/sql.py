"""The SQL of migrations, as far as it can be told without running them."""

from contextlib import ExitStack, contextmanager, nullcontext

from .faults import Fault, one_line
from .graph import connection_of, graph_key, migration_key, targets_of

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

IRREVERSIBLE = "This operation cannot be reversed: migrate would stop here."


def sql(emit, migrations=None, database="default", app=None, name=None, backwards=False):
    """Return the SQL of migrations, operation by operation; changes nothing.

    ``migrations``: (app, name) pairs, or None for the pending plan up to ``app``/``name``. One pass over the project's
    state serves them all. Each: app, name, backwards, atomic, exact, deferred, operations [{describe, class, sql,
    note}].
    """
    from django.db.migrations.executor import MigrationExecutor
    from django.db.migrations.state import ProjectState

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
    of_migration = collect_backwards if backwards else collect_forwards
    collected = {}
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
        collected[key], state = of_migration(migration, state, connection, exact)
    return [collected[key] for key in wanted if key in collected]


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
    # What is pending beside the wanted ones, and not before them, has not happened when they run.
    needed = {key for each in wanted for key in executor.loader.graph.forwards_plan(each)}
    return have + [each for each in full if (each.app_label, each.name) in needed - applied]


def is_exact(loader, key, applied, backwards):
    """Say whether the database is at the state just before this step."""
    node = loader.graph.node_map[key]
    if backwards:
        return key in applied and not any(child.key in applied for child in node.children)
    return key not in applied and all(parent.key in applied for parent in node.parents)


@contextmanager
def collecting(connection, migration):
    """Give a schema editor that collects its SQL, on PostgreSQL within a read-only transaction that is rolled back.

    Collecting runs nothing but look-ups, unless an operation of somebody's own does: that fails then. A migration
    that is not atomic gets its transaction behind Django's back, since its operations may refuse to run in one.
    """
    from django.db import transaction

    with ExitStack() as stack:
        if connection.vendor == "postgresql":
            if migration.atomic:
                stack.enter_context(transaction.atomic(using=connection.alias))
                stack.callback(transaction.set_rollback, True, using=connection.alias)
                run(connection, "SET TRANSACTION READ ONLY")
            else:
                run(connection, "BEGIN READ ONLY")
                stack.callback(run, connection, "ROLLBACK")
        yield connection.schema_editor(collect_sql=True, atomic=migration.atomic)


def run(connection, statement):
    """Run a statement of transaction control."""
    with connection.cursor() as cursor:
        cursor.execute(statement)


def runs_python(operation):
    """Say whether an operation is Python code, or holds some: SeparateDatabaseAndState passes for SQL."""
    if not operation.reduces_to_sql:
        return True
    return any(runs_python(each) for each in getattr(operation, "database_operations", None) or ())


def collect_operation(editor, migration, operation, work, exact):
    """Run one operation against the collecting editor and return its SQL, or why it is not known."""
    from django.db import transaction

    connection = editor.connection
    entry = {"class": type(operation).__name__, "describe": operation.describe(), "sql": [], "note": None}
    if runs_python(operation):
        entry["note"] = NOT_SQL
        return entry
    start = len(editor.collected_sql)
    try:
        # A failed look-up must not spoil the transaction for the operations that follow.
        with transaction.atomic(using=connection.alias) if connection.in_atomic_block else nullcontext():
            work()
    except Exception as exc:
        raised = one_line(exc).rstrip(".")
        entry["note"] = f"Django raises here, and migrate would: {raised}." if exact else f"{raised}. {ELSEWHERE}"
        if connection.vendor == "postgresql" and not connection.in_atomic_block:
            run(connection, "ROLLBACK")
            run(connection, "BEGIN READ ONLY")
    else:
        known = type(operation).__module__.startswith("django.") and type(operation).__name__ not in INTROSPECTING
        if not exact and not known:
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


def touched(operation):
    """Return the lower-case model names an operation is about; ``*`` stands for any."""
    if type(operation).__name__ in ("RunSQL", "SeparateDatabaseAndState"):
        return {"*"}
    names = [getattr(operation, each, None) for each in ("model_name", "name", "old_name", "new_name")]
    if hasattr(operation, "model_name"):
        names = names[:1]
    return {name.lower() for name in names if isinstance(name, str)}


def collect(migration, steps, connection, exact, backwards):
    """Return a migration's entry; ``steps``: (operation, what writes its SQL given the editor), in their order."""
    entries = []
    earlier = set()  # type: set[str]
    with collecting(connection, migration) as editor, editor:
        for operation, work in steps:
            models = touched(operation)
            # What an earlier operation of the same migration does to the model, the database has not seen.
            here = exact and not ("*" in earlier or models & earlier or ("*" in models and earlier))
            if backwards and not operation.reversible:
                entry = {"class": type(operation).__name__, "describe": operation.describe(), "sql": []}
                entries.append(dict(entry, note=IRREVERSIBLE))
            else:
                entries.append(collect_operation(editor, migration, operation, lambda: work(editor), here))  # noqa: B023
            earlier |= models
        mark = len(editor.collected_sql)
    return outcome(migration, backwards, exact, entries, editor, mark)


def collect_forwards(migration, state, connection, exact):
    """Return a migration's SQL and the state after it, operation by operation as ``Migration.apply`` does."""
    app = migration.app_label

    def steps():
        for operation in migration.operations:
            old_state = state.clone()
            operation.state_forwards(app, state)
            yield operation, lambda editor: operation.database_forwards(app, editor, old_state, state)  # noqa: B023

    return collect(migration, steps(), connection, exact, False), state


def collect_backwards(migration, state, connection, exact):
    """Return the SQL that takes a migration back, and the state after it, as ``Migration.unapply`` does."""
    app = migration.app_label
    listed = []
    new_state = state
    for operation in migration.operations:
        new_state = new_state.clone()
        old_state = new_state.clone()
        operation.state_forwards(app, new_state)
        listed.append((operation, old_state, new_state))

    def steps():
        for operation, before, after in reversed(listed):
            yield operation, lambda editor: operation.database_backwards(app, editor, after, before)  # noqa: B023

    return collect(migration, steps(), connection, exact, True), new_state
