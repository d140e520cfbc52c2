"""How each result looks: one function a result, from its facts to the blocks of a view."""

from __future__ import annotations

from mig_kit.lab.views.applied import applied_view
from mig_kit.lab.views.assessment import assessment_view
from mig_kit.lab.views.backup import backup_view
from mig_kit.lab.views.changes import changes_view
from mig_kit.lab.views.fake import fake_view, faked_view
from mig_kit.lab.views.gates import gates_view
from mig_kit.lab.views.generated import generated_view
from mig_kit.lab.views.rehearsal import rehearsal_view
from mig_kit.lab.views.rollback import rollback_rehearsal_view, rollback_view, rolled_back_view
from mig_kit.lab.views.safer import safer_view
from mig_kit.lab.views.session import criteria_view, finished_view, preflight_view, runbook_view, traceback_view
from mig_kit.lab.views.sql import sql_view
from mig_kit.lab.views.unfinished import unfinished_view
from mig_kit.lab.views.verification import verification_view
from mig_kit.lab.views.verified_backup import backup_verification_view, restored_view

__all__ = [
    "applied_view",
    "assessment_view",
    "backup_verification_view",
    "backup_view",
    "changes_view",
    "criteria_view",
    "fake_view",
    "faked_view",
    "finished_view",
    "gates_view",
    "generated_view",
    "preflight_view",
    "rehearsal_view",
    "restored_view",
    "rollback_rehearsal_view",
    "rollback_view",
    "rolled_back_view",
    "runbook_view",
    "safer_view",
    "sql_view",
    "traceback_view",
    "unfinished_view",
    "verification_view",
]
