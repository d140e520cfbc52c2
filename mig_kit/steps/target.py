"""The target of a session: one project, one of its databases."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mig_kit import errors
from mig_kit.errors import MigKitError
from mig_kit.postgres import Connection, ConnectionInfo, connect
from mig_kit.project import Project, Worker, find_project
from mig_kit.record import redact, register_secret

__all__ = ["STAGES", "Target", "open_target"]

STAGES = ("development", "staging", "production")

# Of the .env only what is secret by its name: a port or a database's name, masked everywhere, helps nobody.
_NO_SECRET = ("true", "false", "none", "null")
_SECRET_NAME = re.compile(r"PASS|PWD|SECRET|TOKEN|KEY|SALT|CREDENTIAL|PRIVATE|DSN|(^|_)(AUTH|URL|URI)$", re.IGNORECASE)


@dataclass(repr=False)
class Target:
    """One database of one project, with the warm worker that speaks for it; the repr shows no secret.

    ``description`` is what the worker says of the project, without its secrets. ``info`` is how to reach the database,
    None where it is not PostgreSQL. ``stage`` is one of ``STAGES`` and ``stage_reason`` says how that was decided.
    """

    project: Project
    worker: Worker
    database: str
    vendor: str
    info: ConnectionInfo | None
    stage: str
    stage_reason: str
    description: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"<Target {self.summary}>"

    @property
    def summary(self) -> str:
        """The project, the database and the stage on one line, without a secret."""
        where = self.info.safe if self.info else self.vendor
        return f"{self.project.root.name}: {self.database} at {where}, {self.stage}"

    @property
    def python(self) -> str:
        """The version of the project's Python."""
        return str(self.description["python"])

    @property
    def django(self) -> str:
        """The version of the project's Django."""
        return str(self.description["django"])

    @property
    def apps(self) -> tuple[str, ...]:
        """The labels of the installed apps."""
        return tuple(each["label"] for each in self.description["apps"])

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
                if exc.kind in ("OperationalError", "InterfaceError") and self.info is not None:
                    # psycopg, asked directly, can tell a wrong password from a server that is down.
                    connect(self.info).close()
                raise

    def refresh(self) -> None:
        """Learn what changed since: an app that was installed, a password that was put right in ``.env``.

        While the project cannot be loaded, what was known stays: the steps that need the project will say why.
        """
        with contextlib.suppress(MigKitError), _masked():
            description = _describe(self.worker)
            self.vendor, self.info = _place(description, self.database)
            self.description = _without_secrets(description)

    def need_app(self, label: str) -> None:
        """Raise ``AppNotFound``, with the nearest labels, unless an installed app has that one."""
        if label not in self.apps:
            raise errors.AppNotFound(label, nearest=difflib.get_close_matches(label.lower(), self.apps, cutoff=0.5))

    def need_postgres(self, step: str) -> ConnectionInfo:
        """Return how to reach the database; ``NotPostgreSQL`` names the step where it is another kind."""
        if self.info is None:
            raise errors.NotPostgreSQL(
                f"The step {step!r} needs PostgreSQL, and the database {self.database!r} is {self.vendor}.",
                hint="the steps review, generate, preview, status and history work without it; "
                "name another alias with database=… / --database",
            )
        return self.info

    def connect(self, step: str) -> Connection:
        """Open a connection of mig_kit's own, beside Django's."""
        return connect(self.need_postgres(step))

    def close(self) -> None:
        """End the worker."""
        self.worker.close()


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
    _register_variables({**project.environ, **project.named_environ})
    worker = Worker(project)
    try:
        with _masked():
            description = _describe(worker)
            alias = database or project.config.database or "default"
            vendor, info = _place(description, alias)
            chosen, reason = _stage(stage, project, description, alias, info)
    except BaseException:
        worker.close()
        raise
    return Target(project, worker, alias, vendor, info, chosen, reason, _without_secrets(description))


@contextlib.contextmanager
def _masked() -> Iterator[None]:
    """Mask registered secrets in every text an error carries on its way to people."""
    try:
        yield
    except MigKitError as exc:
        for name, value in list(vars(exc).items()):
            setattr(exc, name, _redacted(value))
        exc.args = tuple(_redacted(each) for each in exc.args)
        raise


def _redacted(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, tuple):
        return tuple(_redacted(each) for each in value)
    return value


def _register_variables(variables: Mapping[str, str]) -> None:
    """Register the values that are secret by their variable's name, unless another variable shows them openly."""
    open_values = {value for name, value in variables.items() if not _SECRET_NAME.search(name)}
    for name, value in variables.items():
        if _SECRET_NAME.search(name) and value not in open_values and value.lower() not in _NO_SECRET:
            register_secret(value)


def _describe(worker: Worker) -> Mapping[str, Any]:
    """Ask what the project is, and register what in the answer is secret."""
    description: Mapping[str, Any] = worker.call("describe")
    register_secret(description["secret_key"])
    for each in description["databases"].values():
        # A password that equals a name is no secret, and masked it would blot that name out everywhere.
        if each["PASSWORD"] not in (each["USER"], each["NAME"], each["HOST"]):
            register_secret(each["PASSWORD"])
    return description


def _without_secrets(description: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out what must not show when somebody looks at it in a notebook."""
    secret = ("PASSWORD", "OPTIONS")
    databases = {
        alias: {name: value for name, value in each.items() if name not in secret}
        for alias, each in description["databases"].items()
    }
    return {**{name: value for name, value in description.items() if name != "secret_key"}, "databases": databases}


def _place(description: Mapping[str, Any], alias: str) -> tuple[str, ConnectionInfo | None]:
    """Return the vendor of an alias, and how to reach it where that is PostgreSQL."""
    databases = description["databases"]
    if alias not in databases:
        raise errors.DatabaseNotFound(
            f"The project has no database alias {alias!r}.",
            hint="choose one of: " + ", ".join(sorted(databases)),
        )
    found = databases[alias]
    return found["vendor"], ConnectionInfo.from_django(found) if found["vendor"] == "postgresql" else None


def _stage(
    named: str | None, project: Project, description: Mapping[str, Any], alias: str, info: ConnectionInfo | None
) -> tuple[str, str]:
    """Decide the stage: what is named, else inferred, erring to production."""
    for value, source in ((named, "named"), (project.config.stage, "from the project's configuration")):
        if value:
            if value not in STAGES:
                raise errors.UsageError(f"{value!r} is not a stage.", hint="choose one of: " + ", ".join(STAGES))
            return value, source
    other = "name another stage with stage=… / --stage"
    if not _is_local(description["databases"][alias], info):
        return "production", f"inferred: the server is not on this machine; {other}"
    # DEBUG decides nothing: it is off in many a developer's settings, and on in some a server's.
    return "development", "inferred: the server is on this machine"


def _is_local(found: Mapping[str, Any], info: ConnectionInfo | None) -> bool:
    if info is not None:
        return info.is_local
    return found["vendor"] == "sqlite" or found["HOST"] in ("", "localhost", "127.0.0.1", "::1")
