"""The options that every command takes, and the session that they open."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mig_kit import errors

if TYPE_CHECKING:
    from mig_kit.runbook import Runbook

__all__ = ["Session", "demo_options", "project_options"]


@dataclass(frozen=True, slots=True)
class Session:
    """What the common options said: which project, which of its databases, and how to print."""

    project: Path | None
    database: str | None
    python: str | None
    settings: str | None
    stage: str | None
    as_json: bool
    traceback: bool

    @property
    def path(self) -> Path:
        """The project's folder: the one that was named, or the working directory."""
        return self.project or Path()

    @contextmanager
    def runbook(self, *, record: bool, remember: bool = False) -> Iterator[Runbook]:
        """Open the runbook, and end its worker afterwards; with ``record`` the steps are written to a journal.

        ``remember``: without a journal, too, what opens gates is kept.
        """
        from mig_kit.cli.output import Terminal
        from mig_kit.runbook import open_runbook

        with (
            self.demo_hint(),
            open_runbook(
                self.path,
                database=self.database,
                stage=self.stage,
                python=self.python,
                settings=self.settings,
                record=record,
                remember=remember,
                interaction=Terminal(),
            ) as runbook,
        ):
            yield runbook

    @contextmanager
    def demo_hint(self) -> Iterator[None]:
        """Where a demo's own server is down, let the error say how to start it."""
        try:
            yield
        except errors.ServerUnreachable as exc:
            from mig_kit.lab.demo_server import demo_root

            if root := demo_root(self.path):
                exc.hint = f"start the demo's server: mig-kit demo {root}"
            raise

    def facts(self, runbook: Runbook) -> dict[str, Any]:
        """Return what every JSON document begins with: which database of which project it speaks of."""
        target = runbook.target
        return {
            "project": target.project.root,
            "database": target.database,
            "server": target.info.safe if target.info else target.vendor,
            "stage": target.stage,
        }


_OPTIONS = {
    "project": click.option(
        "--project",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="The project: the folder of manage.py or one around it (default: the working directory).",
    ),
    "database": click.option(
        "--database", metavar="ALIAS", help="An alias of the settings' DATABASES (default: default)."
    ),
    "python": click.option(
        "--python", metavar="PATH", help="The project's interpreter, where it is not found by itself."
    ),
    "settings": click.option(
        "--settings", metavar="MODULE", help="The settings module, where it is not found by itself."
    ),
    "stage": click.option("--stage", metavar="STAGE", help="development, staging or production (default: inferred)."),
    "as_json": click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout; errors too."),
    "traceback": click.option("--traceback", is_flag=True, help="Show the whole traceback of an error."),
}


def project_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the common options; the function gets them as one ``Session``."""
    return _options(function, tuple(_OPTIONS))


def demo_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command those of the common options that mean something before there is a project."""
    return _options(function, ("python", "as_json", "traceback"))


def _options(function: Callable[..., Any], names: Sequence[str]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(**values: Any) -> Any:
        session = Session(**{name: values.pop(name, None) for name in _OPTIONS})
        return function(session, **values)

    for name in reversed(names):
        call = _OPTIONS[name](call)
    return call
