"""What the executor writes into ``django_migrations``, in the way of the Django at hand."""

import inspect


def give_record(executor, migration):
    """Write a migration's rows into ``django_migrations``, as the executor does."""
    if knows_both_ways(executor):
        executor.record_migration(migration.app_label, migration.name)
    else:
        executor.record_migration(migration)


def knows_both_ways(executor):
    """Say whether ``record_migration`` is that of Django 6.0 and later, which takes names and a direction."""
    return "forward" in inspect.signature(executor.record_migration).parameters


def take_record(executor, migration):
    """Take a migration's rows out of ``django_migrations``, as the executor does."""
    if knows_both_ways(executor):
        executor.record_migration(migration.app_label, migration.name, forward=False)
        return
    for app, name in migration.replaces:
        executor.recorder.record_unapplied(app, name)
    executor.recorder.record_unapplied(migration.app_label, migration.name)
