"""Every error that mig_kit raises on purpose.

::

    MigKitError                      message, hint (the next step)
    ├── UsageError                   an argument that cannot be meant (ValueError)
    ├── ProjectError                 the Django project's side
    │   ├── ProjectNotFound          no project at that path (FileNotFoundError)
    │   ├── AmbiguousProject         two candidates: .candidates
    │   ├── ConfigError              mig_kit.toml, [tool.mig_kit] or .env cannot be used
    │   ├── InterpreterError         the project's Python cannot be used
    │   ├── SettingsError            the settings or an app raise on import: .traceback
    │   ├── AppNotFound              .app, .nearest (LookupError)
    │   ├── MigrationNotFound        .app, .name, .nearest (LookupError)
    │   ├── MigrationGraphError      the migrations do not form a usable graph
    │   ├── UnansweredQuestions      .questions
    │   ├── WriteError               migration files could not be written; none was left
    │   ├── OperationFailed          Django raised while the worker did what was asked: .kind, .traceback
    │   └── WorkerError              the worker process itself
    │       ├── WorkerDied           .last_output
    │       └── WorkerTimeout        .last_output (TimeoutError)
    ├── DatabaseError                the database's side
    │   ├── ServerUnreachable        (ConnectionError)
    │   ├── WrongPassword
    │   ├── DatabaseNotFound         (LookupError)
    │   ├── NotPostgreSQL            this step needs PostgreSQL
    │   ├── BinariesNotFound         no pg_dump, no server binaries
    │   └── QueryError               a verification query failed
    ├── BackupError                  no backup was made, or it does not count
    ├── GateClosed                   a step was refused: .gate
    ├── ApplyFailed                  a migration failed: .applied, .failed, .not_applied
    ├── RecordError                  the journal cannot be written, or does not hold
    └── NotebookError                a notebook run headless stopped at a cell: .executed
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = [
    "AmbiguousProject",
    "AppNotFound",
    "ApplyFailed",
    "BackupError",
    "BinariesNotFound",
    "ConfigError",
    "DatabaseError",
    "DatabaseNotFound",
    "GateClosed",
    "InterpreterError",
    "MigKitError",
    "MigrationGraphError",
    "MigrationNotFound",
    "NotPostgreSQL",
    "NotebookError",
    "OperationFailed",
    "ProjectError",
    "ProjectNotFound",
    "QueryError",
    "RecordError",
    "ServerUnreachable",
    "SettingsError",
    "UnansweredQuestions",
    "UsageError",
    "WorkerDied",
    "WorkerError",
    "WorkerTimeout",
    "WriteError",
    "WrongPassword",
]


class MigKitError(Exception):
    """Base of all: ``message`` names the thing, ``hint`` the next step; ``str()`` is both."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\nNext: {self.hint}" if self.hint else self.message


class UsageError(MigKitError, ValueError):
    """An argument that cannot be meant."""


class ProjectError(MigKitError):
    """Something about the Django project."""


class ProjectNotFound(ProjectError, FileNotFoundError):
    """There is no Django project where one was named."""


class AmbiguousProject(ProjectError):
    """Two candidates, and no way to tell which is meant; ``candidates`` lists them."""

    def __init__(self, message: str, *, candidates: Sequence[str], hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.candidates = tuple(candidates)


class ConfigError(ProjectError):
    """``mig_kit.toml``, ``[tool.mig_kit]`` or ``.env`` cannot be used as it stands."""


class InterpreterError(ProjectError):
    """The project's interpreter is missing, does not start, or has no Django."""


class SettingsError(ProjectError):
    """The settings module, or an app they install, raises on import."""

    def __init__(self, message: str, *, hint: str = "", traceback: str = "") -> None:
        super().__init__(message, hint=hint)
        self.traceback = traceback


class AppNotFound(ProjectError, LookupError):
    """No installed app has that label; ``nearest`` lists those that look like it."""

    def __init__(self, app: str, *, nearest: Sequence[str] = ()) -> None:
        self.app = app
        self.nearest = tuple(nearest)
        super().__init__(f"No installed app has the label {app!r}.", hint=_nearest(self.nearest, "an app label"))


class MigrationNotFound(ProjectError, LookupError):
    """The app has no such migration, or the prefix fits more than one."""

    def __init__(self, app: str, name: str, *, nearest: Sequence[str] = (), ambiguous: bool = False) -> None:
        self.app = app
        self.name = name
        self.nearest = tuple(nearest)
        message = (
            f"More than one migration of {app!r} begins with {name!r}."
            if ambiguous
            else f"The app {app!r} has no migration {name!r}."
        )
        super().__init__(message, hint=_nearest(self.nearest, "a migration"))


class MigrationGraphError(ProjectError):
    """The migration files do not form a usable graph: a cycle, a missing parent, conflicting leaves."""


class UnansweredQuestions(ProjectError):
    """The autodetector asks what nobody has answered; ``questions`` holds each with its id."""

    def __init__(self, message: str, *, questions: Sequence[Any], hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.questions = tuple(questions)


class WriteError(ProjectError):
    """Migration files could not be written; what had been written was removed again."""


class OperationFailed(ProjectError):
    """Django raised while the worker did what was asked; ``kind`` is the exception's class name."""

    def __init__(self, message: str, *, kind: str = "", hint: str = "", traceback: str = "") -> None:
        super().__init__(message, hint=hint)
        self.kind = kind
        self.traceback = traceback


class WorkerError(ProjectError):
    """The worker process itself; ``last_output`` is the end of what it printed."""

    def __init__(self, message: str, *, hint: str = "", last_output: str = "") -> None:
        super().__init__(message, hint=hint)
        self.last_output = last_output


class WorkerDied(WorkerError):
    """The worker process ended before it answered."""


class WorkerTimeout(WorkerError, TimeoutError):
    """The worker did not answer in time and was ended."""


class DatabaseError(MigKitError):
    """Something about the database."""


class ServerUnreachable(DatabaseError, ConnectionError):
    """No PostgreSQL server answers there."""


class WrongPassword(DatabaseError):
    """The server answers and refuses the user or the password."""


class DatabaseNotFound(DatabaseError, LookupError):
    """The server has no database of that name, or the project no alias of it."""


class NotPostgreSQL(DatabaseError):
    """This step needs PostgreSQL, and the database is another kind."""


class BinariesNotFound(DatabaseError):
    """No PostgreSQL binaries that fit were found."""


class QueryError(DatabaseError):
    """A verification query failed; nothing was changed."""


class BackupError(MigKitError):
    """No backup was made, or the one there does not count."""


class GateClosed(MigKitError):
    """A step was refused because something that must hold does not; ``gate`` names it."""

    def __init__(self, message: str, *, gate: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.gate = gate


class ApplyFailed(MigKitError):
    """A migration failed; says what was applied, what failed and what was not begun (``app.name`` each).

    ``unfinished``: a migration was left half done, or where it stands could not be told.
    """

    def __init__(
        self,
        message: str,
        *,
        applied: Sequence[str] = (),
        failed: str = "",
        not_applied: Sequence[str] = (),
        unfinished: bool = False,
        hint: str = "",
        traceback: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.unfinished = unfinished
        self.applied = tuple(applied)
        self.failed = failed
        self.not_applied = tuple(not_applied)
        self.traceback = traceback


class RecordError(MigKitError):
    """The journal cannot be written, or what is written does not hold together."""


class NotebookError(MigKitError):
    """A notebook run headless stopped at a cell; ``executed`` is the copy that was kept."""

    def __init__(self, message: str, *, executed: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.executed = executed


def _nearest(names: Sequence[str], what: str) -> str:
    if not names:
        return f"choose {what} that mig-kit status lists"
    return "did you mean " + " or ".join(repr(n) for n in names) + "?"
