"""Rehearse: run the plan on a restored copy, forwards, backwards and forwards again, and measure each statement."""

from __future__ import annotations

from mig_kit.steps._rehearsal import Outcome, Rehearsal, RehearsalMode, RehearsedMigration
from mig_kit.steps._rehearsed_statement import Extrapolated, Observed, RehearsedLock, RehearsedStatement
from mig_kit.steps._way_back import BackOutcome, Loss, ValuesChanged, WayBack

__all__ = [
    "BackOutcome",
    "Extrapolated",
    "Loss",
    "Observed",
    "Outcome",
    "Rehearsal",
    "RehearsalMode",
    "RehearsedLock",
    "RehearsedMigration",
    "RehearsedStatement",
    "ValuesChanged",
    "WayBack",
]
