"""Where migration files go."""

import os
from importlib import import_module

from .faults import Fault


def migrations_place(app):
    """Return (folder, packages): where an app's migrations go, and the folders to make packages of, outermost first.

    As ``MigrationWriter.basedir`` says, which makes the folders as soon as it is asked, also in a dry run.
    """
    from django.apps import apps
    from django.db.migrations.loader import MigrationLoader
    from django.utils.module_loading import module_dir

    package, _explicit = MigrationLoader.migrations_module(app)
    if package is None:
        raise Fault(
            "WriteError",
            f"MIGRATION_MODULES switches the migrations of {app!r} off.",
            "take the entry out of MIGRATION_MODULES",
        )
    try:
        folder = module_dir(import_module(package))
        return folder, [folder]
    except (ImportError, ValueError):
        pass
    parent, _dot, last = package.rpartition(".")
    config = apps.get_app_config(app)
    if config.name == parent:
        folder = os.path.join(str(config.path), last)
        return folder, [folder]
    existing, missing = package.split("."), []  # type: ignore[var-annotated]
    while len(existing) > 1:
        missing.insert(0, existing.pop())
        try:
            base = module_dir(import_module(".".join(existing)))
        except (ImportError, ValueError):
            continue
        return os.path.join(base, *missing), [
            os.path.join(base, *missing[: count + 1]) for count in range(len(missing))
        ]
    raise Fault(
        "WriteError",
        f"There is no place for the migrations package {package} of {app!r}: {existing[0]} cannot be imported.",
        "make that package, or correct MIGRATION_MODULES",
    )


def writer_class():
    """Return a ``MigrationWriter`` that makes no folder when it is asked for its path."""
    from django.db.migrations.writer import MigrationWriter

    class Writer(MigrationWriter):
        @property
        def basedir(self):
            return migrations_place(self.migration.app_label)[0]

    return Writer
