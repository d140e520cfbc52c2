"""What a runbook shows before it does it: rollback and fake in two calls, and merge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mig_kit import errors
from mig_kit.runbook._gated import Gated
from mig_kit.steps import gate_facts, gate_judge
from mig_kit.steps.backup import Backup
from mig_kit.steps.fake import AGREES, Faked, FakePlan, initial_name, plan_fake, record_fake
from mig_kit.steps.gate_facts import database_key
from mig_kit.steps.merge import merge
from mig_kit.steps.plan_hash import HashedPlan, hash_plan
from mig_kit.steps.rehearse_rollback import RollbackRehearsal, rehearse_rollback
from mig_kit.steps.rollback import RollbackPlan, RolledBack, plan_rollback, roll_back, rollback_points

if TYPE_CHECKING:
    from mig_kit.runbook._interaction import Interaction
    from mig_kit.steps.generate import Generated

__all__ = ["ShownFirst"]


class ShownFirst(Gated):
    """The steps of a runbook that take something away or only say that it was done: shown first, then done."""

    interaction: Interaction
    answers: dict[str, Any]

    def rollback(
        self,
        app: str,
        name: str,
        confirm: str | None = None,
        *,
        acknowledge: Mapping[str, str] | None = None,
        override: Mapping[str, str] | None = None,
        other_databases: bool = False,
        lock_timeout_s: float = 0.5,
        give_up_after_s: float = 300.0,
        end_blockers: bool = False,
    ) -> RollbackPlan | RolledBack:
        """Take the migrations of ``app`` after ``name`` back; ``zero`` takes all of them.

        Without ``confirm`` it shows what would run, the data that will be lost and the gates, and changes nothing. With
        the name of the database as ``confirm``, in every stage, it does what was shown. ``acknowledge``, ``override``
        and the waiting for locks are as in ``apply``. Raises ``GateClosed`` where something on the way is irreversible,
        and ``ApplyFailed``.
        """
        with (
            self._step("rollback", app=app, name=name, shown=confirm is None) as outcome,
            self.interaction.progress("rollback") as progress,
        ):
            shown = plan_rollback(self.target, app, name)
            scope = f"{app!r}, {name!r}"
            asked = self._asked("rollback", shown.hashed, scope, rollback_points(shown), confirm)
            outcome["lost"] = [str(each) for each in shown.lost]
            self._answer(asked, acknowledge, override)
            if confirm is None:
                self._session.asked = asked
                if shown and not shown.irreversible:
                    self._note_shown("rollback", shown.hashed.lines, backwards=True)
                outcome["summary"] = f"shown: {len(shown.migrations)} migrations, {len(shown.lost)} losses"
                outcome["sql"] = shown.sql.text
                return replace(shown, gates=gate_judge.judge(self.target, self.facts, asked))
            shown.refuse()
            on_event = self._let_run(asked, outcome)
            try:
                result = roll_back(
                    self.target,
                    shown,
                    other_databases=other_databases,
                    waiting=self._waiting(lock_timeout_s, give_up_after_s, end_blockers),
                    journal=self.run.journal if self.run is not None else None,
                    progress=progress,
                    on_event=on_event,
                )
            finally:
                self._changed()
            outcome["summary"] = f"{len(result.applied.migrations)} migrations taken back"
            outcome["migrations"] = [str(each) for each in result.applied.migrations]
            return result

    def rehearse_rollback(self, app: str, name: str, *, other_databases: bool = False) -> RollbackRehearsal:
        """Take the migrations of ``app`` after ``name`` back on a restored copy, and return how that went.

        The copy is of the latest verified backup, which has to be of the database as it is now; that is not touched.
        """
        with (
            self._step("rehearse rollback", app=app, name=name) as outcome,
            self.interaction.progress("rehearse") as progress,
        ):
            plan = hash_plan(self.target, app, name)
            result = rehearse_rollback(self.target, app, name, other_databases=other_databases, progress=progress)
            self._note_way_back(plan, result)
            how = f"stopped at {result.failed}: {result.error}" if result.failed else "passed"
            outcome["summary"] = f"{len(result.planned)} migrations on {result.backup}: {how}"
            return result

    def _note_way_back(self, plan: HashedPlan, result: RollbackRehearsal) -> None:
        """Keep how it came out, unless a file was edited meanwhile."""
        backup = Backup.read(self.target.backups_folder / result.backup)
        files = {str(each): each.file_sha256 for each in plan.migrations}
        same = all(files.get(str(each)) == each.sha256 for each in result.migrations)
        if backup is None or not same or [*files] != [str(each) for each in result.planned]:
            return
        self.facts.add(
            gate_facts.REHEARSED,
            database_key(self.target),
            plan=plan.lines,
            backwards=True,
            backup=backup.checksum,
            backup_name=result.backup,
            passed=result.ok,
            mode="the way back",
            points=[],
            migrations={},
        )

    def fake(self, app: str, name: str, confirm: str | None = None, *, reason: str = "") -> FakePlan | Faked:
        """Record the migrations of ``app`` up to ``name`` as applied without running them; backwards, as not applied.

        Without ``confirm`` it shows what would be recorded and where the schema differs from that, and changes nothing.
        With the name of the database as ``confirm``, in every stage, it is recorded. Where the schema differs it is
        refused, unless ``reason`` says why it is right all the same. Raises ``GateClosed``.
        """
        with (
            self._step("fake", app=app, name=name, shown=confirm is None) as outcome,
            self.interaction.progress("fake") as progress,
        ):
            shown = plan_fake(self.target, app, name)
            asked = self._asked("fake", shown.hashed, f"{app!r}, {name!r}", (), confirm)
            outcome["differences"] = [str(each) for each in shown.differences]
            if confirm is None:
                self._session.asked = asked
                if shown:
                    self._note_shown("fake", shown.hashed.lines, backwards=shown.backwards)
                outcome["summary"] = f"shown: {len(shown.migrations)} records, {len(shown.differences)} differences"
                return replace(shown, gates=gate_judge.judge(self.target, self.facts, asked))
            shown.refuse(reason)
            on_event = self._let_run(asked, outcome)
            if shown.differences:
                outcome["reason"] = reason.strip()
                self._session.overridden.append(AGREES)
            try:
                journal = self.run.journal if self.run is not None else None
                result = record_fake(
                    self.target, shown, reason=reason, journal=journal, progress=progress, on_event=on_event
                )
            finally:
                self._changed()
            outcome["summary"] = f"{len(result.applied.migrations)} migrations recorded without being run"
            outcome["migrations"] = [str(each) for each in result.applied.migrations]
            return result

    def fake_initial(self, app: str, confirm: str | None = None, *, reason: str = "") -> FakePlan | Faked:
        """Record the initial migrations of ``app`` whose tables are there already; otherwise as ``fake``.

        Every column, index and constraint is compared, not names alone.
        """
        name = initial_name(self.target, app)
        if name is None:
            raise errors.UsageError(
                f"The initial migrations of {app} are recorded already.", hint=f"rb.status({app!r}) shows them"
            )
        return self.fake(app, name, confirm, reason=reason)

    def merge(
        self, answers: Mapping[str, Any] | None = None, confirm: str | None = None, *, name: str | None = None
    ) -> Generated:
        """Write a merge migration for each app with several leaf nodes, as ``makemigrations --merge`` does.

        While it is written no other session may migrate the database. Where a question has no answer,
        ``UnansweredQuestions`` shows the branches and nothing is written. Production asks for the name of the database.
        """
        given = {**self.answers, **(answers or {})}
        with self._step("merge") as outcome:
            self._let_run(self._asked("merge", HashedPlan(()), "", (), confirm), outcome)
            result = merge(self.target, answers=given, name=name)
            if result:
                self._session.generated.append(result)
                self._changed()
            outcome["answers"] = given
            outcome["summary"] = f"{len(result.files)} files" if result else "no app has several leaf nodes"
            outcome["files"] = {str(each.path): each.sha256 for each in result.files}
            return result
