"""Bring Django up in the project's interpreter, as its manage.py would."""

import os
import re
import sys

from . import isolate, replaced
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


def start(options):
    """Set path and environment, import the settings, populate the apps. Raise a ``SettingsError`` fault else.

    ``options``: work_dir, root, settings, environ (set), defaults (set only where the environment has no value),
    databases (alias → settings that replace the project's own), migrations (app → folder that its migrations come
    from), isolation (what ``isolate.Isolation`` takes: then no
    database but those copies can be reached, from before the settings are read).
    """
    work_dir = options["work_dir"]
    os.chdir(work_dir)
    sys.path[:] = [work_dir] + [each for each in sys.path if each not in ("", work_dir)]
    os.environ.update(options["environ"])
    for name, value in options["defaults"].items():
        os.environ.setdefault(name, value)
    os.environ["DJANGO_SETTINGS_MODULE"] = options["settings"]
    if os.environ.get("MPLBACKEND", "").startswith("module://matplotlib_inline"):
        del os.environ["MPLBACKEND"]  # the notebook's own: a project that imports matplotlib would look for it
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
    if options.get("isolation"):
        isolate.begin(options["isolation"])
    run_manage_py(options["manage_py"], root)
    os.environ["DJANGO_SETTINGS_MODULE"] = options["settings"]
    from django.conf import settings

    if settings.configured and getattr(settings, "SETTINGS_MODULE", None) != options["settings"]:
        raise Fault(
            "SettingsError",
            "{} loads the settings {!r}, whatever the environment says, and {!r} was named.".format(
                options["manage_py"], getattr(settings, "SETTINGS_MODULE", None), options["settings"]
            ),
            "name the same settings with settings=… / --settings, or mend manage.py: os.environ.setdefault(…)",
        )

    try:
        settings.INSTALLED_APPS  # noqa: B018 (imports the settings module)
    except (Exception, SystemExit) as exc:
        raise startup_fault(exc, "Importing the settings {!r}".format(options["settings"]), root) from exc
    if options.get("isolation"):
        isolate.current().replace()
    if options["databases"]:
        replace_databases(options["databases"])
    try:
        django.setup()
    except (Exception, SystemExit) as exc:
        raise startup_fault(exc, "Loading the installed apps", root) from exc
    if options.get("migrations"):
        replaced.begin(options["migrations"])


# What a manage.py may do beside naming the settings module, as far as its text shows.
PREPARES = re.compile(
    r"""sys\.path|addsitedir|dotenv|read_env|configurations|install_as|monkey"""
    r"""|environ(\.setdefault\(|\[)\s*["'](?!DJANGO_SETTINGS_MODULE["'])"""
)


def run_manage_py(path, root):
    """Let a manage.py that prepares the path or the environment do so, by asking it for Django's version.

    Most do nothing of the kind and are not run. One that adds a folder to ``sys.path``, loads a ``.env`` or sets a
    variable would otherwise leave the settings without what they import or read.
    """
    if path is None:
        return
    with open(path, encoding="utf-8") as file:
        source = file.read()
    if not PREPARES.search(source):
        return
    import contextlib
    import io
    import runpy

    before = sys.argv
    sys.argv = [path, "version"]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            runpy.run_path(path, run_name="__main__")
    except SystemExit as exc:
        if exc.code not in (None, 0):
            raise startup_fault(exc, f"Running {path}", root) from exc
    except Exception as exc:
        raise startup_fault(exc, f"Running {path}", root) from exc
    finally:
        sys.argv = before


def replace_databases(databases):
    """Point aliases at other databases, before any connection is made."""
    from django.db import connections

    for alias, override in databases.items():
        if alias not in connections.settings:
            raise Fault(
                "DatabaseNotFound",
                f"The project has no database alias {alias!r}.",
                "choose one of: {}".format(", ".join(sorted(connections.settings))),
            )
        connections.settings[alias].update(override)
