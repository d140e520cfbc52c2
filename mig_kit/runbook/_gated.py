"""What a runbook does behind gates: it shows them, keeps what people answer, and lets a step run or refuses it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import psycopg

from mig_kit import errors
from mig_kit.steps import apply as apply_step
from mig_kit.steps import gate_facts, gate_judge
from mig_kit.steps.apply import Waiting
from mig_kit.steps.as_rehearsed import AsRehearsed, rehearsed_facts
from mig_kit.steps.backup import Backup
from mig_kit.steps.gate_facts import Facts, database_key
from mig_kit.steps.gate_judge import Asked
from mig_kit.steps.gate_points import Point, points_of
from mig_kit.steps.gates import Gates, required_at
from mig_kit.steps.plan_hash import HashedPlan, hash_pending, hash_plan
from mig_kit.steps.schema_mark import mark_schema

if TYPE_CHECKING:
    from mig_kit.record import RunFolder
    from mig_kit.runbook._session import Session
    from mig_kit.steps.rehearse import Rehearsal
    from mig_kit.steps.target import Target

__all__ = ["Gated"]


class Gated:
    """The gates of a runbook, and what opens them."""

    target: Target
    run: RunFolder | None
    _session: Session
    _remember: bool

    def _step(self, step: str, **facts: Any) -> contextlib.AbstractContextManager[dict[str, Any]]:
        raise NotImplementedError

    @cached_property
    def facts(self) -> Facts:
        """What was established about plans: kept below ``.mig`` with a record, in memory without one."""
        if self.run is None and not self._remember:
            return Facts()
        return Facts.below(self.target.project.root, self.run.journal if self.run is not None else None)

    def gates(self, app: str | None = None, name: str | None = None, confirm: str | None = None) -> Gates:
        """Return what must hold before ``apply`` with these arguments: each gate, the evidence, what opens it.

        Read-only. ``required`` says which of them this stage asks for.
        """
        with self._step("gates", app=app, name=name) as outcome:
            result = gate_judge.judge(self.target, self.facts, self._before_apply(app, name, confirm))
            outcome["summary"] = "open" if result else f"closed: {', '.join(each.name for each in result.refusing)}"
            outcome["gates"] = result.as_record()
            return result

    @property
    def gates_passed(self) -> Gates | None:
        """The gates as they stood when a step was last let run or refused; None where none was looked at."""
        return self._session.gates

    def acknowledge(self, finding: str, reason: str, *, migration: str | None = None) -> Gates:
        """Say why a finding is accepted, of one migration (``app.name``) or of each that has it; return the gates then.

        ``finding``: an id such as ``MK203``, or ``lock safety``, ``old code``, ``data loss``. What is asked by the
        rollback that was shown last counts, else what the pending migrations ask. It holds for the migration as it
        stands, in other sessions too, and is void once its file or the SQL from it changes.
        """
        with self._step("acknowledge", finding=finding, reason=reason) as outcome:
            asked = self._at_hand() or self._before_apply(None, None, None)
            found = self._acknowledge(asked, finding, reason, migration)
            outcome["summary"] = f"acknowledged: {', '.join(map(str, found))}"
            return gate_judge.judge(self.target, self.facts, asked)

    def override(self, gate: str, reason: str, *, app: str | None = None, name: str | None = None) -> Gates:
        """Say why to go on though a gate is closed, and return how the gates stand then.

        It holds for the plan that ``app`` and ``name`` mean, or for the rollback that was shown last, in this session
        alone, and is in the record. Some gates cannot be overridden. Raises ``UsageError``.
        """
        with self._step("override", gate=gate, reason=reason) as outcome:
            asked = (None if app else self._at_hand()) or self._before_apply(app, name, None)
            outcome["summary"] = f"{self._override(asked, gate, reason)} overridden for {asked.step}"
            return gate_judge.judge(self.target, self.facts, asked)

    def _before_apply(self, app: str | None, name: str | None, confirm: str | None) -> Asked:
        """Return what ``apply`` with these arguments asks for; it is what is at hand from now on."""
        plan = hash_plan(self.target, app, name)
        if plan.backwards:
            raise errors.UsageError(
                f"{app} {name} lies before what is applied.", hint=f"rb.rollback({app!r}, {name!r}) shows the way back"
            )
        points = gate_judge.plan_points(self.target, self.facts, plan, app, name)
        scope = ", ".join(repr(each) for each in (app, name) if each is not None)
        self._session.asked = None
        return self._asked("apply", plan, scope, points, confirm)

    def _asked(self, step: str, plan: HashedPlan, scope: str, points: Sequence[Point], confirm: str | None) -> Asked:
        return Asked(
            step=step,
            plan=plan,
            scope=scope,
            points=points,
            confirm=confirm,
            record=self.run.journal if self.run is not None else None,
            overrides=self._session.overrides,
        )

    def _acknowledge(self, asked: Asked, finding: str, reason: str, migration: str | None) -> tuple[Point, ...]:
        return gate_judge.acknowledge(self.target, self.facts, asked.points, asked.plan, finding, reason, migration)

    def _override(self, asked: Asked, gate: str, reason: str) -> str:
        name, fact = gate_judge.override(self.target, self.facts, gate, reason, step=asked.step, plan=asked.plan)
        self._session.overrides[asked.step, name] = fact
        return name

    def _answer(self, asked: Asked, acknowledge: Mapping[str, str] | None, override: Mapping[str, str] | None) -> None:
        """Keep the reasons that a step was called with: finding, or ``finding in app.name``, and gate → reason."""
        for said, reason in (acknowledge or {}).items():
            finding, _in, migration = said.partition(" in ")
            self._acknowledge(asked, finding, reason, migration.strip() or None)
        for gate, reason in (override or {}).items():
            self._override(asked, gate, reason)

    def _at_hand(self) -> Asked | None:
        """Return what was shown last and waits for its second call, None where that is an apply."""
        return self._session.asked

    def _let_apply(
        self,
        app: str | None,
        name: str | None,
        confirm: str | None,
        outcome: dict[str, Any],
        acknowledge: Mapping[str, str] | None = None,
        override: Mapping[str, str] | None = None,
    ) -> Callable[[str, dict[str, Any]], None] | None:
        """Refuse an apply whose gates are closed; return what holds it to the plan that they were opened for.

        Where the stage requires nothing and no reason is given, nothing is looked at.
        """
        self._session.asked = None
        if not (required_at(self.target.stage, "apply") or acknowledge or override):
            self._session.gates = None
            return None
        if any(each.backwards for each in apply_step.plan(self.target, app, name)):
            return None  # apply itself refuses that, in its own words
        asked = self._before_apply(app, name, confirm)
        self._answer(asked, acknowledge, override)
        return self._let_run(asked, outcome)

    def _waiting(self, lock_timeout_s: float, give_up_after_s: float, end_blockers: bool) -> Waiting:
        """Return how a step waits for locks, with those whom somebody chose to end."""
        ends = True if end_blockers else frozenset(self._session.to_end)
        return Waiting(lock_timeout_s, give_up_after_s, ends or False)

    def _as_rehearsed(self) -> AsRehearsed | None:
        """Return what holds a run to the rehearsals of its migrations, None where there are none."""
        if self.target.info is None or self.facts.is_empty:
            return None
        found = AsRehearsed(self.target, self.facts.of(gate_facts.REHEARSED, database_key(self.target)))
        return found if found else None

    def _let_run(self, asked: Asked, outcome: dict[str, Any]) -> Callable[[str, dict[str, Any]], None]:
        """Refuse a step one of whose required gates is closed; the gates are in the record either way."""
        gates = gate_judge.judge(self.target, self.facts, asked, only_required=True)
        self._session.gates = gates
        outcome["gates"] = gates.as_record()
        if gates.overridden:
            outcome["overridden"] = {each.name: each.reason for each in gates.overridden}
            self._session.overridden += [each.name for each in gates.overridden]
        gates.refuse()
        gate_judge.let_run(self.target, self.facts, gates)
        return _only(asked.plan)

    def _changed(self) -> None:
        """Forget what was shown of the database, or of the plan, as it was before."""
        self._session.asked = None
        self._session.previewed.clear()
        self._session.verification = None

    # What other steps establish

    @contextlib.contextmanager
    def _showing(self) -> Iterator[Callable[[Sequence[tuple[str, str]]], None]]:
        """Note that the SQL of pending migrations was shown; their hashes are taken before it is."""
        plan = HashedPlan(())
        with contextlib.suppress(errors.MigKitError):
            plan = hash_pending(self.target, apply_step.plan(self.target))

        def shown(migrations: Sequence[tuple[str, str]]) -> None:
            lines = [[str(each), each.sha256] for each in plan.migrations if (each.app, each.name) in migrations]
            if lines:
                self._note_shown("apply", lines, backwards=False)

        yield shown

    def _note_shown(self, step: str, lines: Sequence[Sequence[str]], *, backwards: bool) -> None:
        with contextlib.suppress(*() if self.run is not None else (errors.RecordError,)):
            key = database_key(self.target)
            self.facts.add(gate_facts.REVIEWED, key, step=step, plan=list(lines), backwards=backwards)

    @contextlib.contextmanager
    def _backing_up(self) -> Iterator[Callable[[Backup], None]]:
        """Note the schema that a backup holds, where it was the same before and after."""
        before = self._marks()

        def made(backup: Backup) -> None:
            if before is not None and self._marks() == before:
                key = database_key(self.target)
                self.facts.add(gate_facts.SCHEMA, key, backup=backup.checksum, schema=before)

        yield made

    def _marks(self) -> Mapping[str, str] | None:
        """Return the marks of the schema; None where that cannot be read: then a backup counts without."""
        try:
            with contextlib.closing(self.target.connect("backup")) as connection:
                return mark_schema(connection)
        except (errors.MigKitError, psycopg.Error):
            return None

    @contextlib.contextmanager
    def _rehearsing(self, app: str | None, name: str | None) -> Iterator[Callable[[Rehearsal], None]]:
        """Note how a plan's rehearsal came out; its hashes are taken before it, and compared with those files."""
        plan = hash_plan(self.target, app, name)

        def rehearsed(result: Rehearsal) -> None:
            files = {str(each): each.sha256 for each in result.migrations}
            backup = Backup.read(self.target.backups_folder / result.backup)
            planned = [(str(each), each.file_sha256) for each in plan.migrations]
            if backup is None or result.plan_hash != plan.sha256 or [*files.items()] != planned:
                return  # a file was edited meanwhile: it is no rehearsal of what was there before, nor of what is now
            self.facts.add(
                gate_facts.REHEARSED,
                database_key(self.target),
                plan=plan.lines,
                backwards=False,
                backup=backup.checksum,
                backup_name=result.backup,
                passed=result.ok,
                mode=str(result.mode),
                points=[each.as_fact() for each in points_of(result.assessment)],
                migrations={
                    str(each): [files[str(each)], str(each.way_back.outcome) if each.way_back.ok else "failed"]
                    for each in result.migrations
                },
                went=rehearsed_facts(result),
            )

        yield rehearsed


def _only(plan: HashedPlan) -> Callable[[str, dict[str, Any]], None]:
    """Return what stops a run before it begins a migration that the gates were not opened for."""

    def begins(event: str, data: dict[str, Any]) -> None:
        if event != "begin":
            return
        label = f"{data['app']}.{data['name']}"
        hashed = plan.of(label)
        if hashed is None or data.get("sha256", "") != hashed.file_sha256:
            raise errors.GateClosed(
                f"{label} is another one than the gates were opened for: its file was changed since.",
                gate="same plan",
                hint="rb.gates() says what has to be done again",
            )

    return begins
