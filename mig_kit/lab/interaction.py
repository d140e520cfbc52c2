"""What a notebook adds to a runbook: progress that is seen, and forms that set choices."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from mig_kit.lab.forms import Blockers, Checklist, Picker, QuestionForm
from mig_kit.lab.progress import step_progress
from mig_kit.progress import ProgressCallback

if TYPE_CHECKING:
    from mig_kit.runbook import Runbook

__all__ = ["NotebookInteraction"]


class NotebookInteraction:
    """The interaction of a notebook, with somebody at it or headless."""

    def progress(self, step: str) -> contextlib.AbstractContextManager[ProgressCallback]:
        """Show the progress of one step in the cell's output while the context lasts, and how it ended."""
        return step_progress(step)

    def pick(self, runbook: Runbook) -> Picker:
        """Return the picker for app and migration."""
        return Picker(runbook)

    def questions(self, runbook: Runbook) -> QuestionForm:
        """Return the form for makemigrations' questions."""
        return QuestionForm(runbook)

    def checklist(self, runbook: Runbook) -> Checklist:
        """Return the form for the generated files' checklist."""
        return Checklist(runbook)

    def blockers(self, runbook: Runbook) -> Blockers:
        """Return the form for the sessions that hold locks."""
        return Blockers(runbook)
