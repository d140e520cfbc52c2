"""The demo project's files: copied from the templates, with two states of its models."""

from __future__ import annotations

import json
import os
import secrets
import string
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import dotenv

from mig_kit.postgres import ConnectionInfo

__all__ = ["OWNED", "set_address", "write_edited_models", "write_env", "write_released_project"]

# What the demo writes at its root, and so what a fresh one removes; anything else there is the user's.
OWNED = ("backend", "execution", ".env", ".env.partial", ".env.example", ".gitignore", "mig_kit.toml")

# Templates end in this, so that no linter, type checker or test runner takes them for code of this package,
# and "dot-" stands for the dot of a hidden file, so that no .gitignore in here is taken for one that counts.
_SUFFIX = "-tpl"
_DOT = "dot-"
# These two are made with the values of this machine, all others copied as they are.
_ENV_TEMPLATE = "dot-env-tpl"
_CONFIG = "mig_kit.toml"


def write_released_project(root: Path, python: Path) -> None:
    """Write the project as it was last released: the models that its migrations lead to, and no ``.env``.

    ``python`` is named in its ``mig_kit.toml`` as the interpreter to use.
    """
    _copy(files("mig_kit.demo") / "project" / "released", root)
    config = root / _CONFIG
    # A JSON string is a TOML string too.
    text = string.Template(config.read_text("utf-8")).substitute(python=json.dumps(str(python)))
    config.write_text(text, "utf-8")
    (root / "backend" / "manage.py").chmod(0o755)
    (root / "execution" / "backup_database.py").chmod(0o755)
    (root / ".tmp" / "backups").mkdir(parents=True, exist_ok=True)


def write_edited_models(root: Path) -> None:
    """Write over the released models those that a developer has changed since: the pending model changes."""
    _copy(files("mig_kit.demo") / "project" / "edited", root)


def write_env(root: Path, database: ConnectionInfo, pg_dump: Path) -> None:
    """Write ``.env`` with the database's credentials and a new SECRET_KEY, readable by its owner only.

    It is complete or not there at all.
    """
    template = files("mig_kit.demo") / "project" / "released" / _ENV_TEMPLATE
    text = string.Template(template.read_text("utf-8")).substitute(
        database_name=database.dbname,
        database_user=database.user,
        database_password=database.password.reveal(),
        database_host=database.host,
        database_port=database.port,
        secret_key=secrets.token_urlsafe(50),
        # Quoted for the sake of a folder with a space or a "#" in its name.
        pg_dump=f"'{pg_dump}'",
    )
    partial = root / ".env.partial"
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    partial.replace(root / ".env")


def set_address(root: Path, host: str, port: int | None) -> None:
    """Bring ``.env`` up to date with the address that the server has now; leave its other lines alone."""
    path = root / ".env"
    values = dotenv.dotenv_values(path, interpolate=False)
    for key, value in (("DATABASE_HOST", host), ("DATABASE_PORT", str(port or ""))):
        if values.get(key) != value:
            dotenv.set_key(path, key, value, quote_mode="never")


def _copy(source: Traversable, target: Path) -> None:
    for template, relative in _templates(source, Path()):
        path = target / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(template.read_bytes())


def _templates(folder: Traversable, below: Path) -> Iterator[tuple[Traversable, Path]]:
    for entry in sorted(folder.iterdir(), key=lambda e: e.name):
        if entry.is_dir():
            yield from _templates(entry, below / entry.name)
        elif entry.name.endswith(_SUFFIX) and entry.name != _ENV_TEMPLATE:
            name = entry.name.removesuffix(_SUFFIX)
            yield entry, below / (f".{name.removeprefix(_DOT)}" if name.startswith(_DOT) else name)
