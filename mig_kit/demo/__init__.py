"""The portfolio backend: a small real Django project on a server of its own, for onboarding and for tests.

Its layout and names are those of the migration runbook. It comes with a migration history that is applied,
half a million rows, and model changes that nobody has made migrations for yet.
"""

from __future__ import annotations

from mig_kit.demo.build import create_demo, open_demo, stop_demo
from mig_kit.demo.home import Demo, is_demo

__all__ = ["Demo", "create_demo", "is_demo", "open_demo", "stop_demo"]
