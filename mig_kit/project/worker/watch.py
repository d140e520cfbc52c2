"""Which files this process was made from, and how they were."""

import os
import sys
import time

_started = time.time_ns()
_cache = {}  # type: dict


def _local(path):
    return (
        path
        and path.endswith(".py")
        and "site-packages" not in path
        and "dist-packages" not in path
        and not path.startswith(_stdlib)
        and "_mig_kit_worker" not in path
        and not path.startswith(os.path.dirname(os.path.abspath(__file__)))
    )


_stdlib = os.path.dirname(os.__file__)


def state(options):
    """Return ``{"files": {path: [mtime_ns, size]}, "folders": {path: [names of .py files]}}``.

    Files: the project's own loaded modules (not the standard library's, not installed packages') and its ``.env``.
    Folders: those of the project's apps and of their migrations, to notice files that come and go. A file that
    was saved after this process began is stated with mtime 0, so that it counts as changed: it may have been read
    before it was saved.
    """
    from django.apps import apps

    if _cache.get("modules") == len(sys.modules):
        return _cache["state"]
    files, folders = {}, {}
    paths = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    paths.add(options.get("env_file"))
    for path in paths:
        if path and (path == options.get("env_file") or _local(path)):
            try:
                stat = os.stat(path)
            except OSError:
                continue
            known = path in _cache.get("files", {})
            fresh = known or not _started <= stat.st_mtime_ns <= time.time_ns()
            files[path] = [stat.st_mtime_ns if fresh else 0, stat.st_size]
    for config in apps.get_app_configs():
        if not _local(os.path.join(config.path, "x.py")):
            continue
        for folder in (config.path, migrations_folder(config)):
            folders[folder] = python_files(folder)
    _cache.update(modules=len(sys.modules), files=files, state={"files": files, "folders": folders})
    return _cache["state"]


def migrations_folder(config):
    """Return where an app's migrations lie: what MIGRATION_MODULES names when it is loaded, else ``migrations``."""
    from django.db.migrations.loader import MigrationLoader

    name, _explicit = MigrationLoader.migrations_module(config.label)
    module = sys.modules.get(name) if name else None
    paths = list(getattr(module, "__path__", []))
    return paths[0] if paths else os.path.join(config.path, "migrations")


def python_files(folder):
    """Return the sorted names of a folder's .py files; none when there is no such folder."""
    try:
        return sorted(name for name in os.listdir(folder) if name.endswith(".py"))
    except OSError:
        return []
