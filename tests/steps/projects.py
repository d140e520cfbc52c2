"""Projects for the steps' tests: copies of the demo, each with a database of its own on the demo's PostgreSQL 18."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from mig_kit.demo import create_demo, stop_demo
from mig_kit.postgres import ConnectionInfo, Server, connect
from mig_kit.steps.target import Target, open_target

__all__ = [
    "ANSWERS",
    "Copy",
    "Opened",
    "Template",
    "conflict",
    "copies",
    "empty_migration",
    "opened",
    "project",
    "shared",
    "sqlite",
    "target",
    "template",
]

ANSWERS = {"rename-field:portfolio.project.link:live_url": True}
_numbers = itertools.count(1)
_template: list[Template] = []


@dataclass(frozen=True)
class Copy:
    """A project of the test's own: its folder, its database as the project connects, and as a superuser."""

    root: Path
    database: ConnectionInfo
    admin: ConnectionInfo

    @property
    def backups(self) -> Path:
        return self.root / ".tmp" / "backups"

    def path(self, *parts: str) -> Path:
        return self.root.joinpath("backend", *parts)

    def edit(self, file: str, old: str, new: str) -> None:
        """Change a text in one of the backend's files; it has to be there."""
        path = self.path(file)
        text = path.read_text()
        assert old in text, f"{old!r} is not in {path}"
        path.write_text(text.replace(old, new))

    def write(self, file: str, text: str) -> Path:
        path = self.path(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Put every file of the backend back as it was."""
        kept = {path: path.read_bytes() for path in self._files()}
        try:
            yield
        finally:
            for path in self._files():
                if path not in kept:
                    path.unlink()
            for path, content in kept.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                if not path.exists() or path.read_bytes() != content:
                    path.write_bytes(content)

    def _files(self) -> list[Path]:
        found = self.path().rglob("*")
        return [path for path in found if path.is_file() and "__pycache__" not in path.parts]

    def migrations(self) -> set[str]:
        """Every migration file, as app/name, and what else lies beside them."""
        found = self.path("apps").glob("*/migrations/*")
        return {f"{path.parent.parent.name}/{path.name}" for path in found if path.name != "__pycache__"}

    def set_env(self, **values: str) -> None:
        env = self.root / ".env"
        text = env.read_text()
        for name, value in values.items():
            text = re.sub(rf"(?m)^{name}=.*\n|\Z", "", text) + f"{name}={value}\n"
        env.write_text(text)

    def run(self, statement: str, *params: object, admin: bool = True) -> list[tuple[Any, ...]]:
        """Run SQL, as a superuser unless told otherwise, and return the rows it gives."""
        with closing(connect(self.admin if admin else self.database)) as connection:
            cursor = connection.execute(statement, params or None)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def applied(self) -> set[str]:
        return {f"{app}.{name}" for app, name in self.run("SELECT app, name FROM django_migrations")}


@dataclass(frozen=True)
class Opened:
    """A copy and the target opened on it."""

    project: Copy
    target: Target


class Template:
    """A demo and a database as it was made, to be copied."""

    def __init__(self, root: Path) -> None:
        self.demo = create_demo(root, scale=0.01)
        self.server = Server.open(self.demo.server_data)
        self.copy_database("portfolio", "pristine")

    def copy_database(self, source: str, name: str) -> None:
        with closing(connect(self.server.info)) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER portfolio").format(
                    sql.Identifier(name), sql.Identifier(source)
                )
            )

    def copy(self, root: Path, name: str) -> Copy:
        """Copy the project to ``root`` and its database under ``name``."""
        self.copy_database("pristine", name)
        root.mkdir(parents=True, exist_ok=True)
        for each in ("backend", "execution"):
            shutil.copytree(self.demo.root / each, root / each, ignore=shutil.ignore_patterns("__pycache__"))
        for each in (".env", "mig_kit.toml"):
            shutil.copy2(self.demo.root / each, root / each)
        made = Copy(root, self.demo.database.with_dbname(name), self.server.info.with_dbname(name))
        made.set_env(DATABASE_NAME=name)
        return made


def empty_migration(project: Copy, app: str, name: str, parent: str, operations: str = "[]", **attributes: str) -> Path:
    """Write a migration by hand: ``operations`` and further attributes as Python text."""
    more = "".join(f"    {key} = {value}\n" for key, value in attributes.items())
    return project.write(
        f"apps/{app}/migrations/{name}.py",
        "from django.db import migrations, models\n\n\nclass Migration(migrations.Migration):\n"
        f"    dependencies = [({app!r}, {parent!r})]\n{more}    operations = {operations}\n",
    )


def conflict(project: Copy) -> list[Path]:
    """Give the blog two leaf nodes, and return their files."""
    parent = "0004_category_position_post_status_idx"
    return [empty_migration(project, "blog", name, parent) for name in ("0005_left", "0005_right")]


def sqlite(project: Copy) -> None:
    """Move the project to an SQLite database, empty."""
    settings = project.path("config", "settings.py")
    settings.write_text(
        settings.read_text()
        + "\nDATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': BASE_DIR / 'db.sqlite3'}}\n"
    )


@contextmanager
def _only_template(folder: Callable[[str], Path]) -> Iterator[Template]:
    """Make the template once, also where several modules' fixtures ask for it."""
    first = not _template
    if first:
        _template.append(Template(folder("template") / "demo"))
    yield _template[0]
    if first:
        stop_demo(_template.pop().demo.root)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Template]:
    """The demo that the projects are copies of."""
    with _only_template(tmp_path_factory.mktemp) as made:
        yield made


@pytest.fixture
def copies(template: Template, tmp_path: Path) -> Iterator[Callable[..., Copy]]:
    """Make copies of the demo; their databases are dropped after the test."""
    made: list[str] = []

    def make(folder: str = "project", name: str | None = None) -> Copy:
        name = name or f"copy_{next(_numbers)}"
        made.append(name)
        return template.copy(tmp_path / folder, name)

    yield make
    for name in made:
        template.server.drop_database(name)


@pytest.fixture
def project(copies: Callable[..., Copy]) -> Copy:
    """One project to change."""
    return copies()


@pytest.fixture
def target(project: Copy) -> Iterator[Target]:
    """The project, opened."""
    with closing(open_target(project.root)) as opened:
        yield opened


@pytest.fixture(scope="module")
def opened(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """One project for a whole module, because opening one takes a second: each test leaves it as it found it."""
    name = f"copy_{next(_numbers)}"
    made = template.copy(tmp_path_factory.mktemp("opened") / "project", name)
    with ExitStack() as stack:
        stack.callback(template.server.drop_database, name)
        yield Opened(made, stack.enter_context(closing(open_target(made.root))))


@pytest.fixture(scope="session")
def shared(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A project that tests only read, opened once."""
    made = template.copy(tmp_path_factory.mktemp("shared") / "project", "shared")
    with ExitStack() as stack:
        stack.callback(template.server.drop_database, "shared")
        yield stack.enter_context(closing(open_target(made.root)))
