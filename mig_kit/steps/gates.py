"""The gates: what must hold before a database is changed, each with its evidence and what to run to open it.

For ``production`` every gate is required. ``staging`` is where a plan is tried, on data that can be made again: there
what protects the people at the same database is required, and what makes the record, not the way back. For
``development`` none is required. All are shown everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

from mig_kit import errors
from mig_kit.postgres.migration_lock import GATE as NOBODY_ELSE
from mig_kit.postgres.pooling import GATE as DIRECT
from mig_kit.steps.gate_points import Point
from mig_kit.steps.plan_hash import HashedPlan

if TYPE_CHECKING:
    import pandas

__all__ = [
    "BACKED_UP",
    "DIRECT",
    "HAZARDS",
    "NAME_TYPED",
    "NOBODY_ELSE",
    "OLD_RELEASE",
    "OVERRIDABLE",
    "RECORD",
    "REHEARSED",
    "REVIEWED",
    "Gate",
    "GateState",
    "Gates",
    "gates_of",
    "overridable",
    "required_at",
]

REVIEWED = "reviewed"
BACKED_UP = "backed up and verified"
REHEARSED = "rehearsed"
HAZARDS = "hazards answered"
OLD_RELEASE = "old code considered"
NAME_TYPED = "name typed"
RECORD = "record writable"

_ALL = (REVIEWED, BACKED_UP, REHEARSED, HAZARDS, OLD_RELEASE, NOBODY_ELSE, DIRECT, NAME_TYPED, RECORD)
_REQUIRED = {
    "production": frozenset(_ALL),
    "staging": frozenset((REVIEWED, HAZARDS, NOBODY_ELSE, DIRECT, RECORD)),
    "development": frozenset[str](),
}
# A fake runs no SQL, and a merge changes no database: what is about statements has no meaning for them.
_OF_STEP = {
    "apply": _ALL,
    "rollback": _ALL,
    "fake": (REVIEWED, BACKED_UP, NOBODY_ELSE, DIRECT, NAME_TYPED, RECORD),
    "merge": (NOBODY_ELSE, DIRECT, NAME_TYPED, RECORD),
    # Its plan was let run already, and what is half done does not get better by waiting.
    "resume": (NOBODY_ELSE, DIRECT, NAME_TYPED, RECORD),
}
_POSTGRES_ONLY = frozenset((BACKED_UP, REHEARSED, HAZARDS, OLD_RELEASE, NOBODY_ELSE, DIRECT))
# What is shown first and acts when it is called again with the name of the database, whatever the stage.
_TWO_CALLS = frozenset(("rollback", "fake"))

OVERRIDABLE = (REVIEWED, BACKED_UP, REHEARSED, HAZARDS, OLD_RELEASE)
"""The gates that a reason can override. Of the others, no reason makes it safe to go on, and each is quickly opened."""


class GateState(Enum):
    """How a gate stands."""

    OPEN = "open"
    CLOSED = "closed"
    OVERRIDDEN = "overridden"  # closed, and somebody gave a reason to go on all the same

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Gate:
    """State one gate: how it stands, whether this stage requires it, the evidence and its time, what to run to open it.

    ``reason``: why it was overridden, '' where it was not. ``next``: '' where it is open.
    """

    name: str
    state: GateState
    required: bool
    evidence: str
    when: datetime | None = None
    next: str = ""
    reason: str = ""

    @property
    def refuses(self) -> bool:
        """Tell whether it keeps the step from running."""
        return self.required and self.state is GateState.CLOSED


@dataclass(frozen=True, slots=True)
class Gates:
    """State the gates before one step on one plan; true when none refuses.

    ``points``: what the plan asks of people, with the answers. ``plan``: its hash stands for it.
    """

    step: str
    stage: str
    plan: HashedPlan
    gates: tuple[Gate, ...]
    points: tuple[Point, ...] = ()

    def __repr__(self) -> str:
        closed = ", ".join(each.name for each in self.refusing)
        return f"<Gates of {self.step} in {self.stage}: {f'closed: {closed}' if closed else 'open'}>"

    def __bool__(self) -> bool:
        return not self.refusing

    @property
    def refusing(self) -> tuple[Gate, ...]:
        """The gates that keep the step from running."""
        return tuple(each for each in self.gates if each.refuses)

    @property
    def overridden(self) -> tuple[Gate, ...]:
        """The gates that somebody overrode."""
        return tuple(each for each in self.gates if each.state is GateState.OVERRIDDEN)

    def gate(self, name: str) -> Gate:
        """Return the gate of that name; ``KeyError`` where this step has none."""
        return {each.name: each for each in self.gates}[name]

    def to_frame(self) -> pandas.DataFrame:
        """Return one row a gate: gate, state, required, evidence, when (UTC), next step, reason of an override."""
        import pandas

        rows = [
            (each.name, str(each.state), each.required, each.evidence, each.when, each.next, each.reason)
            for each in self.gates
        ]
        columns = ["gate", "state", "required", "evidence", "when (UTC)", "next step", "reason"]
        frame = pandas.DataFrame(rows, columns=columns)
        frame["when (UTC)"] = pandas.to_datetime(frame["when (UTC)"], utc=True)
        return frame

    def points_frame(self) -> pandas.DataFrame:
        """Return one row a point: id, migration, what it says, evidence, the reason given for it, by, when (UTC)."""
        import pandas

        rows = [
            (each.id, each.migration, each.message, each.evidence, each.reason, each.by, each.at)
            for each in self.points
        ]
        columns = ["id", "migration", "says", "evidence", "acknowledged", "by", "when (UTC)"]
        frame = pandas.DataFrame(rows, columns=columns)
        frame["when (UTC)"] = pandas.to_datetime(frame["when (UTC)"], utc=True)
        return frame

    def as_record(self) -> dict[str, Any]:
        """Return it as the journal keeps it: each gate's state, with its evidence or the reason for its override."""
        words = {}
        for each in self.gates:
            why = f"{each.evidence} Overridden: {each.reason}" if each.reason else each.evidence
            words[each.name] = f"{each.state}: {why}"
        return words

    def refuse(self) -> None:
        """Raise ``GateClosed`` when a gate is closed: it names the first, its evidence and the next step."""
        if not self.refusing:
            return
        first, *others = self.refusing
        message = first.evidence if first.name == NAME_TYPED else f"The gate {first.name!r} is closed: {first.evidence}"
        if others:
            message += f" Closed as well: {', '.join(each.name for each in others)}."
        raise errors.GateClosed(message, gate=first.name, hint=first.next)


def gates_of(step: str, *, postgres: bool) -> tuple[str, ...]:
    """Return the names of a step's gates, in order."""
    return tuple(name for name in _OF_STEP[step] if postgres or name not in _POSTGRES_ONLY)


def required_at(stage: str, step: str) -> frozenset[str]:
    """Return the gates that a stage requires of a step; the name is typed for a rollback or a fake in every stage."""
    return _REQUIRED[stage] | (frozenset((NAME_TYPED,)) if step in _TWO_CALLS else frozenset())


def overridable(name: str, known: Sequence[str] = _ALL) -> str:
    """Return a gate's name for what was given, or raise ``UsageError``; a beginning that fits one gate is enough."""
    wanted = " ".join(name.lower().replace("_", " ").replace("-", " ").split())
    fitting = [each for each in known if each == wanted] or [
        each for each in known if wanted and each.startswith(wanted)
    ]
    if len(fitting) != 1:
        raise errors.UsageError(f"There is no gate {name!r}.", hint=f"choose one of: {', '.join(OVERRIDABLE)}")
    if fitting[0] not in OVERRIDABLE:
        raise errors.UsageError(
            f"The gate {fitting[0]!r} cannot be overridden: {_NEVER[fitting[0]]}.",
            hint="rb.gates() says what to run to open it",
        )
    return fitting[0]


_NEVER: Mapping[str, str] = {
    NOBODY_ELSE: "two sessions that migrate at once run everything twice",
    DIRECT: "behind such a pooler neither the lock nor the timeouts hold",
    NAME_TYPED: "typing the name opens it",
    RECORD: "nothing is done without a record",
}
