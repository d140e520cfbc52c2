"""What the worker tells of a run, put together: each migration with its statements, what they took and did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from mig_kit.hazards.locks import LockMode
from mig_kit.hazards.statement import classify
from mig_kit.postgres.observe import Observation, RelationState, Snapshot, compare
from mig_kit.steps._lock_watch import LockWatch
from mig_kit.steps._migration_run import MigrationRun, StatementRun, sha256_of
from mig_kit.steps._rehearsed_statement import NOTHING_SEEN, Observed, RehearsedLock
from mig_kit.steps._seen_again import added

__all__ = ["RunRecord"]

_HOW = {
    "transaction": Observed.IN_TRANSACTION,
    "own": Observed.OWN_TRANSACTION,
    "alone": Observed.SECOND_CONNECTION,
    "not": Observed.NOT,
}


class RunRecord:
    """Take the worker's events of one run; ``migrations`` as they ran, ``outside`` what ran around them.

    ``on_done`` is called after each migration, while the worker waits, and returns whether it read tables.
    ``relations``: every relation by its label now; ``began_with``: at the beginning.
    """

    def __init__(self, watch: LockWatch, on_done: Callable[[MigrationRun], bool]) -> None:
        self.migrations: list[MigrationRun] = []
        self.outside = MigrationRun("", "", True, "", 0.0)
        self.made: set[str] = set()
        self.renamed: dict[str, str] = {}
        self.began_with: Mapping[str, RelationState] = {}
        self.backend_pid: int | None = None
        self._watch = watch
        self._after_each = on_done
        self._current = self.outside
        self._before: Snapshot | None = None
        self._open: list[tuple[StatementRun, int | None, str, LockMode]] = []
        self._by_number: dict[int, StatementRun] = {}
        self._locked = False
        self._watched: list[tuple[str, LockMode, float, float]] = []

    def __call__(self, event: str, data: dict[str, Any]) -> dict[str, Any] | None:
        """Take one event; the answer goes back to the worker where it waits for one."""
        answer: dict[str, Any] | None = getattr(self, f"_on_{event}")(data)
        return answer

    @property
    def current(self) -> MigrationRun | None:
        """The migration that has begun and is not done."""
        return None if self._current is self.outside or self._current.done else self._current

    @property
    def relations(self) -> dict[str, RelationState]:
        """Every relation there is now, by its label."""
        return {state.label: state for state in (self._before.relations.values() if self._before else ())}

    def _on_backend(self, data: Mapping[str, Any]) -> None:
        self.backend_pid = data["pid"]

    def _on_look(self, data: Mapping[str, Any]) -> None:
        self._before = Snapshot.parse(data["look"])
        self.began_with = self.began_with or self.relations

    def _on_begin(self, data: Mapping[str, Any]) -> None:
        file = data["file"] or ""
        self._current = MigrationRun(
            data["app"], data["name"], data["atomic"], file, data["at"], self.relations, sha256=sha256_of(file)
        )
        self.migrations.append(self._current)

    def _on_done(self, data: Mapping[str, Any]) -> dict[str, Any]:
        self._current.ms, self._current.done = data["ms"], True
        done, self._current = self._current, self.outside
        return {"looked": self._after_each(done)}

    def _on_refused(self, data: Mapping[str, Any]) -> None:
        self._current.refused.append(data["what"])

    def _on_alone(self, data: Mapping[str, Any]) -> None:
        self._watch.start(data["pid"])

    def _on_over(self, data: Mapping[str, Any]) -> None:
        self._watched = self._watch.stop()

    def _on_statement(self, data: Mapping[str, Any]) -> None:
        operation = data["operation"] or {"operation": "", "python": False, "deferred": False}
        run = StatementRun(
            number=data["n"],
            sql=data["sql"],
            operation=operation["operation"],
            deferred=operation["deferred"],
            python=operation["python"],
            at=data["at"],
            ms=data["ms"],
            times=data["times"],
            transaction=data["transaction"],
            how=_HOW[data["how"]],
            error=data["error"],
            note=f"it ran on the connection {data['alias']!r}" if "alias" in data else "",
        )
        self._current.statements.append(run)
        self._by_number[run.number] = run
        if run.how is Observed.SECOND_CONNECTION:
            for name, mode, began, lasted in self._watched:
                run.locks.append(RehearsedLock(name, mode, run.at + began, lasted, self._is_table(name)))
            if not run.locks:
                self._take_for_granted(run)
        if data["look"] is not None:
            run.seen = self._looked(data["look"], [run])
            self._take_locks(run, run.seen, run.transaction)

    def _on_repeated(self, data: Mapping[str, Any]) -> None:
        runs, transactions = [], {}
        for each in data["statements"]:
            run = self._by_number[each["n"]]
            run.times += each["times"]
            run.ms += each["ms"]
            transactions[run.number] = each["transaction"] if each["transaction"] is not None else run.transaction
            runs.append(run)
        if data["look"] is not None:
            seen = self._looked(data["look"], runs)
            added(runs, seen)
            longest = max(runs, key=lambda run: run.ms)
            self._take_locks(longest, seen, transactions[longest.number])

    def _on_ended(self, data: Mapping[str, Any]) -> None:
        rest = []
        for run, transaction, relation, mode in self._open:
            if transaction == data["transaction"]:
                run.locks.append(RehearsedLock(relation, mode, run.at, data["at"] - run.at, self._is_table(relation)))
            else:
                rest.append((run, transaction, relation, mode))
        self._open = rest
        self._current.commit_ms += data["ms"]
        if self._before is not None and self._locked:
            free: frozenset[str] = frozenset()
            states = {
                oid: replace(state, modes=free) if state.modes else state
                for oid, state in self._before.relations.items()
            }
            self._before, self._locked = replace(self._before, relations=states, gone=frozenset()), False

    def _is_table(self, label: str) -> bool:
        state = self.began_with.get(self.renamed.get(label, label))
        return state is None or state.kind not in "iIS"

    def _take_for_granted(self, run: StatementRun) -> None:
        """Give a statement that was over before its locks were seen those that such a statement takes."""
        for facts in classify(run.sql):
            for lock in facts.locks:
                is_table = self._is_table(lock.relation)
                run.locks.append(RehearsedLock(lock.relation, lock.mode, run.at, run.ms, is_table))
        if run.locks:
            run.note = "it was over before its locks were seen: these are what such a statement takes"

    def _looked(self, text: str, runs: list[StatementRun]) -> Observation:
        """Return what happened since the last look, and note which tables those statements read."""
        after = Snapshot.parse(text)
        if self._before is None:
            self._before = after if after.complete else None
            return NOTHING_SEEN
        seen = compare(self._before, after)
        read = _read(self._before, after)
        for run in runs:
            run.reads |= read
        self._before = self._before.followed_by(after)
        for was, now in seen.renamed:
            self.renamed[now] = self.renamed.pop(was, was)
            if was in self.made:
                self.made.add(now)
        self.made |= set(seen.created)
        return seen

    def _take_locks(self, run: StatementRun, seen: Observation, transaction: int | None) -> None:
        self._locked = self._locked or bool(seen.locks)
        if run.how is Observed.SECOND_CONNECTION:
            return  # a look after it sees none any more
        for lock in seen.locks:
            if lock.relation not in self.made:
                self._open.append((run, transaction, lock.relation, LockMode.parse(lock.mode)))


def _read(before: Snapshot, after: Snapshot) -> frozenset[str]:
    """Return the tables that were read in between, also by an index, under the labels they had before."""
    found = set()
    for oid, now in after.relations.items():
        was = before.relations.get(oid)
        if was is not None and now.scans > was.scans:
            table = before.relations.get(was.table or 0) if was.is_index else was
            found |= {table.label} if table is not None else set()
    return frozenset(found)
