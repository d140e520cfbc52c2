"""The part of a runbook that rewrites a pending migration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mig_kit.runbook._gated import Gated
from mig_kit.steps import safer as safer_step

if TYPE_CHECKING:
    from mig_kit.runbook._interaction import Interaction

__all__ = ["Rewriting"]


class Rewriting(Gated):
    """The step of a runbook that offers safe migrations in place of a pending one."""

    interaction: Interaction

    def safer(self, app: str, name: str, *, write: bool = False) -> safer_step.Safer:
        """Return the safe migrations to write instead of a pending one, rehearsed on a restored copy as that one is.

        They lie in a private folder until ``write=True``, or ``write()`` of the result, puts them in its place: only
        when they come to the same schema and the same state of the models. An applied migration is never replaced.
        """
        with (
            self._step("safer", app=app, name=name) as outcome,
            self.interaction.progress("safer") as progress,
        ):
            result = safer_step.safer(self.target, app, name, progress=progress)
            outcome["summary"] = result.words
            outcome["left"] = list(result.left)
            if write and result:
                written = result.write()
                outcome["files"] = {str(path): safer_step.digest(path) for path in written}
                outcome["summary"] = f"{result.words}; written"
                self._session.verification = None
            return result
