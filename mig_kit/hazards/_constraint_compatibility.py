"""What the old release runs into at constraints, unique indexes, triggers and lost names: MK309, MK312, MK315 on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mig_kit.hazards._compatibility import Said, is_not_null_check, names_in
from mig_kit.hazards.finding import Severity
from mig_kit.hazards.old_release import OldRelease
from mig_kit.postgres.schema import ChangeKind, Constraint, SchemaChange

__all__ = ["constraint_findings"]

_WORDS = {"c": "CHECK", "f": "foreign key", "p": "primary key", "u": "unique constraint", "x": "exclusion constraint"}
_VIOLATED = {"c": "check", "f": "foreign key", "p": "unique", "u": "unique", "x": "exclusion"}


def constraint_findings(changes: Sequence[SchemaChange], old: OldRelease) -> Iterator[Said]:
    """Give what new and lost rules on tables mean to the old release, and lost names, in the changes' order."""
    new_columns = {(each.relation, each.after.name) for each in changes if each.kind is ChangeKind.COLUMN_ADDED}
    for each in changes:
        kind, relation = each.kind, each.relation
        if relation is None:
            yield from _name_lost(each)
        elif relation not in old.relations:
            continue
        elif kind in (ChangeKind.CONSTRAINT_ADDED, ChangeKind.CONSTRAINT_CHANGED, ChangeKind.INDEX_ADDED):
            if not _was_there(each, changes):
                yield from _constraint(each, relation, new_columns, old)
        elif kind in (ChangeKind.CONSTRAINT_REMOVED, ChangeKind.INDEX_REMOVED):
            yield from _uniqueness_lost(each, relation, changes)
        elif kind in (ChangeKind.TRIGGER_ADDED, ChangeKind.TRIGGER_CHANGED):
            yield _trigger(each, relation)


def _trigger(change: SchemaChange, relation: str) -> Said:
    return Said(
        "MK317",
        Severity.WARNING,
        relation,
        f"Trigger {change.after.name} of {relation} is {'new' if change.before is None else 'another one now'}: it "
        "acts on the INSERTs and UPDATEs of the running release too, which was never tried with it.",
        "look at what it does with rows that the running release writes",
    )


def _was_there(change: SchemaChange, changes: Sequence[SchemaChange]) -> bool:
    """Tell whether the same rule stood under another name, or as an index in place of a constraint."""
    removes = (ChangeKind.CONSTRAINT_REMOVED, ChangeKind.INDEX_REMOVED)
    gone = [each.before for each in changes if each.kind in removes and each.relation == change.relation]
    unique = _unique_on(change.after)
    return any(
        each.definition == change.after.definition or (unique is not None and unique == _unique_on(each))
        for each in gone
    )


def _constraint(
    change: SchemaChange, relation: str, new_columns: set[tuple[str | None, str]], old: OldRelease
) -> Iterator[Said]:
    part = change.after
    is_index = not isinstance(part, Constraint)
    if is_index and not part.definition.startswith("UNIQUE"):
        return
    own_part = part.definition.partition(" REFERENCES ")[0]
    names = names_in(own_part)
    known = [name for name in sorted(names) if (relation, name) not in new_columns and old.knows(relation, name)]
    if names and not known:
        return  # about columns that the old release leaves out
    if not is_index and (column := is_not_null_check(part.definition)) is not None:
        yield Said(
            "MK309",
            Severity.ERROR,
            relation,
            f"Constraint {part.name} keeps NULL out of column {column} of {relation}, also while it is NOT VALID: an "
            "INSERT or UPDATE of the running release that writes NULL, which its model allows, fails with new row for "
            f'relation "{relation}" violates check constraint "{part.name}".',
            "first deploy code that always gives it a value, then add the constraint in the next release",
        )
        return
    word = "unique index" if is_index else _WORDS[part.kind]
    violated = "unique" if is_index else _VIOLATED[part.kind]
    kept = "also while it is NOT VALID" if not part.valid else "from now on"
    yield Said(
        "MK312",
        Severity.WARNING,
        relation,
        f"{relation} gets {_article(word)} {word} {part.name}: an INSERT or UPDATE of the running release, which knows "
        f'nothing of it, fails {kept} where it violates {violated} constraint "{part.name}": '
        f"{part.definition.removeprefix('UNIQUE USING btree ')}.",
        "make sure that the running release writes nothing else (its validation, its forms, its jobs), or deploy code "
        "that keeps to it first and add the constraint in the next release",
    )


def _article(word: str) -> str:
    return "an" if word.startswith("e") else "a"


_COLUMN_LIST = re.compile(r"\(([^()]*)\)")


def _uniqueness_lost(change: SchemaChange, relation: str, changes: Sequence[SchemaChange]) -> Iterator[Said]:
    columns = _unique_on(change.before)
    if columns is None:
        return
    adds = (ChangeKind.CONSTRAINT_ADDED, ChangeKind.INDEX_ADDED)
    others = [each.after for each in changes if each.kind in adds and each.relation == relation]
    if any(_unique_on(other) == columns for other in others):
        return
    removed = (each for each in changes if each.kind is ChangeKind.COLUMN_REMOVED and each.relation == relation)
    if {each.before.name for each in removed} & names_in(change.before.definition):
        return  # that says more
    yield Said(
        "MK318",
        Severity.WARNING,
        relation,
        f"{change.before.name} of {relation} no longer keeps {columns} unique: an INSERT … ON CONFLICT ({columns}) of "
        "the running release (update_conflicts of bulk_create) fails with there is no unique or exclusion constraint "
        "matching the ON CONFLICT specification, and get_or_create may make two rows.",
        "drop it in the next release, when no code relies on it any more",
    )


def _unique_on(part: Constraint | object) -> str | None:
    """Return the columns that a constraint or index keeps unique in every row, as text."""
    definition = str(getattr(part, "definition", ""))
    if not definition.startswith(("UNIQUE", "PRIMARY KEY")) or " WHERE " in definition:
        return None
    found = _COLUMN_LIST.search(definition)
    return found[1] if found else None


def _name_lost(change: SchemaChange) -> Iterator[Said]:
    """Give what belongs to no relation and may be called by its name."""
    if not change.kind.name.endswith(("_REMOVED", "_RENAMED")) or change.kind is ChangeKind.SCHEMA_REMOVED:
        return
    what = f"{change.kind.value.rpartition(' ')[0]} {change.name}"
    done = "removed" if change.kind.name.endswith("_REMOVED") else f"renamed to {change.after.name}"
    yield Said(
        "MK315",
        Severity.WARNING,
        None,
        f"{what[0].upper()}{what[1:]} is {done}: a statement of the running release that calls it by its name fails "
        "with … does not exist.",
        "search the running release for the name; keep it until the next release where it is used",
    )
