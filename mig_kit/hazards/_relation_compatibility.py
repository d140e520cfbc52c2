"""What the old release runs into at tables and views: MK303 to MK305, MK313, MK314."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mig_kit.hazards._column_compatibility import column_findings
from mig_kit.hazards._compatibility import Said
from mig_kit.hazards._constraint_compatibility import constraint_findings
from mig_kit.hazards.finding import Severity
from mig_kit.hazards.old_release import OldRelease
from mig_kit.postgres.schema import ChangeKind, Relation, Schema, SchemaChange, schema_changes

__all__ = ["relation_findings"]

_KEEP_TABLE = (
    "in two releases: first take the model out with SeparateDatabaseAndState(state_operations=[DeleteModel(…)]) and "
    "deploy; then drop the table in the next release"
)


def relation_findings(changes: Sequence[SchemaChange], old: OldRelease) -> Iterator[Said]:
    """Give what tables and views that went or changed as a whole mean to the old release, in the changes' order."""
    for each in changes:
        kind, relation = each.kind, each.relation
        if relation is None or relation not in old.relations:
            continue
        if kind in (ChangeKind.TABLE_REMOVED, ChangeKind.TABLE_RENAMED):
            yield from _table(each, relation, changes)
        elif kind in (ChangeKind.VIEW_REMOVED, ChangeKind.VIEW_RENAMED, ChangeKind.VIEW_CHANGED):
            yield from _view(each, relation, changes)


def _taking_its_place(changes: Sequence[SchemaChange], label: str) -> Relation | None:
    """Return the table or view that now has a label."""
    brings = (ChangeKind.TABLE_ADDED, ChangeKind.VIEW_ADDED, ChangeKind.TABLE_RENAMED, ChangeKind.VIEW_RENAMED)
    return next((each.after for each in changes if each.kind in brings and each.after.label == label), None)


def _table(change: SchemaChange, relation: str, changes: Sequence[SchemaChange]) -> Iterator[Said]:
    before: Relation = change.before
    after = _taking_its_place(changes, relation)
    if after is not None and after.is_view:
        yield from _view_instead(relation, before, after)
        return
    if after is not None:
        yield from _as_if(relation, before, after)
        return
    fails = f'fails with relation "{relation}" does not exist'
    if change.kind is ChangeKind.TABLE_RENAMED:
        yield Said(
            "MK304",
            Severity.ERROR,
            relation,
            f"Table {relation} is renamed to {change.after.label}: every statement of the running release on it "
            f"{fails}.",
            f'keep the table\'s name with Meta.db_table = "{relation}"; or leave an updatable view of that name behind '
            "until the next release",
        )
    elif _joins_two(before):
        yield Said(
            "MK305",
            Severity.ERROR,
            relation,
            f"Table {relation} of a many-to-many relation is removed: each statement of the running release that "
            f"reads, sets or follows the relation {fails}, and so does deleting a row on either side of it.",
            "in two releases: first take the field out of the models with "
            "SeparateDatabaseAndState(state_operations=[…]) and deploy; then drop the table in the next release",
        )
    else:
        yield Said(
            "MK303",
            Severity.ERROR,
            relation,
            f"Table {relation} is removed: every statement of the running release on it {fails}, and so does deleting "
            "a row that rows of it refer to.",
            _KEEP_TABLE,
        )


def _joins_two(table: Relation) -> bool:
    """Tell whether a table looks like one that Django keeps for a many-to-many relation."""
    keys = [each for each in table.constraints.values() if each.kind == "f"]
    return len(keys) == 2 and len(table.columns) == 3 and any(each.kind == "u" for each in table.constraints.values())


def _as_if(relation: str, before: Relation, after: Relation) -> Iterator[Said]:
    """Give what there is to say when another table has taken a table's name."""
    changes = schema_changes(Schema({relation: before}), Schema({relation: after}))
    old = OldRelease(frozenset({relation}))
    yield from column_findings(changes, old)
    yield from constraint_findings(changes, old)


def _view_instead(relation: str, before: Relation, after: Relation) -> Iterator[Said]:
    missing = [name for name in before.columns if name not in after.columns]
    if missing:
        yield Said(
            "MK314",
            Severity.ERROR,
            relation,
            f"A view takes the place of table {relation} and lacks {', '.join(missing)}: every SELECT and INSERT of "
            f'the running release names it and fails with column "{missing[0]}" does not exist.',
            "give the view every column that the table had",
        )
    else:
        yield Said(
            "MK314",
            Severity.WARNING,
            relation,
            f"A view takes the place of table {relation}: the running release goes on as long as the view is updatable "
            "(one table, no aggregate, no DISTINCT) and has the defaults that INSERTs rely on.",
            "try an INSERT into the view; drop the view in the next release",
        )


def _view(change: SchemaChange, relation: str, changes: Sequence[SchemaChange]) -> Iterator[Said]:
    before: Relation = change.before
    after: Relation | None = change.after
    if change.kind is not ChangeKind.VIEW_CHANGED:
        if _taking_its_place(changes, relation) is not None:
            return
        done = "is removed" if after is None else f"is renamed to {after.label}"
        yield Said(
            "MK313",
            Severity.ERROR,
            relation,
            f"View {relation} {done}: every SELECT of the running release from it fails with relation "
            f'"{relation}" does not exist.',
            "keep the view until the next release",
        )
        return
    assert after is not None
    other = [
        name
        for name, each in before.columns.items()
        if name not in after.columns or after.columns[name].type != each.type
    ]
    if other:
        yield Said(
            "MK314",
            Severity.ERROR,
            relation,
            f"View {relation} no longer gives {', '.join(other)} as before: a SELECT of the running release that names "
            f'it fails with column "{other[0]}" does not exist, or gets values of another type.',
            "only append columns; leave the old ones out in the next release",
        )
    else:
        yield Said(
            "MK314",
            Severity.WARNING,
            relation,
            f"View {relation} has another query: each SELECT of the running release from it succeeds, and may get "
            "other rows than it was written for.",
            "make sure that the running release can do with what the view gives now, or make a new view beside it",
        )
