"""Which files this process was made from, and how they were."""

import os
import sys
import time

_started = time.time_ns()
_known = {"files": {}, "folders": {}}  # type: dict[str, dict[str, list[object]]]
_seen = {"modules": 0}

_stdlib = os.path.dirname(os.__file__) + os.sep
_package = os.path.dirname(os.path.abspath(__file__)) + os.sep


def is_local(path):
    """Say whether a file is the project's own: not the standard library's, an installed package's or the worker's."""
    return (
        path.endswith(".py")
        and "site-packages" not in path
        and "dist-packages" not in path
        and not path.startswith((_stdlib, _package, "<"))
    )


def state(options):
    """Return ``{"files": {path: [mtime_ns, size]}, "folders": {path: [names of .py files]}}``.

    Files: the project's own loaded modules and its ``.env``. Folders: those of the project's apps and of their
    migrations, to notice files that come and go. Each is stated as it was when it was first looked at, soon after
    it was read, so that a later change is never taken for the state this process knows. A file that was saved
    after this process began is stated with mtime 0, so that it counts as changed: it may have been read before.
    """
    if _seen["modules"] != len(sys.modules):
        _seen["modules"] = len(sys.modules)
        note_files(options)
        note_folders()
    return {"files": dict(_known["files"]), "folders": dict(_known["folders"])}


def note_files(options):
    """Note the files that were loaded since the last look."""
    env_file = options.get("env_file")
    paths = {getattr(module, "__file__", None) for module in list(sys.modules.values())} | {env_file}
    for path in paths:
        if not isinstance(path, str) or path in _known["files"] or not (path == env_file or is_local(path)):
            continue
        try:
            stat = os.stat(path)
        except OSError:
            continue
        late = _started <= stat.st_mtime_ns <= time.time_ns()
        _known["files"][path] = [0 if late else stat.st_mtime_ns, stat.st_size]


def note_folders():
    """Note the folders of apps and migrations that were not looked at before."""
    from django.apps import apps

    for config in apps.get_app_configs():
        if is_local(os.path.join(str(config.path), "x.py")):
            for folder in (str(config.path), migrations_folder(config)):
                _known["folders"].setdefault(folder, python_files(folder))


def wrote(paths):
    """Note files that this process wrote itself: they are no reason to start afresh, they are read when asked for."""
    from importlib import invalidate_caches

    invalidate_caches()
    for path in [each for each in paths if each.endswith(".py")]:
        stat = os.stat(path)
        _known["files"][path] = [stat.st_mtime_ns, stat.st_size]
        names = _known["folders"].get(os.path.dirname(path))
        if names is not None and os.path.basename(path) not in names:
            names.append(os.path.basename(path))
            names.sort()


def migrations_folder(config):
    """Return where an app's migrations lie: what MIGRATION_MODULES names when it is loaded, else ``migrations``."""
    from django.db.migrations.loader import MigrationLoader

    name, _explicit = MigrationLoader.migrations_module(config.label)
    module = sys.modules.get(name) if name else None
    paths = list(getattr(module, "__path__", []))
    return paths[0] if paths else os.path.join(str(config.path), "migrations")


def python_files(folder):
    """Return the sorted names of a folder's .py files; none when there is no such folder."""
    try:
        return sorted(name for name in os.listdir(folder) if name.endswith(".py"))
    except OSError:
        return []
