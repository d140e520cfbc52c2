"""Errors in a cell: what happened and the next step, without forty lines of traceback."""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any

from mig_kit.errors import MigKitError, UnansweredQuestions
from mig_kit.lab.blocks import visible
from mig_kit.record import redact

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["FULL_TRACEBACK", "show_failures_briefly"]

# Set to anything, it brings the whole traceback back: for a run whose kernel cannot be asked afterwards.
FULL_TRACEBACK = "MIG_KIT_TRACEBACK"

_RED, _BOLD, _DIM, _OFF = "\x1b[1;31m", "\x1b[1m", "\x1b[2m", "\x1b[0m"


def show_failures_briefly(shell: InteractiveShell) -> None:
    """Have MigKitErrors shown as one block; the cell has failed all the same, so Run All and papermill stop.

    The traceback stays at hand: ``%tb``, ``rb.traceback()``, or MIG_KIT_TRACEBACK in the environment.
    """
    shell.set_custom_exc((MigKitError,), _show)  # type: ignore[no-untyped-call]


def _show(
    shell: Any,
    kind: type[MigKitError],
    error: MigKitError,
    trace: TracebackType | None,
    tb_offset: int | None = None,
) -> list[str]:
    """Show an error the way IPython shows its own: as the cell's error output."""
    # What %tb and a debugger look at; IPython sets it in the method that this handler stands in for.
    sys.last_type, sys.last_value, sys.last_traceback = kind, error, trace
    lines = brief(kind, error)
    if os.environ.get(FULL_TRACEBACK):
        lines = [redact(each) for each in shell.InteractiveTB.structured_traceback(kind, error, trace, tb_offset)]
    shell._showtraceback(kind, error, lines)
    return lines


def brief(kind: type[MigKitError], error: MigKitError) -> list[str]:
    """Return an error in lines: its name and message, the next step, where the rest is."""
    lines = [f"{_RED}{kind.__name__}{_OFF}: {visible(redact(error.message))}"]
    if error.hint:
        lines.append(f"{_BOLD}Next:{_OFF} {visible(redact(error.hint))}")
    if isinstance(error, UnansweredQuestions):
        lines.append("  or answer in the form of rb.questions(), and run this cell again")
    where = (
        "rb.traceback() shows the project's traceback" if getattr(error, "traceback", "") else "%tb shows the traceback"
    )
    lines.append(f"{_DIM}({where}){_OFF}")
    return lines
