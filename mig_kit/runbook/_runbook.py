"""The thin thread: offers the steps in order, keeps the journal."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mig_kit import errors
from mig_kit._version import __version__
from mig_kit.record import RunFolder, redact, write_report
from mig_kit.runbook._backed import Backed
from mig_kit.runbook._interaction import Interaction, Quiet
from mig_kit.runbook._resuming import Resuming
from mig_kit.runbook._rewriting import Rewriting
from mig_kit.runbook._session import Choice, Finished, Session, Tick, Traceback
from mig_kit.runbook._shown_first import ShownFirst
from mig_kit.runbook._waiting import WaitingForLocks
from mig_kit.runbook._who import commit_of, user_name
from mig_kit.steps import apply as apply_step
from mig_kit.steps import backups as backups_step
from mig_kit.steps import check_plan as check_step
from mig_kit.steps import generate as generate_step
from mig_kit.steps import preflight as preflight_step
from mig_kit.steps import preview as preview_step
from mig_kit.steps import rehearse as rehearse_step
from mig_kit.steps import review as review_step
from mig_kit.steps import status as status_step
from mig_kit.steps import verify as verify_step
from mig_kit.steps.criteria import SuccessCriteria, success_criteria
from mig_kit.steps.target import Target

if TYPE_CHECKING:
    import pandas

    from mig_kit.hazards.assessment import Assessment
    from mig_kit.postgres import ConnectionInfo
    from mig_kit.steps.rehearse import Rehearsal

__all__ = ["Runbook"]


class Runbook(Backed, Resuming, Rewriting, ShownFirst, WaitingForLocks):
    """One migration session on one database of one project: the steps in order, and the record of them.

    Open one with ``mig_kit.open_runbook``. Each method is a step and returns its result; each is written to the
    journal with its outcome. ``answers``, ``choice`` and ``ticks`` hold what widgets or the caller chose.
    Not thread-safe.
    """

    def __init__(
        self,
        target: Target,
        *,
        run: RunFolder | None = None,
        interaction: Interaction | None = None,
        remember: bool = False,
    ) -> None:
        self.target = target
        self.interaction: Interaction = interaction or Quiet()
        self.answers: dict[str, Any] = {}
        self.choice = Choice()
        self.ticks: set[Tick] = set()
        self.run = run
        self._session = Session()
        self._remember = remember
        if run is not None:
            run.journal.append("session opened", **self._facts())

    def __repr__(self) -> str:
        return f"<Runbook {self.target.summary}>"

    def __enter__(self) -> Runbook:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker; the record stays as it is."""
        self.target.close()

    def _facts(self) -> dict[str, Any]:
        target = self.target
        return {
            "project": str(target.project.root),
            "database": f"{target.database}: {target.info.dbname}" if target.info else target.database,
            "server": target.info.address if target.info else target.vendor,
            "stage": target.stage,
            "user": user_name(),
            "host": socket.gethostname(),
            "commit": commit_of(target.project.root),
            "mig_kit": __version__,
            "python": target.python,
            "django": target.django,
        }

    @contextlib.contextmanager
    def _step(self, step: str, **facts: Any) -> Iterator[dict[str, Any]]:
        """Write a step's start and its end to the journal; the dict given takes facts for the end."""
        outcome: dict[str, Any] = {}
        journal = self.run.journal if self.run is not None else None
        if journal is not None:
            journal.append("step started", step=step, **facts)
        clock = time.perf_counter()
        try:
            self.target.refresh()
            yield outcome
        except BaseException as exc:
            if journal is not None:
                message = getattr(exc, "message", None) or f"{type(exc).__name__}: {exc}".rstrip(": ")
                with contextlib.suppress(errors.RecordError):
                    took = round(time.perf_counter() - clock, 3)
                    journal.append("step failed", step=step, error=redact(message), duration_s=took, **outcome)
            raise
        if journal is not None:
            took = round(time.perf_counter() - clock, 3)
            journal.append("step finished", step=step, duration_s=took, **outcome)

    # The steps, in the runbook's order.

    def preflight(self) -> preflight_step.Preflight:
        """Check the runbook's prerequisites one by one. Read-only."""
        with self._step("preflight") as outcome:
            result = preflight_step.preflight(self.target)
            outcome["summary"] = "ready" if result else repr(result)
            return result

    def review(
        self, *, apps: Sequence[str] | None = None, answers: Mapping[str, Any] | str | None = None
    ) -> review_step.ModelChanges:
        """Step 1: return the model changes that have no migration yet, and makemigrations' questions.

        ``apps`` limits it to those; ``answers`` (a mapping of ids, or the same as JSON text) are kept for generate.
        """
        self.answers.update(_mapping(answers, "answers"))
        with self._step("review") as outcome:
            result = review_step.review(self.target, apps=apps, answers=self.answers)
            self._session.changes = result
            count = len(result.operations)
            outcome["summary"] = f"{count} operations in {', '.join(result.apps)}" if count else "no changes detected"
            outcome["operations"] = [f"{each.app}: {each.description}" for each in result.operations]
            return result

    def review_of_now(self) -> review_step.ModelChanges:
        """Return the review with the answers as they stand, without an entry in the journal."""
        return review_step.review(self.target, answers=self.answers)

    def questions(self) -> Any:
        """Return the form for makemigrations' questions; outside a notebook, the open questions."""
        return self.interaction.questions(self)

    def generate(
        self,
        answers: Mapping[str, Any] | str | None = None,
        *,
        apps: Sequence[str] | None = None,
        name: str | None = None,
    ) -> generate_step.Generated:
        """Step 3: write the migration files and check them.

        ``answers`` (a mapping of ids, or the same as JSON text) add to those that widgets gave.
        """
        self.answers.update(_mapping(answers, "answers"))
        with self._step("generate") as outcome:
            result = generate_step.generate(self.target, answers=self.answers, apps=apps, name=name)
            outcome["answers"] = dict(self.answers)
            if result:
                self._session.generated.append(result)
                self.answers = {}  # they are in the files now; a later review would wonder at them
                self._session.verification = None
            outcome["summary"] = (
                f"{len(result.files)} files, {len(result.findings)} findings" if result else "nothing to generate"
            )
            outcome["files"] = {str(each.path): each.sha256 for each in result.files}
            outcome["findings"] = [f"{each.id} {each.message}" for each in result.findings]
            return result

    def undo_generate(self) -> tuple[Path, ...]:
        """Remove the files that the last ``generate`` wrote: only those, only while unapplied and unedited."""
        if not self._session.generated:
            raise errors.UsageError("This session has generated no files.", hint="remove others by hand")
        with self._step("undo generate") as outcome:
            removed = generate_step.undo(self.target, self._session.generated[-1])
            self._session.generated.pop()
            self._session.verification = None
            outcome["summary"] = f"{len(removed)} files removed"
            outcome["files"] = [str(each) for each in removed]
            return removed

    @property
    def generated(self) -> generate_step.Generated | None:
        """What the last ``generate`` wrote, or None."""
        return self._session.generated[-1] if self._session.generated else None

    def checklist(self) -> Any:
        """Return the form to tick the generated files off; outside a notebook, what was generated."""
        return self.interaction.checklist(self)

    def tick(self, migration: str, check: str, ticked: bool = True) -> None:
        """Note that a person looked: one line of the checklist for one migration, or take that back."""
        tick = Tick(migration, check)
        if ticked == (tick in self.ticks):
            return
        (self.ticks.add if ticked else self.ticks.discard)(tick)
        if self.run is not None:
            self.run.journal.append("checklist", migration=migration, check=check, ticked=ticked)

    def pick(self, app: str | None = None, name: str | None = None) -> Any:
        """Return the picker for app and migration; ``choice`` holds what it chose.

        ``app`` and ``name`` choose right away; empty ones leave the choice as it is, which is all pending at first.
        """
        if app or name:
            self.choice = Choice(app or None, name or None)
        return self.interaction.pick(self)

    def preview(
        self, app: str | None = None, name: str | None = None, *, backwards: bool = False
    ) -> preview_step.SqlPlan:
        """Step 4: return the SQL of all pending migrations, an app's, or one, forwards or backwards."""
        with self._step("preview", app=app, name=name, backwards=backwards) as outcome, self._showing() as shown_now:
            result = preview_step.preview(self.target, app, name, backwards=backwards, hazards=True)
            if name is None and not backwards:
                shown = [apply_step.PlannedMigration(each.app, each.name) for each in result.migrations]
                self._session.previewed[app, None] = tuple(shown)
            if not backwards:
                shown_now([(each.app, each.name) for each in result.migrations])
            count = sum(len(each.statements) for each in result.migrations)
            outcome["summary"] = f"{len(result.migrations)} migrations, {count} statements"
            outcome["sql"] = result.text
            if result.assessment is not None:
                outcome["assessment"] = result.assessment.as_json()
            return result

    def check(self, app: str | None = None, name: str | None = None, *, ask_database: bool = True) -> Assessment:
        """Return what the pending migrations, an app's, or one would do to a live database; runs none of it.

        With ``ask_database=False`` it follows from the migrations alone, for tables of any size.
        """
        with self._step("check", app=app, name=name) as outcome:
            result = check_step.check_plan(self.target, app, name, ask_database=ask_database)
            outcome["summary"] = f"{len(result.migrations)} migrations, {len(result.hazards)} hazards"
            outcome["assessment"] = result.as_json()
            return result

    def rehearse(
        self,
        app: str | None = None,
        name: str | None = None,
        *,
        backwards: bool = True,
        mode: str | None = None,
        limit_bytes: int | None = None,
        scratch: str | ConnectionInfo | None = None,
        without_extensions: bool = False,
        other_databases: bool = False,
    ) -> Rehearsal:
        """Run all pending migrations, an app's, or those up to one, on a restored copy, and return what each did.

        The copy is of the latest verified backup. Unless ``backwards`` is False each migration is taken back there, as
        far as it can be, and run again. The database itself is not touched. Where a copy does not fit the disk, or
        ``limit_bytes``, it has the tables that are touched, or samples; ``mode`` says which ("full", "affected tables",
        "samples"). ``scratch`` and ``without_extensions`` are as in ``verify_backup``.
        """
        with (
            self._step("rehearse", app=app, name=name) as outcome,
            self.interaction.progress("rehearse") as progress,
            self._rehearsing(app, name) as rehearsed,
        ):
            result = rehearse_step.rehearse(
                self.target,
                app,
                name,
                backwards=backwards,
                mode=mode,
                limit_bytes=limit_bytes,
                scratch=scratch,
                without_extensions=without_extensions,
                other_databases=other_databases,
                progress=progress,
            )
            rehearsed(result)
            passed = "passed" if result.ok else "did not pass"
            outcome["summary"] = f"{len(result.migrations)} migrations on {result.backup}: {passed}"
            outcome["assessment"] = result.as_json()
            return result

    def apply(
        self,
        app: str | None = None,
        name: str | None = None,
        confirm: str | None = None,
        *,
        acknowledge: Mapping[str, str] | None = None,
        override: Mapping[str, str] | None = None,
        other_databases: bool = False,
        lock_timeout_s: float = 0.5,
        give_up_after_s: float = 300.0,
        end_blockers: bool = False,
    ) -> apply_step.Applied:
        """Step 5: apply all pending migrations, an app's, or those up to one.

        A lock that is not to be had within ``lock_timeout_s`` is tried again, later and later, for ``give_up_after_s``;
        who holds it is shown, and ended only with ``end_blockers``. What this stage requires of ``gates()`` has to be
        open; in production that includes the name of the database (without PostgreSQL: its alias) as ``confirm``.
        ``acknowledge`` (finding → reason) and ``override`` (gate → reason) do first what the steps of those names do.
        When the plan is another one than the preview of the same scope showed, it is refused. Raises ``GateClosed``
        and ``ApplyFailed``.
        """
        session = self._session
        with (
            self._step("apply", app=app, name=name) as outcome,
            self.interaction.progress("apply") as progress,
        ):
            on_event = self._let_apply(app, name, confirm, outcome, acknowledge, override)
            held = self._as_rehearsed()
            try:
                result = apply_step.apply(
                    self.target,
                    app,
                    name,
                    expected=session.previewed.get((app, name)),
                    other_databases=other_databases,
                    waiting=self._waiting(lock_timeout_s, give_up_after_s, end_blockers),
                    checked=held,
                    expected_ms=held.expected_ms if held is not None else None,
                    journal=self.run.journal if self.run is not None else None,
                    progress=progress,
                    on_event=on_event,
                )
            except errors.ApplyFailed as exc:
                self._ran(exc)
                outcome["applied"] = exc.applied
                raise
            self._ran(result)
            outcome["summary"] = f"{len(result.migrations)} migrations applied in {result.duration_s:.2f} s"
            outcome["migrations"] = [str(each) for each in result.migrations]
            return result

    def _ran(self, attempt: apply_step.Applied | errors.ApplyFailed) -> None:
        """Keep how an apply came out; the database is another one now, so what was shown of it before is void."""
        self._session.attempts.append(attempt)
        if attempt:  # with nothing pending, everything is as it was
            self._session.previewed.clear()
            self._session.verification = None

    def verify(
        self, *, apps: Sequence[str] | None = None, queries: Mapping[str, str] | str | None = None
    ) -> verify_step.Verification:
        """Step 6: check that all is applied and that models, admin, rows and the user's own queries hold.

        ``queries``: name → SELECT, or the same as JSON text.
        """
        queries = _mapping(queries, "queries")
        with self._step("verify") as outcome, self.interaction.progress("verify") as progress:
            backup = self._session.backup
            if backup is None and self.target.info is not None:  # an earlier session's
                backup = backups_step.latest_backup(self.target)
            result = verify_step.verify(
                self.target, apps=apps or self._affected(), backup=backup, queries=queries, progress=progress
            )
            self._session.verification = result
            outcome["summary"] = result.summary
            outcome["checks"] = {each.name: f"{each.state}: {each.detail}" for each in result.checks}
            return result

    def _affected(self) -> list[str] | None:
        """The apps whose migrations this session applied, with the project's own; None where it applied none."""
        done = [each for each in self._session.attempts if isinstance(each, apply_step.Applied)]
        applied = {each.app for result in done for each in result.migrations} & set(self.target.apps)
        return sorted(applied | set(self.target.own_apps)) if applied else None

    def status(self, app: str | None = None) -> pandas.DataFrame:
        """Return showmigrations as a DataFrame."""
        return status_step.status(self.target, app)

    def history(self) -> pandas.DataFrame:
        """Return ``django_migrations`` as a DataFrame, in the order it was written."""
        return status_step.history(self.target)

    def query(
        self, sql: str, params: Sequence[Any] | Mapping[str, Any] | None = None, *, timeout_s: float = 30
    ) -> pandas.DataFrame:
        """Run one SELECT in a READ ONLY transaction with a timeout in seconds; return a DataFrame."""
        self.target.refresh()
        return status_step.query(self.target, sql, params, timeout_s=timeout_s)

    def success_criteria(self) -> SuccessCriteria:
        """Return the runbook's success criteria, each with the evidence of this session."""
        session = self._session
        return success_criteria(session.changes, session.generated, session.attempts, session.verification)

    def traceback(self) -> Traceback:
        """Return the traceback of the last error: what a step's short message leaves out."""
        error: BaseException | None = getattr(sys, "last_value", None)
        if error is None:
            return Traceback("No error was raised.")
        own = "".join(traceback.format_exception(error))
        project = str(getattr(error, "traceback", "")).strip()
        text = f"In the project's interpreter:\n\n{project}\n\nHere:\n\n{own}" if project else own
        return Traceback(redact(text))

    def finish(self) -> Finished:
        """Close the record: the journal's last entry, and the HTML report of the notebook as it is on disk."""
        if self.run is None:
            raise errors.RecordError(
                "This runbook keeps no record.", hint="open it with record=True, before the first step"
            )
        verification = self._session.verification
        if verification is None:
            result = "finished without verification"
        else:
            result = "finished, verified" if verification else "finished, verification failed"
        if self._session.overridden:
            result += f"; gates overridden: {', '.join(dict.fromkeys(self._session.overridden))}"
        self.run.journal.append("session finished", result=result)
        notebook = self.run.notebook_path if self.run.notebook_path.exists() else None
        write_report(self.run.notebook_path, self.run.journal, self.run.report_path)
        return Finished(self.run.path, self.run.journal.path, self.run.report_path, notebook, result)


def _mapping(given: Mapping[str, Any] | str | None, what: str) -> dict[str, Any]:
    """Return a mapping that is given as one or, as papermill and the command line pass it, as JSON text."""
    if not isinstance(given, str):
        return dict(given or {})
    try:
        read = json.loads(given) if given.strip() else {}
    except ValueError as exc:
        raise errors.UsageError(f"The {what} are no JSON: {exc}.", hint='write {"the id": value}') from None
    if not isinstance(read, dict):
        raise errors.UsageError(f"The {what} are no mapping: {given}.", hint='write {"the id": value}')
    return read


Runbook.__module__ = "mig_kit.runbook"
