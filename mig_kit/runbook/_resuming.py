"""What a runbook does with an apply that an earlier session left unfinished."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mig_kit import errors
from mig_kit.runbook._gated import Gated
from mig_kit.steps import apply as apply_step
from mig_kit.steps import resume as resume_step
from mig_kit.steps.last_apply import left_open
from mig_kit.steps.plan_hash import HashedPlan
from mig_kit.steps.unfinished import Unfinished

if TYPE_CHECKING:
    from mig_kit.runbook._interaction import Interaction

__all__ = ["Resuming"]


class Resuming(Gated):
    """The steps of a runbook that find what was left unfinished and finish it."""

    interaction: Interaction

    @property
    def left(self) -> str:
        """What the journals say was not ended, in a sentence, '' where nothing was; the database is not asked."""
        info = self.target.info
        if info is None:
            return ""
        also: list[Path] = [self.run.journal.path] if self.run is not None else []
        found = left_open(self.target.project.root, info.dbname, also)
        if found is None:
            return ""
        by = found.announced.data.get("by", "somebody")
        began = f"The {found.step} of {found.at:%Y-%m-%d %H:%M} UTC, by {by}"
        return f"{began}, has not ended: rb.unfinished() shows where it stands."

    def unfinished(self) -> Unfinished | None:
        """Return where the last apply, rollback or fake stands when it did not end; None when nothing is unfinished.

        Read-only: each migration by the journal, by ``django_migrations`` and by the schema, and the one right way on.
        """
        with self._step("unfinished") as outcome:
            journal = self.run.journal if self.run is not None else None
            found = resume_step.look(self.target, journal=journal)
            outcome["summary"] = found.words if found is not None else "nothing was left unfinished"
            return found

    def resume(
        self,
        confirm: str | None = None,
        *,
        choice: str | None = None,
        back: bool | None = None,
        lock_timeout_s: float = 0.5,
        give_up_after_s: float = 300.0,
        end_blockers: bool = False,
    ) -> apply_step.Applied:
        """Finish what was left unfinished, and the rest of its plan, the way that ``unfinished`` shows.

        With ``back`` what is done of a half-done migration is taken back instead; ``back=False`` turns round again.
        ``choice``: which explanation holds, where ``unfinished`` shows more than one; ``'undone'`` says that somebody
        put the database back by hand. In production the name of the database has to be given as ``confirm``. Waiting
        for locks is as in ``apply``. Raises ``UsageError``, ``GateClosed`` and ``ApplyFailed``.
        """
        with (
            self._step("resume", choice=choice, back=back) as outcome,
            self.interaction.progress("resume") as progress,
        ):
            self._let_run(self._asked("resume", HashedPlan(()), "", (), confirm), outcome)
            try:
                result = resume_step.resume(
                    self.target,
                    choice=choice,
                    back=back,
                    waiting=self._waiting(lock_timeout_s, give_up_after_s, end_blockers),
                    journal=self.run.journal if self.run is not None else None,
                    progress=progress,
                )
            except errors.ApplyFailed as exc:
                self._session.attempts.append(exc)
                outcome["applied"] = exc.applied
                raise
            finally:
                self._changed()
            self._session.attempts.append(result)
            outcome["summary"] = f"{len(result.migrations)} migrations finished in {result.duration_s:.2f} s"
            outcome["migrations"] = [str(each) for each in result.migrations]
            return result
