"""Small throw-away Django projects on real databases, for the tests of the worker."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mig_kit.postgres import ConnectionInfo
from mig_kit.project import Project, Worker
from mig_kit.project.env_file import read_env_file
from tests.venvs import environ

__all__ = ["SECRET_KEY", "Site", "make_site"]

SECRET_KEY = "kept-out-of-sight-4711-ghost"

MANAGE = """
import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
"""

SETTINGS = """
import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = os.environ["SITE_SECRET_KEY"]
DEBUG = False
ALLOWED_HOSTS = []
INSTALLED_APPS = {apps}
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ROOT_URLCONF = "config.urls"
TEMPLATES = [{{
    "BACKEND": "django.template.backends.django.DjangoTemplates",
    "APP_DIRS": True,
    "OPTIONS": {{"context_processors": [
        "django.template.context_processors.request",
        "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages",
    ]}},
}}]
DATABASES = {databases}
USE_TZ = True
STATIC_URL = "/static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
"""

ADMIN_APPS = (
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
)

ADMIN_URLS = """
from django.contrib import admin
from django.urls import path

urlpatterns = [path("admin/", admin.site.urls)]
"""


@dataclass
class Site:
    """A project's folder, how to run it, and how to ask its worker."""

    folder: Path
    python: Path
    settings: str = "config.settings"
    named_environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def env_file(self) -> Path:
        return self.folder / ".env"

    @property
    def project(self) -> Project:
        manage_py = self.folder / "manage.py"
        return Project(
            root=self.folder,
            manage_py=manage_py if manage_py.exists() else None,
            work_dir=self.folder,
            settings=self.settings,
            python=self.python,
            env_file=self.env_file if self.env_file.exists() else None,
            named_environ=dict(self.named_environ),  # type: ignore[arg-type]
        )

    def worker(self, **options: Any) -> Worker:
        """Return a worker that is not started yet."""
        return Worker(self.project, **options)

    def write(self, path: str, text: str) -> Path:
        """Write a file of the project, with the folders it needs."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(textwrap.dedent(text).lstrip("\n"), "utf-8")
        return target

    def models(self, app: str, text: str) -> None:
        """Write an app's models; ``models`` is imported already."""
        self.write(f"{app}/models.py", "from django.db import models\n\n\n" + textwrap.dedent(text).lstrip("\n"))

    def migration(self, app: str, name: str, body: str, *, imports: str = "") -> None:
        """Write a migration: the body of its class."""
        head = f"from django.db import migrations, models\n{imports}\n\n\nclass Migration(migrations.Migration):\n"
        self.write(f"{app}/migrations/{name}.py", head + textwrap.indent(textwrap.dedent(body).strip("\n"), "    "))

    def append_settings(self, text: str) -> None:
        """Add lines to the settings."""
        path = self.folder / "config" / "settings.py"
        path.write_text(path.read_text("utf-8") + "\n" + textwrap.dedent(text), "utf-8")

    def manage(self, *arguments: str, typed: str = "", ok: bool = True, cwd: Path | None = None) -> str:
        """Run manage.py, typing the answers; return what it printed."""
        values = dict(read_env_file(self.env_file, {}).variables) if self.env_file.exists() else {}
        done = subprocess.run(
            [str(self.python), "manage.py", *arguments],
            cwd=cwd or self.folder,
            env={**environ(), **values, **self.named_environ, "PYTHONDONTWRITEBYTECODE": "1"},
            input=typed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0 or not ok, done.stdout
        return done.stdout

    def files(self) -> dict[str, str]:
        """Return every file of the project with its text, caches left out."""
        return {
            str(path.relative_to(self.folder)): path.read_text("utf-8", errors="replace")
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".sqlite3"
        }


def make_site(
    folder: Path,
    database: ConnectionInfo | None,
    *,
    apps: Sequence[str] = ("shop",),
    admin: bool = False,
    python: Path | None = None,
    others: Mapping[str, ConnectionInfo] | None = None,
) -> Site:
    """Write a project with empty apps; without a database it is on SQLite. Its password and key stand in ``.env``."""
    folder.mkdir(parents=True, exist_ok=True)
    site = Site(folder, python or Path(sys.executable))
    site.write("manage.py", MANAGE)
    site.write("config/__init__.py", "")
    given = {"default": database, **(others or {})}
    databases = "{" + ", ".join(f"{alias!r}: {_database(info)}" for alias, info in given.items()) + "}"
    installed = [*(ADMIN_APPS if admin else ()), *apps]
    site.write("config/settings.py", SETTINGS.format(apps=installed, databases=databases))
    site.write("config/urls.py", ADMIN_URLS if admin else "urlpatterns = []\n")
    password = database.password.reveal() if database else ""
    site.write(".env", f"SITE_SECRET_KEY={SECRET_KEY}\nSITE_PASSWORD={password}\n")
    os.chmod(site.env_file, 0o600)  # noqa: PTH101
    for app in apps:
        site.write(f"{app}/__init__.py", "")
        site.write(f"{app}/migrations/__init__.py", "")
        site.models(app, "")
    return site


def _database(info: ConnectionInfo | None) -> str:
    if info is None:
        return '{"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}'
    return (
        '{"ENGINE": "django.db.backends.postgresql", "PASSWORD": os.environ["SITE_PASSWORD"], '
        f'"NAME": {info.dbname!r}, "USER": {info.user!r}, "HOST": {info.host!r}, "PORT": {info.port!r}}}'
    )
