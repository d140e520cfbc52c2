"""Errors as plain data."""

import difflib
import os
import traceback


class Fault(Exception):
    """An error that the worker raises on purpose; ``kind`` is the class of ``mig_kit.errors`` it becomes."""

    def __init__(self, kind, message, hint="", **extra):
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.hint = hint
        self.extra = extra


def nearest(word, possibilities, n=3):
    """Return up to ``n`` of the possibilities that look like the word, best first."""
    lowered = {}  # type: dict[str, str]
    for each in possibilities:
        lowered.setdefault(each.lower(), each)
    found = difflib.get_close_matches(word.lower(), list(lowered), n=n, cutoff=0.5)
    return [lowered[each] for each in found]


def _project_frame(exc, root):
    """Return " (file, line n)" of the innermost frame that lies in the project, or nothing."""
    found = ""
    for frame in traceback.extract_tb(exc.__traceback__):
        if frame.filename.startswith(root + os.sep) and "site-packages" not in frame.filename:
            found = f" ({frame.filename}, line {frame.lineno})"
    return found


def one_line(exc):
    """Return ``Class: message`` on one line, as the last line of a traceback gives it."""
    return " ".join("".join(traceback.format_exception_only(type(exc), exc)).split())


def startup_fault(exc, what, root):
    """Turn whatever the settings or an app raised on import into one fault that names file and line."""
    where = ""
    if isinstance(exc, SyntaxError) and exc.filename:
        where = f" ({exc.filename}, line {exc.lineno})"
    else:
        where = _project_frame(exc, root)
    hint = "mend it there, or name other settings with settings=… / --settings"
    if "Error loading" in str(exc) and "module" in str(exc):  # Django's words for a missing database driver
        hint = (
            "install that database driver in the project's environment, "
            "or name the project's own interpreter with python=… / --python"
        )
    elif isinstance(exc, KeyError) or type(exc).__name__ in ("ImproperlyConfigured", "UndefinedValueError"):
        hint = "a value is missing: put it into the project's .env or the environment, then open the runbook again"
    elif isinstance(exc, ModuleNotFoundError):
        hint = (
            "the module is not installed in this interpreter or not on its path: "
            "name the project's own interpreter with python=… / --python"
        )
    return Fault("SettingsError", "{} raised {}{}.".format(what, one_line(exc).rstrip("."), where), hint)


def plain(exc):
    """Return an exception as plain data: kind, message, hint, traceback and what else it carries.

    Django's own exceptions become the kinds of ``mig_kit.errors`` that a user can act on; the traceback is whole.
    """
    text = "".join(traceback.format_exception(type(exc), exc, exc.__traceback__))
    if isinstance(exc, Fault):
        return {
            "kind": exc.kind,
            "message": exc.message,
            "hint": exc.hint,
            "traceback": text,
            "extra": exc.extra,
        }
    kind, hint = "OperationFailed", ""
    name = type(exc).__name__
    message = one_line(exc)
    if name in (
        "CircularDependencyError",
        "NodeNotFoundError",
        "InconsistentMigrationHistory",
        "BadMigrationError",
    ):
        kind = "MigrationGraphError"
        message = "{}: {}".format(_GRAPH[name][0], str(exc).strip().rstrip(".") + ".")
        hint = _GRAPH[name][1]
    elif isinstance(exc, SyntaxError) and exc.filename:
        kind = "MigrationGraphError" if "migrations" in exc.filename else "SettingsError"
        message = f"{exc.filename}, line {exc.lineno}, is not valid Python: {exc.msg}."
        hint = "mend the file there, then run the cell again"
    elif isinstance(exc, ImportError) and os.sep + "migrations" + os.sep in _project_frame(exc, os.getcwd()):
        kind = "MigrationGraphError"
        where = _project_frame(exc, os.getcwd())
        message = "A migration could not be imported: {}{}.".format(message.rstrip("."), where)
        hint = "mend the file there, then run the cell again"
    elif isinstance(exc, OSError) and exc.errno is not None and exc.filename is not None:
        message = f"{exc.filename}: {exc.strerror}."
        hint = "free the disk or mend the permissions there, then run the step again"
    else:
        message += _project_frame(exc, os.getcwd())
    cause = exc.__cause__
    sqlstate = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return {
        "kind": kind,
        "message": message,
        "hint": hint,
        "traceback": text,
        "extra": {"exception": name, "sqlstate": sqlstate},
    }


_GRAPH = {
    "CircularDependencyError": (
        "The migrations depend on each other in a circle",
        "take one of these dependencies out, or move the operation that needs it into a migration of its own",
    ),
    "NodeNotFoundError": (
        "A migration depends on one that does not exist",
        "restore the missing file from version control, or correct the dependency",
    ),
    "InconsistentMigrationHistory": (
        "The database's history is out of order",
        "compare rb.history() with the files: a migration was applied before one it depends on",
    ),
    "BadMigrationError": (
        "A file in a migrations folder is not a migration",
        "give it a Migration class or move it",
    ),
}
