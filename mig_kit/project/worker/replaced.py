"""Migrations that come from another folder under the names they have: to try files before they are the project's."""

import os
import sys
from importlib.util import spec_from_file_location

from .faults import Fault


class Finder:
    """Find packages of migrations in the folders that stand in for theirs; what is inside is found there as usual."""

    def __init__(self):
        self.folders = {}  # type: dict[str, str]

    def find_spec(self, name, path=None, target=None):
        """Return where a package lies; None for all others."""
        folder = self.folders.get(name)
        if folder is None:
            return None
        init = os.path.join(folder, "__init__.py")
        return spec_from_file_location(name, init, submodule_search_locations=[folder])


def begin(migrations):
    """Take the migrations of these apps from these folders; the apps are loaded. Each has an ``__init__.py``."""
    from django.apps import apps
    from django.db.migrations.loader import MigrationLoader

    finder = Finder()
    for label, folder in migrations.items():
        apps.get_app_config(label)
        name, _named = MigrationLoader.migrations_module(label)
        if name is None:
            raise Fault("UsageError", f"The app {label!r} has its migrations switched off.", "see MIGRATION_MODULES")
        finder.folders[name] = folder
        for module in [each for each in sys.modules if each == name or each.startswith(name + ".")]:
            del sys.modules[module]
    sys.meta_path.insert(0, finder)
