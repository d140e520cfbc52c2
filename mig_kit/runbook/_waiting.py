"""What a runbook knows of those who hold locks, and whom a step may end when they are in its way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mig_kit.runbook._gated import Gated
from mig_kit.steps.in_the_way import InTheWay, in_the_way

if TYPE_CHECKING:
    from mig_kit.postgres.blockers import Session as ServerSession
    from mig_kit.runbook._interaction import Interaction

__all__ = ["WaitingForLocks"]


class WaitingForLocks(Gated):
    """Show who holds locks, and keep who may be ended; a step ends them only when it has to wait for them."""

    interaction: Interaction

    def in_the_way(self) -> InTheWay:
        """Return the sessions of others that hold locks on tables now. Read-only."""
        return in_the_way(self.target)

    def blockers(self) -> Any:
        """Return the form to choose whom a step may end; outside a notebook, the sessions that hold locks now."""
        return self.interaction.blockers(self)  # type: ignore[arg-type]

    def is_to_end(self, session: ServerSession) -> bool:
        """Tell whether this very session was chosen to be ended when it is in the way."""
        return session.key in self._session.to_end

    def choose_to_end(self, session: ServerSession, end: bool = True) -> None:
        """Choose that apply, rollback and resume may end a session when it is in the way, or take that back."""
        if end == self.is_to_end(session):
            return
        (self._session.to_end.add if end else self._session.to_end.discard)(session.key)
        if self.run is not None:
            self.run.journal.append("blocker", session=str(session), may_be_ended=end)
