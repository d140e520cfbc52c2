"""Real projects from PyPI, each in a virtual environment of its own, on a database that the caller made.

``tests/real_projects/`` holds what a developer would write by hand: settings and models, before and after.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.venvs import environ, venv

__all__ = ["RealProject", "oscar_shop", "wagtail_site"]

_DATA = Path(__file__).parent / "real_projects"
_PSYCOPG = "psycopg[binary]>=3.1.18"
WAGTAIL = ("3.12", ("wagtail==8.0.*", "django>=6.1,<6.2", _PSYCOPG))
OSCAR = ("3.11", ("django-oscar[sorl-thumbnail]==4.2.*", "django>=5.2,<6", _PSYCOPG))


@dataclass(frozen=True)
class RealProject:
    """A migrated project: ``change()`` edits its models, so that a migration of ``app`` is pending.

    ``operations`` are what makemigrations then has to propose for ``app``, in its order and words.
    """

    root: Path
    python: Path
    settings: str
    app: str
    operations: tuple[str, ...]
    change: Callable[[], None]

    def pending(self) -> dict[str, tuple[str, ...]]:
        """Return what ``makemigrations --dry-run`` proposes: the operations of each app, as it words them."""
        pending: dict[str, tuple[str, ...]] = {}
        app = ""
        for line in self.manage("makemigrations", "--dry-run", "--no-color").splitlines():
            if line.startswith("Migrations for '"):
                app = line.split("'")[1]
            elif line.startswith("    "):
                pending[app] = (*pending.get(app, ()), line.strip()[2:])
        return pending

    def manage(self, *arguments: str) -> str:
        """Run manage.py in the project's own interpreter and return what it printed; a failure has it all."""
        return _run(self.root, str(self.python), "manage.py", *arguments)


def wagtail_site(folder: Path, db: Mapping[str, object]) -> RealProject:
    """Build what ``wagtail start mysite`` gives, its settings pointed to PostgreSQL by its own ``local.py``.

    ``folder`` must exist; the site goes to ``folder/mysite``. ``db`` has host, port, name, user and password.
    """
    python = venv(*WAGTAIL)
    _run(folder, str(python.with_name("wagtail")), "start", "mysite")
    root = folder / "mysite"
    # Wagtail's search index has PostgreSQL fields, and Django 6.1's system checks then want the app for them.
    local = "from .base import INSTALLED_APPS\n\nINSTALLED_APPS = [*INSTALLED_APPS, 'django.contrib.postgres']\n"
    (root / "mysite" / "settings" / "local.py").write_text(local + _databases(db))

    def change() -> None:
        shutil.copyfile(_DATA / "wagtail" / "changed_models.py", root / "home" / "models.py")
        shutil.copyfile(_DATA / "wagtail" / "changed_admin.py", root / "home" / "admin.py")

    operations = ("Add field subtitle to homepage", "Create model OpeningHours")
    project = RealProject(root, python, "mysite.settings.dev", "home", operations, change)
    project.manage("migrate", "--verbosity", "0")
    return project


def oscar_shop(folder: Path, db: Mapping[str, object]) -> RealProject:
    """Build a shop as Oscar's documentation says, with a local app whose models point to the catalogue.

    ``folder`` must exist; the shop goes to ``folder/shop``. ``db`` has host, port, name, user and password.
    """
    python = venv(*OSCAR)
    root = folder / "shop"
    root.mkdir()
    _run(root, str(python.with_name("django-admin")), "startproject", "shop", ".")
    with (root / "shop" / "settings.py").open("a") as settings:
        settings.write("\n" + (_DATA / "oscar" / "settings_tail.py").read_text() + "\n" + _databases(db))
    shutil.copyfile(_DATA / "oscar" / "urls.py", root / "shop" / "urls.py")
    shutil.copytree(_DATA / "oscar" / "warehouse", root / "warehouse")

    def change() -> None:
        shutil.copyfile(_DATA / "oscar" / "changed_models.py", root / "warehouse" / "models.py")
        shutil.copyfile(_DATA / "oscar" / "changed_admin.py", root / "warehouse" / "admin.py")

    operations = (
        "Create model Recount",
        "Add field aisle to shelf",
        "Add field counted_at to stockplace",
        "Create index stockplace_product_qty_idx on field(s) product, quantity of model stockplace",
        "Add field product to recount",
    )
    project = RealProject(root, python, "shop.settings", "warehouse", operations, change)
    project.manage("makemigrations", "warehouse", "--verbosity", "0")
    project.manage("migrate", "--verbosity", "0")
    return project


def _databases(db: Mapping[str, object]) -> str:
    values = {key.upper(): str(db[key]) for key in ("host", "port", "name", "user", "password")}
    return f"DATABASES = {{'default': { ({'ENGINE': 'django.db.backends.postgresql'} | values)!r}}}\n"


def _run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout
