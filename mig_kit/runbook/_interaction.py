"""What a notebook or a terminal adds to a runbook; the runbook itself shows nothing and asks nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from mig_kit.progress import Progress, ProgressCallback
from mig_kit.runbook._session import Choice
from mig_kit.steps import generate as generate_step
from mig_kit.steps import review as review_step
from mig_kit.steps.in_the_way import InTheWay

if TYPE_CHECKING:
    from mig_kit.runbook._runbook import Runbook

__all__ = ["Interaction", "Quiet"]


class Interaction(Protocol):
    """What a notebook adds to a runbook: progress that is seen, and widgets that set choices."""

    def progress(self, step: str) -> contextlib.AbstractContextManager[ProgressCallback]:
        """Show the progress of one step while the context lasts."""

    def pick(self, runbook: Runbook) -> Any:
        """Return the picker for app and migration."""

    def questions(self, runbook: Runbook) -> Any:
        """Return the form for makemigrations' questions."""

    def checklist(self, runbook: Runbook) -> Any:
        """Return the form for the generated files' checklist."""

    def blockers(self, runbook: Runbook) -> Any:
        """Return the form for the sessions that hold locks."""


class Quiet:
    """The interaction that shows nothing and asks nothing: terminals, tests, scripts."""

    @contextlib.contextmanager
    def progress(self, step: str) -> Iterator[ProgressCallback]:
        """Take progress and drop it."""

        def drop(_: Progress) -> None:
            return None

        yield drop

    def pick(self, runbook: Runbook) -> Choice:
        """Return the choice as it stands."""
        return runbook.choice

    def questions(self, runbook: Runbook) -> tuple[review_step.Question, ...]:
        """Return the open questions."""
        return runbook.review_of_now().open_questions

    def checklist(self, runbook: Runbook) -> generate_step.Generated | None:
        """Return what was generated."""
        return runbook.generated

    def blockers(self, runbook: Runbook) -> InTheWay:
        """Return the sessions that hold locks."""
        return runbook.in_the_way()


for _each in (Interaction, Quiet):
    _each.__module__ = "mig_kit.runbook"
