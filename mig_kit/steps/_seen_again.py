"""What statements did that ran again and again and were looked at once: shared out among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mig_kit.postgres.observe import Observation, RowsChanged, Scan
from mig_kit.steps._rehearsed_statement import NOTHING_SEEN

if TYPE_CHECKING:
    from mig_kit.steps._migration_run import StatementRun

__all__ = ["added"]


def added(runs: Sequence[StatementRun], seen: Observation) -> None:
    """Add what was seen to the statement that did such a thing when it was looked at, else to the longest one."""
    longest = max(runs, key=lambda run: run.ms)
    rest = replace(seen, rows=(), scans=())
    longest.seen = _sum(longest.seen, rest)
    for change in seen.rows:
        for kind in ("inserted", "updated", "deleted"):
            if many := getattr(change, kind):
                owner = next((run for run in runs if _does(run, change.relation, kind)), longest)
                part = replace(RowsChanged(change.relation, 0, 0, 0), **{kind: many})
                owner.seen = _sum(owner.seen, replace(NOTHING_SEEN, rows=(part,)))
    for scan in seen.scans:
        known = [(run, each) for run in runs for each in run.seen.scans if each.relation == scan.relation]
        owner = known[0][0] if known else longest
        # Many looks at a table's first page add up to its size: only the first one tells how far each of them went.
        whole = known[0][1].whole if known else scan.whole and scan.scans == 1
        owner.seen = _sum(owner.seen, replace(NOTHING_SEEN, scans=(replace(scan, whole=whole),)))


def _does(run: StatementRun, relation: str, kind: str) -> bool:
    """Tell whether it was seen to do that to the table's rows."""
    return any(each.relation == relation and getattr(each, kind) for each in run.seen.rows)


def _sum(one: Observation, other: Observation) -> Observation:
    rows = {each.relation: each for each in one.rows}
    for change in other.rows:
        was = rows.get(change.relation, RowsChanged(change.relation, 0, 0, 0))
        rows[change.relation] = RowsChanged(
            change.relation,
            was.inserted + change.inserted,
            was.updated + change.updated,
            was.deleted + change.deleted,
        )
    scans = {each.relation: each for each in one.scans}
    for scan in other.scans:
        before = scans.get(scan.relation, Scan(scan.relation, 0, 0, False))
        scans[scan.relation] = Scan(
            scan.relation, before.scans + scan.scans, before.rows_read + scan.rows_read, before.whole or scan.whole
        )
    return Observation(
        locks=tuple(dict.fromkeys((*one.locks, *other.locks))),
        rewritten=tuple(dict.fromkeys((*one.rewritten, *other.rewritten))),
        rebuilt=tuple(dict.fromkeys((*one.rebuilt, *other.rebuilt))),
        built=tuple(dict.fromkeys((*one.built, *other.built))),
        emptied=tuple(dict.fromkeys((*one.emptied, *other.emptied))),
        scans=tuple(scans.values()),
        rows=tuple(rows.values()),
        created=tuple(dict.fromkeys((*one.created, *other.created))),
        dropped=tuple(dict.fromkeys((*one.dropped, *other.dropped))),
        renamed=tuple(dict.fromkeys((*one.renamed, *other.renamed))),
        wal_bytes=one.wal_bytes + other.wal_bytes,
        growth_bytes=one.growth_bytes + other.growth_bytes,
        peak_bytes=max(one.peak_bytes, other.peak_bytes),
    )
