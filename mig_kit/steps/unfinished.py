"""An apply that did not end: how each of its migrations stands, and the one right way on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

__all__ = ["GO_BACK", "MigrationStanding", "Standing", "Unfinished", "Way"]

GO_BACK = "go back"
"""The step that takes back what was done of a half-done migration."""


class Standing(Enum):
    """How one migration of a plan stands."""

    NOT_STARTED = "not started"
    DONE = "done"
    PART_DONE = "part-done"
    UNCLEAR = "unclear"  # two things may have happened, and nothing tells which

    def __str__(self) -> str:
        return self.value


class Way(Enum):
    """How to go on from an apply that did not end."""

    GO_ON = "go on"
    """Every migration is done or not started: the rest is run as it was to be."""

    FINISH_RECORD = "finish the record"
    """A migration did all it does and is not recorded: that is made good, and the rest is run."""

    FINISH_REST = "finish the rest"
    """A migration is part-done: it is gone on with from the operation where it stands, and then the rest is run."""

    CHOOSE = "choose"
    """What cannot be told apart is shown with both explanations; somebody who knows has to say which holds."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class MigrationStanding:
    """State how one migration stands, and why.

    ``place``: where a part-done one is gone on with, as the worker takes it. ``choices``: of an unclear one, what one
    may say of it: the place to go on from, and what would have had to happen.
    """

    app: str
    name: str
    backwards: bool
    standing: Standing
    evidence: str
    place: Mapping[str, Any] | None = None
    choices: Mapping[str, tuple[Mapping[str, Any], str]] | None = None
    operation: str = ""

    def __str__(self) -> str:
        return f"{self.app}.{self.name}"


@dataclass(frozen=True, slots=True)
class Unfinished:
    """State an apply that did not end: what ran it, since when, and how each of its migrations stands.

    ``scope``: the app and name that it was for. ``fake``: it was to record only. ``other_databases``: its migrations
    were allowed to write to other databases of the project.
    """

    step: str
    journal: Path
    began: datetime
    by: str
    scope: tuple[str | None, str | None]
    migrations: tuple[MigrationStanding, ...]
    fake: bool = False
    other_databases: bool = False

    def __repr__(self) -> str:
        return f"<Unfinished {self.step} of {self.began:%Y-%m-%d %H:%M:%S} UTC: {self.way}>"

    @property
    def current(self) -> MigrationStanding | None:
        """The migration that is neither done nor not started, None where there is none."""
        open_ = (Standing.PART_DONE, Standing.UNCLEAR)
        return next((each for each in self.migrations if each.standing in open_), None)

    @property
    def rest(self) -> tuple[MigrationStanding, ...]:
        """What is not done, in order."""
        return tuple(each for each in self.migrations if each.standing is not Standing.DONE)

    @property
    def way(self) -> Way:
        """The one right way on."""
        current = self.current
        if current is None:
            return Way.GO_ON
        if current.standing is Standing.UNCLEAR:
            return Way.CHOOSE
        assert current.place is not None
        return Way.FINISH_RECORD if current.place.get("whole") else Way.FINISH_REST

    @property
    def next(self) -> str:
        """What to run, in a notebook's words."""
        current = self.current
        if self.way is not Way.CHOOSE or current is None:
            return "rb.resume()"
        ways = [f"rb.resume(choice={choice!r}) if {words}" for choice, (_, words) in (current.choices or {}).items()]
        return "; ".join(ways)

    @property
    def words(self) -> str:
        """Where it stands, in a sentence."""
        current = self.current
        began = f"The {self.step} of {self.began:%Y-%m-%d %H:%M} UTC did not end"
        if current is None:
            left = len(self.rest)
            return f"{began}: no migration is half done, {left} {'is' if left == 1 else 'are'} left to run."
        return f"{began}: {current} is {current.standing}: {current.evidence}."

    def to_frame(self) -> pandas.DataFrame:
        """Return one row a migration: migration, direction, standing, evidence, next."""
        import pandas

        rows = []
        for each in self.migrations:
            then = {Standing.DONE: "", Standing.NOT_STARTED: "is run"}.get(each.standing, self.next)
            direction = "backwards" if each.backwards else "forwards"
            rows.append((str(each), direction, str(each.standing), each.evidence, then))
        return pandas.DataFrame(rows, columns=["migration", "direction", "standing", "evidence", "next"])
