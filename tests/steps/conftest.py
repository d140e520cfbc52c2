"""Each step is tested on copies of the demo project, on a real PostgreSQL 18."""

from __future__ import annotations

from tests.steps.projects import copies, opened, project, shared, target, template
from tests.steps.rehearsing import stage

__all__ = ["copies", "opened", "project", "shared", "stage", "target", "template"]
