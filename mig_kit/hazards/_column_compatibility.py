"""What the old release runs into at columns: MK301, MK302, MK306 to MK311, MK316."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mig_kit.hazards._compatibility import KEEP_COLUMN, NULLABLE_FIRST, Said
from mig_kit.hazards.finding import Severity
from mig_kit.hazards.old_release import OldRelease, takes_all
from mig_kit.postgres.schema import ChangeKind, Column, SchemaChange

__all__ = ["column_findings"]


def column_findings(changes: Sequence[SchemaChange], old: OldRelease) -> Iterator[Said]:
    """Give what the columns' changes mean to the old release, in their order."""
    away = {
        (each.relation, each.before.name)
        for each in changes
        if each.kind is ChangeKind.COLUMN_RENAMED and old.knows(each.relation, each.before.name)
    }
    for each in changes:
        relation = each.relation
        if relation is None or relation not in old.relations:
            continue
        if each.kind is ChangeKind.COLUMN_ADDED:
            yield from _added(relation, each.after)
        elif isinstance(each.before, Column):
            key = (relation, each.before.name)
            if each.kind is ChangeKind.COLUMN_RENAMED and key in away:
                yield _renamed(relation, each.before, each.after)
            elif key not in away:
                yield from _changed(each, relation, old.knows(*key))


def _added(relation: str, column: Column) -> Iterator[Said]:
    if column.fills_itself:
        return
    name = column.name
    yield Said(
        "MK306",
        Severity.ERROR,
        relation,
        f"Column {name} of {relation} is NOT NULL and has no default in the database: each INSERT of the running "
        f'release leaves it out and fails with null value in column "{name}" violates not-null constraint.',
        NULLABLE_FIRST,
    )


def _changed(change: SchemaChange, relation: str, known: bool) -> Iterator[Said]:
    before: Column = change.before
    after: Column = change.after
    match change.kind:
        case ChangeKind.COLUMN_REMOVED if known:
            yield _removed(relation, before)
        case ChangeKind.TYPE_CHANGED if known:
            yield from _type(relation, before, after)
        case ChangeKind.DEFAULT_CHANGED | ChangeKind.IDENTITY_CHANGED:
            yield from _default(relation, before, after)
        case ChangeKind.NULLABILITY_CHANGED:
            yield from _nullability(relation, before, after, known)
        case ChangeKind.GENERATED_CHANGED:
            yield from _generated(relation, before, after, known)


def _removed(relation: str, column: Column) -> Said:
    name = column.name
    return Said(
        "MK301",
        Severity.ERROR,
        relation,
        f"Column {name} of {relation} is removed: the running release names it in every SELECT and INSERT of the "
        f'model, and each fails with column "{name}" does not exist.',
        KEEP_COLUMN,
    )


def _renamed(relation: str, before: Column, after: Column) -> Said:
    return Said(
        "MK302",
        Severity.ERROR,
        relation,
        f"Column {before.name} of {relation} is renamed to {after.name}: the running release names {before.name} in "
        f'every SELECT and INSERT of the model, and each fails with column "{before.name}" does not exist.',
        f'keep the column: rename the field in Python only, with db_column="{before.name}"; or add {after.name} beside '
        f"it, write both, fill the old rows in batches, and drop {before.name} a release later",
    )


def _type(relation: str, before: Column, after: Column) -> Iterator[Said]:
    name, change = before.name, f"from {before.type} to {after.type}"
    yield Said(
        "MK310",
        Severity.WARNING,
        relation,
        f"Column {name} of {relation} changes {change}: a statement that the running release has prepared fails once "
        "with cached plan must not change result type, inside a transaction until that ends.",
        "restart the application's workers right after the migration, or connect without prepared statements "
        "(psycopg's prepare_threshold=None, which is Django's default); a pooler may keep some of its own",
    )
    if not takes_all(before.type, after.type):
        yield Said(
            "MK311",
            Severity.ERROR,
            relation,
            f"Column {name} of {relation} changes {change}, which does not take all that {before.type} takes: an "
            "INSERT or UPDATE of the running release with such a value fails, and so does a comparison with one.",
            "add a column of the new type beside it, write both, fill the old rows in batches, and change over in the "
            "next release",
        )


def _default(relation: str, before: Column, after: Column) -> Iterator[Said]:
    name = before.name
    had = before.default is not None or bool(before.identity)
    has = after.default is not None or bool(after.identity)
    if after.identity == "always" and before.identity != "always":
        yield Said(
            "MK316",
            Severity.WARNING,
            relation,
            f"Column {name} of {relation} becomes GENERATED ALWAYS AS IDENTITY: an INSERT of the running release that "
            f'gives a value fails with cannot insert a non-DEFAULT value into column "{name}".',
            "use GENERATED BY DEFAULT, as Django does",
        )
    if not had or has or after.generated:
        return
    if after.not_null:
        yield Said(
            "MK307",
            Severity.ERROR,
            relation,
            f"Column {name} of {relation} is NOT NULL and loses its default in the database: an INSERT of the running "
            "release that relies on it, by leaving the column out or by DEFAULT, fails with null value in column "
            f'"{name}" violates not-null constraint.',
            "drop the default in the next release, when no code relies on it any more",
        )
    else:
        yield Said(
            "MK308",
            Severity.WARNING,
            relation,
            f"Column {name} of {relation} loses its default in the database: an INSERT of the running release that "
            "relies on it succeeds, and the row gets NULL instead.",
            "drop the default in the next release, and look for NULLs that came in between",
        )


def _nullability(relation: str, before: Column, after: Column, known: bool) -> Iterator[Said]:
    name = before.name
    if before.not_null or not after.not_null:
        return
    if known:
        yield Said(
            "MK309",
            Severity.ERROR,
            relation,
            f"Column {name} of {relation} becomes NOT NULL: an INSERT or UPDATE of the running release that writes "
            f'NULL, which its model allows, fails with null value in column "{name}" violates not-null constraint.',
            "first deploy code that always gives it a value, then set NOT NULL in the next release",
        )
    elif not after.fills_itself:
        yield from _added(relation, after)


def _generated(relation: str, before: Column, after: Column, known: bool) -> Iterator[Said]:
    name = before.name
    if after.generated and not before.generated and known:
        yield Said(
            "MK316",
            Severity.ERROR,
            relation,
            f"Column {name} of {relation} becomes a generated column: each INSERT of the running release gives it a "
            f'value and fails with cannot insert a non-DEFAULT value into column "{name}".',
            "add the generated column under another name, and remove the old one in two releases",
        )
    elif before.generated and not after.generated and not after.fills_itself:
        yield Said(
            "MK307",
            Severity.ERROR,
            relation,
            f"Column {name} of {relation} is NOT NULL and no longer generated: each INSERT of the running release "
            f'relies on that and fails with null value in column "{name}" violates not-null constraint.',
            "give it a default in the database for the time being, or drop NOT NULL first",
        )
