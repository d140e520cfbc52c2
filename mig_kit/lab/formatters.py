"""Tell IPython how each result looks, so that results need not know about notebooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mig_kit.hazards.assessment import Assessment
from mig_kit.lab import views
from mig_kit.lab.blocks import View
from mig_kit.lab.html import to_html, to_markdown
from mig_kit.lab.style import stylesheet
from mig_kit.lab.text import to_text
from mig_kit.runbook import Finished, Runbook, Traceback
from mig_kit.steps.apply import Applied
from mig_kit.steps.backup import Backup
from mig_kit.steps.criteria import SuccessCriteria
from mig_kit.steps.fake import Faked, FakePlan
from mig_kit.steps.gates import Gates
from mig_kit.steps.generate import Generated
from mig_kit.steps.preflight import Preflight
from mig_kit.steps.preview import SqlPlan
from mig_kit.steps.rehearse import Rehearsal
from mig_kit.steps.rehearse_rollback import RollbackRehearsal
from mig_kit.steps.restore import RestoredBackup
from mig_kit.steps.review import ModelChanges
from mig_kit.steps.rollback import RollbackPlan, RolledBack
from mig_kit.steps.safer import Safer
from mig_kit.steps.unfinished import Unfinished
from mig_kit.steps.verify import Verification
from mig_kit.steps.verify_backup import BackupVerification

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["register_formatters", "widen_frames"]

_VIEWS: dict[type, Callable[[Any], View]] = {
    Applied: views.applied_view,
    Assessment: views.assessment_view,
    Backup: views.backup_view,
    BackupVerification: views.backup_verification_view,
    FakePlan: views.fake_view,
    Faked: views.faked_view,
    Finished: views.finished_view,
    Gates: views.gates_view,
    Generated: views.generated_view,
    ModelChanges: views.changes_view,
    Preflight: views.preflight_view,
    Rehearsal: views.rehearsal_view,
    RestoredBackup: views.restored_view,
    RollbackPlan: views.rollback_view,
    RolledBack: views.rolled_back_view,
    RollbackRehearsal: views.rollback_rehearsal_view,
    Runbook: views.runbook_view,
    Safer: views.safer_view,
    SqlPlan: views.sql_view,
    SuccessCriteria: views.criteria_view,
    Traceback: views.traceback_view,
    Unfinished: views.unfinished_view,
    Verification: views.verification_view,
}

# These are mostly source text. Their HTML has it in pygments' classes, which JupyterLab colours also in a notebook that
# it does not trust, and so do nbconvert and our report; where both are there, all three show the HTML. The Markdown,
# with the same text in fences, is for readers of notebooks that have no such stylesheet and highlight by themselves.
_FENCED = (Generated, ModelChanges, Safer, SqlPlan)


def register_formatters(shell: InteractiveShell) -> None:
    """Register HTML and plain text for every result, and Markdown for those that are mostly source text."""
    formatters = shell.display_formatter.formatters  # type: ignore[union-attr]
    for kind, view in _VIEWS.items():
        formatters["text/html"].for_type(kind, _html(view, styled=kind is Runbook))
        formatters["text/plain"].for_type(kind, _plain(view))
        if kind in _FENCED:
            formatters["text/markdown"].for_type(kind, _markdown(view))


def widen_frames() -> None:
    """Let pandas show migration names and tables of migrations in full, unless its options were set already.

    At pandas' defaults a name of more than 50 letters ends in dots, and the middle of ``rb.status()`` is left out.
    """
    import pandas

    for option, default, wider in (
        ("display.max_colwidth", 50, 200),
        ("display.max_rows", 60, 500),
        ("display.width", 80, 160),
    ):
        if pandas.get_option(option) == default:
            pandas.set_option(option, wider)


def _html(view: Callable[[Any], View], *, styled: bool) -> Callable[[Any], str]:
    def draw(result: Any) -> str:
        # The stylesheet stands in the document once, with the card of the target: the first thing a session shows.
        return (f"<style>{stylesheet()}</style>" if styled else "") + to_html(view(result))

    return draw


def _markdown(view: Callable[[Any], View]) -> Callable[[Any], str]:
    def draw(result: Any) -> str:
        return to_markdown(view(result))

    return draw


def _plain(view: Callable[[Any], View]) -> Callable[[Any, Any, bool], None]:
    def draw(result: Any, printer: Any, cycle: bool) -> None:
        # Within a list or a dict the short repr reads better than a page.
        printer.text(repr(result) if cycle or len(printer.stack) > 1 else to_text(view(result)))

    return draw
