"""The target of a session: one project, one of its databases."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from mig_kit import errors
from mig_kit.errors import MigKitError
from mig_kit.postgres import ConnectionInfo, connect
from mig_kit.project import Project, Worker, find_project
from mig_kit.record import redact, register_secret

__all__ = ["STAGES", "Target", "open_target"]

STAGES = ("development", "staging", "production")

# Of the .env only what is secret by its name: a port or a database's name, masked everywhere, helps nobody.
_SECRET_NAME = re.compile(r"PASS|SECRET|TOKEN|KEY|CREDENTIAL|PRIVATE|DSN|_URL$|^URL$", re.IGNORECASE)


@dataclass(frozen=True, repr=False)
class Target:
    """One database of one project, with the warm worker that speaks for it; the repr shows no secret.

    ``description`` is what the worker says of the project. ``info`` is how to reach the database, None where it is
    not PostgreSQL. ``stage`` is one of ``STAGES`` and ``stage_reason`` says how that was decided.
    """

    project: Project
    worker: Worker
    database: str
    vendor: str
    info: ConnectionInfo | None
    stage: str
    stage_reason: str
    description: Mapping[str, Any] = field(repr=False)

    def __repr__(self) -> str:
        where = self.info.safe if self.info else self.vendor
        return f"<Target {self.project.root.name}: {self.database} at {where}, {self.stage}>"

    @property
    def python(self) -> str:
        """The version of the project's Python."""
        return str(self.description["python"])

    @property
    def django(self) -> str:
        """The version of the project's Django."""
        return str(self.description["django"])

    @property
    def own_apps(self) -> tuple[str, ...]:
        """The labels of the apps that are the project's own, not installed packages'."""
        return tuple(each["label"] for each in self.description["apps"] if each["own"])

    @property
    def backups_folder(self) -> Path:
        """Where the runbook keeps backups: ``.tmp/backups`` in the project's root."""
        return self.project.root / ".tmp" / "backups"

    def ask(self, method: str, **args: Any) -> Any:
        """Ask the worker about this database; every text in an error has its secrets masked.

        ``args`` are the method's and those of ``Worker.call``.
        """
        with _masked():
            try:
                return self.worker.call(method, database=self.database, **args)
            except errors.OperationFailed as exc:
                if exc.kind in ("OperationalError", "InterfaceError"):
                    # psycopg, asked directly, can tell a wrong password from a server that is down.
                    self._explain_connection()
                raise

    def _explain_connection(self) -> None:
        if self.info is not None:
            connect(self.info).close()

    def need_postgres(self, step: str) -> ConnectionInfo:
        """Return how to reach the database; ``NotPostgreSQL`` names the step where it is another kind."""
        if self.info is None:
            raise errors.NotPostgreSQL(
                f"The step {step!r} needs PostgreSQL, and the database {self.database!r} is {self.vendor}.",
                hint="the steps review, generate, preview, status and history work without it; "
                "name another alias with database=… / --database",
            )
        return self.info

    def connect(self, step: str) -> psycopg.Connection[Any]:
        """Open a connection of mig_kit's own, beside Django's."""
        return connect(self.need_postgres(step))

    def close(self) -> None:
        """End the worker."""
        self.worker.close()


@contextlib.contextmanager
def _masked() -> Any:
    """Mask registered secrets in every text an error carries on its way to people."""
    try:
        yield
    except MigKitError as exc:
        for name, value in list(vars(exc).items()):
            if isinstance(value, str):
                setattr(exc, name, redact(value))
        exc.args = tuple(redact(each) if isinstance(each, str) else each for each in exc.args)
        raise


def open_target(
    path: str | Path = ".",
    *,
    database: str | None = None,
    stage: str | None = None,
    python: str | Path | None = None,
    settings: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Target:
    """Find the project, start its worker and look up the database; the database itself is not contacted.

    Raises the ``ProjectError`` that fits, ``DatabaseNotFound`` for an alias that the settings do not have, and
    ``UsageError`` for a stage that is none.
    """
    project = find_project(path, python=python, settings=settings, environ=environ)
    for name, value in project.environ.items():
        if _SECRET_NAME.search(name):
            register_secret(value)
    worker = Worker(project)
    try:
        with _masked():
            description = worker.call("describe")
            register_secret(description["secret_key"])
            for each in description["databases"].values():
                register_secret(each["PASSWORD"])
            alias = database or project.config.database or "default"
            if alias not in description["databases"]:
                raise errors.DatabaseNotFound(
                    f"The project has no database alias {alias!r}.",
                    hint="choose one of: " + ", ".join(sorted(description["databases"])),
                )
            found = description["databases"][alias]
            info = ConnectionInfo.from_django(found) if found["vendor"] == "postgresql" else None
            chosen, reason = _stage(stage, project, info)
    except BaseException:
        worker.close()
        raise
    return Target(project, worker, alias, found["vendor"], info, chosen, reason, description)


def _stage(named: str | None, project: Project, info: ConnectionInfo | None) -> tuple[str, str]:
    """Decide the stage: what is named, else inferred, erring to production."""
    for value, source in ((named, "named"), (project.config.stage, "from the project's configuration")):
        if value:
            if value not in STAGES:
                raise errors.UsageError(f"{value!r} is not a stage.", hint="choose one of: " + ", ".join(STAGES))
            return value, source
    if info is None or info.is_local:
        return "development", "inferred: the server is on this machine"
    return (
        "production",
        "inferred: the server is not on this machine; name another stage with stage=… / --stage",
    )
