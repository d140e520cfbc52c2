"""The findings about locks that were measured: held while a migration worked through a table, or held long."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mig_kit.hazards.assessment import AssessedStatement
from mig_kit.hazards.facts import RelationLock, Work, WorkKind
from mig_kit.hazards.finding import Finding, Severity
from mig_kit.hazards.lock_safety import Held, TableSize, held_while_working
from mig_kit.hazards.locks import Blocks
from mig_kit.steps._rehearsed_statement import Observed, RehearsedLock, RehearsedStatement

__all__ = ["Maker", "first_line", "lock_findings"]

# A lock that keeps traffic waiting for so long is worth a word, whatever goes on meanwhile.
_LONG_MS = 1000.0

_HINTS = {
    WorkKind.SCAN: "let the check of the rows be a statement of its own: NOT VALID, then VALIDATE in a later migration",
    WorkKind.REWRITE: "add a new column, fill it in batches, and change over to it, instead of rewriting the table",
    WorkKind.INDEX_BUILD: "build the index CONCURRENTLY, in a migration of its own with atomic = False",
    WorkKind.CHANGE_ROWS: "change the rows in a migration of its own, in batches, after that of the schema",
}


class Maker:
    """Make the findings of one migration."""

    def __init__(self, app: str, name: str) -> None:
        self.app, self.name = app, name

    def __call__(
        self,
        id_: str,
        severity: Severity,
        operation: str,
        message: str,
        hint: str,
        *,
        evidence: str = "measured",
        lock: RehearsedLock | None = None,
        work: Work | None = None,
        relation: str | None = None,
    ) -> Finding:
        return Finding(
            id_,
            severity,
            self.app,
            self.name,
            operation,
            message,
            hint,
            evidence,
            relation=lock.relation if lock else relation,
            lock=lock.mode if lock else None,
            work=work,
            blocks=lock.blocks if lock else Blocks.NOTHING,
        )


def lock_findings(
    make: Maker, statements: Sequence[RehearsedStatement], sizes: Mapping[str, TableSize]
) -> Iterable[Finding]:
    # Found again by identity: two statements may be equal in all that was assessed.
    assessed: dict[int, RehearsedStatement] = {}
    kept: list[AssessedStatement] = []
    for each in statements:
        if each.observed is not Observed.NOT:
            kept.append(each.assessed)
            assessed[id(kept[-1])] = each
    said: set[tuple[RelationLock, Work]] = set()
    for held in _worst(held_while_working(kept, sizes)):
        if (held.lock, held.work) in said:
            continue
        said.add((held.lock, held.work))
        taken = assessed[id(held.taken_by)]
        lock = next(each for each in taken.locks if (each.relation, each.mode) == (held.lock.relation, held.lock.mode))
        yield _held_finding(make, held, lock, assessed[id(held.working)], taken)
    for each in statements:
        for lock in each.locks:
            matters = lock.blocks is not Blocks.NOTHING and sizes.get(lock.relation, TableSize()).matters
            known = lock.relation in {held.relation for held, _ in said}
            if lock.held_ms >= _LONG_MS and matters and not known:
                message = f"{lock.mode} on {lock.relation} was held for {_ms(lock.held_ms)}, "
                message += f"which keeps {lock.blocks} waiting."
                hint = "take the lock as late as possible in a transaction that does nothing else"
                yield make("MK512", Severity.WARNING, each.operation, message, hint, lock=lock)


def _worst(found: Iterable[Held]) -> Iterable[Held]:
    """Of what one statement does to a table while another is locked, return the strongest lock and what says most."""
    order = (WorkKind.SCAN, WorkKind.CHANGE_ROWS, WorkKind.INDEX_BUILD, WorkKind.REWRITE)

    def weight(held: Held) -> tuple[int, int]:
        return held.lock.mode.level, order.index(held.work.kind)

    worst: dict[tuple[int, str, str], Held] = {}
    for held in found:
        key = (id(held.working), held.lock.relation, held.work.relation)
        worst[key] = max(worst.get(key, held), held, key=weight)
    return worst.values()


def _held_finding(
    make: Maker, held: Held, lock: RehearsedLock, working: RehearsedStatement, taken: RehearsedStatement
) -> Finding:
    does = {
        WorkKind.SCAN: "is read whole",
        WorkKind.REWRITE: "is rewritten",
        WorkKind.INDEX_BUILD: "gets an index built",
        WorkKind.CHANGE_ROWS: "has rows changed",
    }[held.work.kind]
    of = ", held back until the migration's end" if working.deferred else ""
    of += "" if taken is working else f", taken by “{first_line(taken.sql)}”"
    whose = "it" if held.work.relation == lock.relation else lock.relation
    message = (
        f"{held.work.relation} {does} ({_ms(working.ms)}) while {lock.mode} on {whose} keeps {held.blocks} waiting"
        f"{of}; held for {_ms(lock.held_ms)} in all."
    )
    return make("MK511", Severity.ERROR, working.operation, message, _HINTS[held.work.kind], lock=lock, work=held.work)


def first_line(sql: str, limit: int = 80) -> str:
    line = " ".join(sql.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _ms(ms: float) -> str:
    return f"{ms / 1000:,.2f} s" if ms >= 1000 else f"{ms:,.1f} ms"
