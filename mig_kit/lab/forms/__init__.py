"""Forms: what a person chooses or answers, written into the runbook; the steps themselves are run by cells."""

from __future__ import annotations

from mig_kit.lab.forms.blockers import Blockers
from mig_kit.lab.forms.checklist import Checklist
from mig_kit.lab.forms.form import Form
from mig_kit.lab.forms.picker import Picker
from mig_kit.lab.forms.questions import QuestionForm

__all__ = ["Blockers", "Checklist", "Form", "Picker", "QuestionForm"]
