"""What people look at and click: how results look in a notebook, progress, pickers and forms."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mig_kit.runbook import Interaction

__all__ = ["connect"]


def connect() -> Interaction:
    """Teach the running IPython how results and errors look, and return what a runbook shows progress and asks with.

    As often as you like: what is registered is registered once. In a terminal's IPython nothing is asked and no
    progress shown. Raises UsageError outside IPython.
    """
    # Imported here, so that the command line, which needs other modules of this room, stays quick.
    from IPython.core.getipython import get_ipython

    from mig_kit.errors import UsageError
    from mig_kit.lab.failures import show_failures_briefly
    from mig_kit.lab.formatters import register_formatters, widen_frames
    from mig_kit.lab.interaction import NotebookInteraction
    from mig_kit.runbook import Quiet

    shell = get_ipython()
    if shell is None:
        raise UsageError("There is no IPython to connect to.", hint="open the runbook in a notebook")
    register_formatters(shell)
    show_failures_briefly(shell)
    widen_frames()
    return NotebookInteraction() if hasattr(shell, "kernel") else Quiet()
