"""Go back in a migration that is not atomic and was left half done: take back the operations that are."""

from contextlib import ExitStack

from .faults import Fault
from .graph import connection_of
from .guard import no_writes, others
from .migrate import Watcher, announce_backend
from .runner import Runner


def undo(
    emit,
    database="default",
    app=None,
    name=None,
    expected=None,
    other_databases=False,
    lock_timeout=0.5,
    give_up_after=300.0,
    fence=None,
    resume=None,
):
    """Take back what was done of the migration ``app.name``, which is not recorded, part by part.

    ``resume``: the place to begin at, which counts operations from the last one on. Nothing is recorded. Raises
    whatever an operation raised, and ``IrreversibleError`` before anything runs.
    """
    from django.db.migrations.executor import MigrationExecutor

    connection = connection_of(database)
    executor = MigrationExecutor(connection)
    key = (app, name)
    if key in executor.loader.applied_migrations:
        raise Fault(
            "GateClosed",
            f"{app}.{name} is recorded by now: somebody finished it meanwhile.",
            f"rb.rollback({app!r}, …) takes back a whole migration",
            gate="same plan",
        )
    migration = executor.loader.graph.nodes[key]
    state = executor._create_project_state(with_applied_migrations=True)
    state.apps  # noqa: B018 (rendered once, then kept up to date)
    watcher = Watcher(emit)
    with ExitStack() as stack:
        announce_backend(emit, connection)
        runner = Runner(emit, connection, watcher, lock_timeout, give_up_after, fence, resume)
        stack.enter_context(runner.installed())
        stack.enter_context(connection.execute_wrapper(watcher.execute))
        if not other_databases:
            stack.enter_context(
                no_writes(
                    others(database),
                    f"A migration of the database {database!r} wrote to the database {{!r}}; that write was refused.",
                    "if it is meant, pass other_databases=True",
                    "one database",
                )
            )
        watcher.progress("unapply_start", migration)
        runner.take_back(migration, state)
        watcher.progress("unapply_success", migration)
    return {"output": ""}
