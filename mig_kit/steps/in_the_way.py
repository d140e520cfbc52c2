"""Who would be in the way of a migration now: the sessions whose open transactions hold locks on tables."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mig_kit.postgres.blockers import Holding, sessions_on_tables
from mig_kit.steps.target import Target

if TYPE_CHECKING:
    import pandas

__all__ = ["InTheWay", "in_the_way"]


@dataclass(frozen=True, slots=True)
class InTheWay:
    """State the sessions that hold locks on tables at one moment, the longest transaction first."""

    sessions: tuple[Holding, ...]

    def __repr__(self) -> str:
        return f"<InTheWay: {len(self.sessions)} sessions>"

    def __bool__(self) -> bool:
        return bool(self.sessions)

    def to_frame(self) -> pandas.DataFrame:
        """Return one row a session: process, role, application, address, state, seconds, tables, query."""
        import pandas

        rows = [
            (s.pid, s.role, s.application, s.address, s.state, s.seconds, ", ".join(each.tables), s.query)
            for each in self.sessions
            for s in (each.session,)
        ]
        columns = ["process", "role", "application", "address", "state", "seconds", "tables", "query"]
        return pandas.DataFrame(rows, columns=columns)


def in_the_way(target: Target) -> InTheWay:
    """Return the sessions of others that hold locks on tables of the database now. Read-only."""
    with contextlib.closing(target.connect("blockers")) as connection:
        return InTheWay(sessions_on_tables(connection))
