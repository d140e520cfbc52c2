"""Bring Django up in the project's interpreter, as its manage.py would."""

import os
import signal
import sys

from .faults import Fault, startup_fault


def detach():
    """Leave the terminal's process group and send prints to the log, never to the channel.

    Ctrl-C in a terminal reaches every process of its group; only the client decides when the worker stops.
    """
    try:
        os.setsid()
    except OSError:
        pass  # already leads a group of its own
    os.dup2(2, 1)
    sys.stdout = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8", errors="replace")
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="replace")


class Busy:
    """Let SIGINT interrupt a request and nothing else: an idle worker ignores it."""

    def __init__(self):
        self.on = False
        signal.signal(signal.SIGINT, self._handle)

    def _handle(self, signum, frame):
        if self.on:
            raise KeyboardInterrupt

    def __enter__(self):
        self.on = True

    def __exit__(self, *exc_info):
        self.on = False


def start(options):
    """Set path and environment, import the settings, populate the apps. Raise a ``SettingsError`` fault else.

    ``options``: work_dir, root, settings, environ (set), defaults (set only where the environment has no value),
    databases (alias → settings that replace the project's own, used to point every alias at a copy).
    """
    work_dir = options["work_dir"]
    sys.path[:] = [work_dir] + [each for each in sys.path if each not in ("", work_dir)]
    os.environ.update(options["environ"])
    for name, value in options["defaults"].items():
        os.environ.setdefault(name, value)
    os.environ["DJANGO_SETTINGS_MODULE"] = options["settings"]
    root = options["root"]
    try:
        import django
    except ImportError:
        raise Fault(
            "InterpreterError",
            f"{sys.executable} has no Django.",
            "name the project's own interpreter with python=… / --python",
        ) from None
    if django.VERSION < (3, 2):
        raise Fault(
            "InterpreterError",
            f"Django {django.get_version()} is too old: mig_kit works with 3.2 and later.",
            "update Django in the project's environment first",
        )
    run_manage_py(options["manage_py"], root)
    os.environ["DJANGO_SETTINGS_MODULE"] = options["settings"]
    from django.conf import settings

    try:
        settings.INSTALLED_APPS  # noqa: B018 (imports the settings module)
    except (Exception, SystemExit) as exc:
        raise startup_fault(exc, "Importing the settings {!r}".format(options["settings"]), root) from exc
    if options["databases"]:
        replace_databases(options["databases"])
    try:
        django.setup()
    except (Exception, SystemExit) as exc:
        raise startup_fault(exc, "Loading the installed apps", root) from exc


def run_manage_py(path, root):
    """Let a manage.py that prepares the path or the environment do so, by asking it for Django's version.

    Most do nothing of the kind and are not run. One that adds a folder to ``sys.path`` or loads a ``.env`` would
    otherwise leave the settings without what they import or read.
    """
    if path is None:
        return
    with open(path, encoding="utf-8") as file:
        source = file.read()
    if not any(word in source for word in ("sys.path", "dotenv", "read_env", "configurations")):
        return
    import contextlib
    import io
    import runpy

    before = sys.argv
    sys.argv = [path, "version"]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            runpy.run_path(path, run_name="__main__")
    except SystemExit:
        pass
    except Exception as exc:
        raise startup_fault(exc, f"Running {path}", root) from exc
    finally:
        sys.argv = before


def replace_databases(databases):
    """Point aliases at other databases, before any connection is made."""
    from django.conf import settings
    from django.db import connections

    for alias, override in databases.items():
        settings.DATABASES.setdefault(alias, {}).update(override)
        connections.databases.get(alias, {}).update(override)
