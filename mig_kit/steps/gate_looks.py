"""Look at each gate: a function from what is known to how the gate stands."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psycopg

from mig_kit import errors
from mig_kit.postgres import Connection
from mig_kit.postgres.migration_lock import current_holder
from mig_kit.postgres.pooling import find_pooling
from mig_kit.record import verify
from mig_kit.steps import gate_facts, gates
from mig_kit.steps._gate_seen import Seen, some
from mig_kit.steps.gate_backup import Judged, judge_backups, moment_of, rest_of
from mig_kit.steps.gate_facts import Fact, Facts
from mig_kit.steps.gate_points import OLD_CODE, Point
from mig_kit.steps.gate_rehearsal import look_at_rehearsals
from mig_kit.steps.plan_hash import HashedPlan
from mig_kit.steps.target import Target

if TYPE_CHECKING:
    from mig_kit.record import Journal

__all__ = ["Look"]


NOTHING = "Nothing is pending: there is no plan to ask it of."


@dataclass
class Look:
    """Hold what the gates before one step are judged by; each method looks at one gate.

    ``scope``: the arguments that name the plan in a call, ``"'blog', '0005'"`` say. ``points``: with their answers.
    ``connection``: to the database, None without PostgreSQL.
    """

    target: Target
    facts: Facts
    database: str
    step: str
    plan: HashedPlan
    scope: str
    points: Sequence[Point]
    confirm: str | None
    record: Journal | None
    connection: Connection | None
    _judged: tuple[Judged, ...] | None = None
    _begun: tuple[Fact, ...] = ()

    def at(self, name: str) -> Seen:
        """Look at the gate of that name."""
        looks = {
            gates.REVIEWED: self.reviewed,
            gates.BACKED_UP: self.backed_up,
            gates.REHEARSED: self.rehearsed,
            gates.HAZARDS: lambda: self.answered(old_code=False),
            gates.OLD_RELEASE: lambda: self.answered(old_code=True),
            gates.NOBODY_ELSE: self.nobody_else,
            gates.DIRECT: self.direct,
            gates.NAME_TYPED: self.name_typed,
            gates.RECORD: self.record_writable,
        }
        return looks[name]()

    def _call(self, *more: str) -> str:
        return f"rb.{self.step}({', '.join(filter(None, (self.scope, *more)))})"

    def _unusable(self) -> str:
        return self.facts.trouble

    # Of the plan

    def reviewed(self) -> Seen:
        """Somebody was shown the SQL of each migration as it stands."""
        if not self.plan:
            return Seen(True, NOTHING)
        shows = {"apply": f"rb.preview({self.scope})"}.get(self.step, self._call())
        if trouble := self._unusable():
            return Seen(False, trouble, next=shows)
        shown: dict[tuple[str, str], Fact] = {}
        for fact in self.facts.of(gate_facts.REVIEWED, self.database):
            if fact.data["step"] == self.step and fact.data["backwards"] == self.plan.backwards:
                for label, sha in fact.data["plan"]:
                    shown.setdefault((label, sha), fact)
        missing = [each for each in self.plan.migrations if not each.sha256 or (str(each), each.sha256) not in shown]
        if missing:
            others = {label for label, _sha in shown}
            changed = [str(each) for each in missing if str(each) in others]
            words = (
                f"What was shown of {some(changed)} is not what it is now: the file, or the SQL from it, was changed."
                if changed
                else f"Nobody was shown what {some([str(each) for each in missing])} would run."
            )
            return Seen(False, words, next=shows)
        oldest = min((shown[str(each), each.sha256] for each in self.plan.migrations), key=lambda fact: fact.at)
        return Seen(True, f"Shown to {oldest.by} as it stands: plan {self.plan.sha256[:12]}.", oldest.at)

    def backed_up(self) -> Seen:
        """There is a verified backup, not too old, and nothing changed the schema since."""
        if not self.plan:
            return Seen(True, NOTHING)
        judged = self._backups()
        best = next((each for each in judged if each.counts), None)
        if best is not None:
            backup = best.backup
            words = backup.verification.words if backup.verification is not None else ""
            noted = f" ({best.noted})" if best.noted else ""
            return Seen(True, f"{backup.path.name}: {words}{noted}.", backup.started)
        if not judged:
            return Seen(False, "There is no backup of this database.", next="rb.backup()")
        newest = judged[0]
        never = newest.unverified and newest.backup.verification is None
        opens = "rb.verify_backup()" if never else "rb.backup()"
        words = f"The newest, {newest.backup.path.name}, does not count: {newest.reason}."
        return Seen(False, words, newest.backup.started, opens)

    def rehearsed(self) -> Seen:
        """This very plan passed on a backup that counts."""
        if not self.plan:
            return Seen(True, NOTHING)
        opens = f"rb.{'rehearse_rollback' if self.plan.backwards else 'rehearse'}({self.scope})"
        if trouble := self._unusable():
            return Seen(False, trouble, next=opens)
        counting = {each.backup.checksum for each in self._backups() if each.counts}
        facts = self.facts.of(gate_facts.REHEARSED, self.database)
        return look_at_rehearsals(self.plan, facts, begun=self._begun, counting=counting, opens=opens)

    def answered(self, *, old_code: bool) -> Seen:
        """Nothing is to be resolved, or somebody gave a reason for each."""
        if not self.plan:
            return Seen(True, NOTHING)
        mine = [each for each in self.points if each.old_code is old_code]
        open_ = [each for each in mine if not each.reason]
        if open_:
            first = open_[0]
            more = f" And {len(open_) - 1} more: rb.gates() lists them." if len(open_) > 1 else ""
            name = OLD_CODE if old_code else first.id
            opens = f"resolve it, or rb.acknowledge({name!r}, migration={first.migration!r}, reason='…')"
            return Seen(False, f"{first.migration}: {first.id}: {first.message}{more}", None, opens)
        if not mine:
            none = "The release that runs now works on after it." if old_code else "No hazard was found."
            return Seen(True, none, datetime.now(UTC))
        latest = max((each.at for each in mine if each.at is not None), default=None)
        words = "; ".join(f"{each}: {each.reason}" for each in mine[:5])
        return Seen(True, f"Acknowledged: {words}.", latest)

    # Of the database and the session

    def nobody_else(self) -> Seen:
        """No other session holds the lock on migrating."""
        assert self.connection is not None
        holder = current_holder(self.connection)
        if holder is not None:
            return Seen(False, f"Another session migrates this database: {holder}.", next="wait until it has ended")
        return Seen(True, "No session holds the lock on migrating.", datetime.now(UTC))

    def direct(self) -> Seen:
        """No pooler in transaction mode stands between."""
        info = self.target.need_postgres("gates")
        found = find_pooling(info)
        if found:
            words = f"{info.address} is a pooler in transaction mode: {found.evidence}."
            way = "add an alias to DATABASES with the HOST and PORT of PostgreSQL itself, and name it with database=…"
            return Seen(False, words, datetime.now(UTC), f"{way} / --database")
        return Seen(True, f"{found.evidence[:1].upper()}{found.evidence[1:]}.", datetime.now(UTC))

    def name_typed(self) -> Seen:
        """The name of the database was typed."""
        info = self.target.info
        name, where = (info.dbname, info.safe) if info else (self.target.database, self.target.vendor)
        if self.confirm == name:
            return Seen(True, f"{name} was typed.", datetime.now(UTC))
        said = "no name was given" if self.confirm is None else f"{self.confirm!r} was given"
        start = "This is production: the" if self.target.stage == "production" else "The"
        words = f"{start} name of the database has to be typed, and {said}."
        return Seen(False, words, None, f"{self._call(f'confirm={name!r}')}, when {where} is the one you mean")

    def record_writable(self) -> Seen:
        """What happens is written down, and what was written holds."""
        if self.record is None:
            return Seen(False, "This runbook keeps no record.", next="open it with record=True, before the first step")
        try:
            problems = verify(self.record.path)
        except errors.RecordError as exc:
            return Seen(False, exc.message, None, exc.hint)
        if problems:
            return Seen(False, problems[0].message, None, "keep this file as it is, and open a new run")
        head = self.record.head()
        return Seen(True, f"{self.record.path} holds.", head.at if head else None)

    def _backups(self) -> tuple[Judged, ...]:
        """Return this database's backups and whether they count; looked at once."""
        if self._judged is None:
            assert self.connection is not None
            moment = moment_of(self.target, self.connection)
            self._begun = rest_of(self.plan, self.facts.of(gate_facts.BEGUN, self.database), moment.applied)
            schemas = self.facts.of(gate_facts.SCHEMA, self.database)
            self._judged = judge_backups(self.target, moment, schemas=schemas, begun=self._begun)
        return self._judged

    @property
    def counting(self) -> list[str]:
        """The checksums of the backups that count; none without PostgreSQL."""
        if self.connection is None:
            return []
        with contextlib.suppress(psycopg.Error):
            return [each.backup.checksum for each in self._backups() if each.counts]
        return []
