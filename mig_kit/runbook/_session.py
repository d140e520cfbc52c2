"""What a session holds: what was chosen, what the steps left behind, how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from mig_kit import errors
from mig_kit.steps import apply as apply_step
from mig_kit.steps import backup as backup_step
from mig_kit.steps import generate as generate_step
from mig_kit.steps import review as review_step
from mig_kit.steps import verify as verify_step
from mig_kit.steps.gate_facts import Fact
from mig_kit.steps.gate_judge import Asked
from mig_kit.steps.gates import Gates

__all__ = ["Choice", "Finished", "Session", "Tick", "Traceback"]


@dataclass(frozen=True, slots=True)
class Choice:
    """What the picker holds: an app, and one of its migrations; None for all pending ones."""

    app: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """Where the record of a session lies."""

    folder: Path
    journal: Path
    report: Path
    notebook: Path | None
    result: str


@dataclass(frozen=True, slots=True)
class Tick:
    """One line of the "What to check" list that a person ticked, for one migration (``app.name``)."""

    migration: str
    check: str


@dataclass(frozen=True, slots=True)
class Traceback:
    """The traceback of the last error that nobody caught; where the project's side raised, its own comes first."""

    text: str

    def __repr__(self) -> str:
        return self.text


@dataclass
class Session:
    """What the steps so far left behind for the later ones."""

    changes: review_step.ModelChanges | None = None
    backup: backup_step.Backup | None = None
    generated: list[generate_step.Generated] = field(default_factory=list)
    previewed: dict[tuple[str | None, str | None], tuple[apply_step.PlannedMigration, ...]] = field(
        default_factory=dict
    )
    attempts: list[apply_step.Applied | errors.ApplyFailed] = field(default_factory=list)
    verification: verify_step.Verification | None = None
    to_end: set[tuple[int, datetime | None]] = field(default_factory=set)  # sessions, when they are in the way
    asked: Asked | None = None  # what was shown last and waits for its second call
    overrides: dict[tuple[str, str], Fact] = field(default_factory=dict)  # (step, gate) → the reason
    gates: Gates | None = None  # as they stood when a step was last let run or refused
    overridden: list[str] = field(default_factory=list)  # gates that a step ran through all the same


for _each in (Choice, Finished, Tick, Traceback):
    _each.__module__ = "mig_kit.runbook"
