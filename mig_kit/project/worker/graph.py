"""The migrations: their graph, what a database has recorded, and what would run."""

import os

from .faults import Fault, nearest
from .plain import operation_list


def connection_of(database):
    """Return the connection of an alias; a ``DatabaseNotFound`` fault names the aliases there are."""
    from django.db import connections

    if database not in connections.settings:
        aliases = sorted(connections.settings)
        raise Fault(
            "DatabaseNotFound",
            f"The project has no database alias {database!r}.",
            "choose one of: {}".format(", ".join(aliases)),
        )
    return connections[database]


def app_config(label):
    """Return the app of that label; an ``AppNotFound`` fault carries the nearest ones."""
    from django.apps import apps

    try:
        return apps.get_app_config(label)
    except LookupError:
        labels = [config.label for config in apps.get_app_configs()]
        raise Fault("AppNotFound", label, nearest=nearest(label, labels), app=label) from None


def migration_key(loader, app, name):
    """Return (app, full name) for a name or an unambiguous prefix, as ``migrate`` resolves it."""
    app_config(app)
    names = sorted(each for label, each in loader.disk_migrations if label == app)
    if name in names:
        return app, name
    fitting = [each for each in names if each.startswith(name)]
    if len(fitting) == 1:
        return app, fitting[0]
    if fitting:
        raise Fault("MigrationNotFound", name, app=app, name=name, nearest=fitting[:5], ambiguous=True)
    if not names:
        raise no_migrations(app, name)
    raise Fault(
        "MigrationNotFound",
        name,
        app=app,
        name=name,
        nearest=nearest(name, names) or names[-3:],
        ambiguous=False,
    )


def graph(emit, database="default"):
    """Return the nodes in the order ``showmigrations`` lists them, the recorded rows without a file, and trouble.

    A node: app, name, applied (UTC ISO time, True when only its replaced parts are recorded, or None), replaces,
    dependencies, run_before, leaf, atomic, reversible, operations (descriptions), file.
    """
    from django.apps import apps
    from django.db import router
    from django.db.migrations.loader import MigrationLoader

    connection = connection_of(database)
    loader = MigrationLoader(connection, ignore_no_migrations=True)
    times = {(row["app"], row["name"]): row["applied"] for row in history(None, database)}
    labels = {config.label for config in apps.get_app_configs()}
    nodes, seen = [], set()
    for app in sorted(loader.migrated_apps):
        for leaf in loader.graph.leaf_nodes(app):
            for key in loader.graph.forwards_plan(leaf):
                if key[0] == app and key not in seen:
                    seen.add(key)
                    node = _node(loader, key, times)
                    node["leaf"] = key in loader.graph.leaf_nodes(app)
                    node["routed"] = router.allow_migrate(database, app)
                    nodes.append(node)
    replaced = {each for migration in loader.disk_migrations.values() for each in migration.replaces}
    known = set(loader.disk_migrations) | replaced
    return {
        "nodes": nodes,
        "unknown": [
            {"app": app, "name": name, "applied": when, "installed": app in labels}
            for (app, name), when in times.items()
            if (app, name) not in known
        ],
        "conflicts": {app: sorted(names) for app, names in loader.detect_conflicts().items()},
        "inconsistent": _inconsistent(loader, connection),
        "unmigrated": sorted(loader.unmigrated_apps),
    }


def _node(loader, key, times):
    migration = loader.graph.nodes[key]
    applied = key in loader.applied_migrations
    return {
        "app": key[0],
        "name": key[1],
        "applied": times.get(key, True) if applied else None,
        "replaces": [list(each) for each in migration.replaces],
        "dependencies": [list(each) for each in sorted(loader.graph.node_map[key].parents)],
        "run_before": [list(each) for each in migration.run_before],
        "initial": bool(migration.initial),
        "atomic": bool(migration.atomic),
        "reversible": all(operation.reversible for operation in migration.operations),
        "operations": [operation.describe() for operation in migration.operations],
        "file": module_file(migration),
    }


def module_file(migration):
    """Return the path of a migration's file, or None where it has none."""
    import sys

    path = getattr(sys.modules.get(type(migration).__module__), "__file__", None)
    return os.path.abspath(path) if path else None


def _inconsistent(loader, connection):
    from django.db.migrations.exceptions import InconsistentMigrationHistory

    try:
        loader.check_consistent_history(connection)
    except InconsistentMigrationHistory as exc:
        return str(exc)
    return None


def history(emit, database="default"):
    """Return the rows of ``django_migrations`` in the order they were recorded; none when there is no table."""
    from django.db.migrations.recorder import MigrationRecorder

    recorder = MigrationRecorder(connection_of(database))
    if not recorder.has_table():
        return []
    rows = recorder.migration_qs.order_by("id").values_list("id", "app", "name", "applied")
    return [{"id": row[0], "app": row[1], "name": row[2], "applied": row[3].isoformat()} for row in rows]


def targets_of(executor, app, name):
    """Return the plan's targets as ``migrate [APP [NAME]]`` chooses them."""
    loader = executor.loader
    if app is None:
        return loader.graph.leaf_nodes()
    app_config(app)
    if app not in loader.migrated_apps:
        raise no_migrations(app, name)
    if name is None:
        return [key for key in loader.graph.leaf_nodes() if key[0] == app]
    if name == "zero":
        return [(app, None)]
    key = migration_key(loader, app, name)
    if key not in loader.graph.nodes and key in loader.replacements:
        # A squashed migration of which only a part is applied is not in the graph; its last replaced one is.
        key = tuple(loader.replacements[key].replaces[-1])
    return [graph_key(loader, key)]


def graph_key(loader, key):
    """Return the key under which a migration stands in the graph: what it replaces may have left it."""
    if key in loader.graph.nodes:
        return key
    for squashed_key, squashed in loader.replacements.items():
        if key in [tuple(each) for each in squashed.replaces] and squashed_key in loader.graph.nodes:
            raise Fault(
                "MigrationNotFound",
                key[1],
                f"name {squashed_key[1]!r} instead",
                app=key[0],
                name=key[1],
                nearest=[squashed_key[1]],
                note=f"{key[0]}.{key[1]} is replaced by the squashed migration {squashed_key[1]}.",
            )
    if key in loader.replacements:
        raise Fault(
            "MigrationNotFound",
            key[1],
            "name the migrations that it replaces",
            app=key[0],
            name=key[1],
            nearest=[each[1] for each in loader.replacements[key].replaces],
            note=f"Of the migrations that {key[0]}.{key[1]} replaces a part is applied, so it does not count yet.",
        )
    raise Fault("MigrationNotFound", key[1], app=key[0], name=key[1], nearest=[])


def no_migrations(app, name):
    """Return the fault for an app that has no migrations at all."""
    return Fault(
        "MigrationNotFound",
        name or "",
        f"make them first, naming the app: manage.py makemigrations {app}",
        app=app,
        name=name or "",
        nearest=[],
        note=f"The app {app!r} has no migrations.",
    )


def plan(emit, database="default", app=None, name=None):
    """Return what ``migrate [APP [NAME]]`` would run: a list of {app, name, backwards} in order."""
    return planned(database, app, name)[1]


def planned(database, app, name):
    """Return the plan's targets, (app, name) each, and the plan; conflicts and a wrong history are faults."""
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection_of(database))
    conflicts = executor.loader.detect_conflicts()
    if conflicts:
        raise conflict_fault(conflicts)
    executor.loader.check_consistent_history(executor.connection)
    targets = targets_of(executor, app, name)
    full = executor.migration_plan(targets)
    return targets, [{"app": each.app_label, "name": each.name, "backwards": bool(back)} for each, back in full]


def conflict_fault(conflicts):
    """Return the fault for several leaf nodes in one app, naming each."""
    text = "; ".join("{} in {}".format(", ".join(sorted(names)), app) for app, names in sorted(conflicts.items()))
    return Fault(
        "MigrationGraphError",
        f"Conflicting migrations, several leaf nodes: {text}.",
        "merge them: rb.merge()",
        conflicts={app: sorted(names) for app, names in conflicts.items()},
    )


def operations(emit, migrations, database="default"):
    """Return for each (app, name) its operations as plain data, with the fields as they were before each."""
    from django.db.migrations.loader import MigrationLoader

    connection = connection_of(database)
    loader = MigrationLoader(connection, ignore_no_migrations=True)
    found = []
    for app, name in migrations:
        key = migration_key(loader, app, name)
        migration = loader.graph.nodes[key] if key in loader.graph.nodes else loader.disk_migrations[key]
        node = key if key in loader.graph.nodes else None
        state = loader.project_state(node, at_end=False) if node else loader.project_state()
        found.append(
            {
                "app": app,
                "name": key[1],
                "file": module_file(migration),
                "dependencies": [list(each) for each in migration.dependencies],
                "operations": operation_list(migration, state, connection),
            }
        )
    return found
