"""The runbook: opens a target, offers the steps in order, keeps the journal."""

from mig_kit.runbook._interaction import Interaction, Quiet
from mig_kit.runbook._open import RUN_FOLDER, open_runbook
from mig_kit.runbook._runbook import Runbook
from mig_kit.runbook._session import Choice, Finished, Tick, Traceback

__all__ = [
    "RUN_FOLDER",
    "Choice",
    "Finished",
    "Interaction",
    "Quiet",
    "Runbook",
    "Tick",
    "Traceback",
    "open_runbook",
]
