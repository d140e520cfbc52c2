"""The constraints that ALTER TABLE adds, checks and drops."""

from __future__ import annotations

from mig_kit.hazards._words import Reader
from mig_kit.hazards.catalog import Column, TableInfo
from mig_kit.hazards.column_change import skip_reference_clauses
from mig_kit.hazards.facts import Draft, WorkKind
from mig_kit.hazards.locks import LockMode

__all__ = ["add_constraint", "alter_constraint", "check_not_null", "drop_constraint", "validate_constraint"]

_AE = LockMode.ACCESS_EXCLUSIVE
_SRE = LockMode.SHARE_ROW_EXCLUSIVE
_SUE = LockMode.SHARE_UPDATE_EXCLUSIVE


def add_constraint(draft: Draft, info: TableInfo, reader: Reader) -> bool:
    """Read what follows ADD [CONSTRAINT …]; False when it was not recognised."""
    if reader.take("CONSTRAINT") and reader.identifier() is None:
        return False
    kind = reader.take_any("CHECK", "UNIQUE", "PRIMARY KEY", "FOREIGN KEY", "EXCLUDE", "NOT NULL")
    if kind == "CHECK":
        draft.kinds.append("add check")
        draft.lock(info.label, _AE)
        if reader.parentheses() is None:
            return False
        reader.take("NO", "INHERIT")
        if not _left_unchecked(reader):
            draft.work(WorkKind.SCAN, info.label, "every row is checked")
        return True
    if kind == "NOT NULL":
        return _add_not_null(draft, info, reader)
    if kind == "FOREIGN KEY":
        columns = reader.names_in_parentheses()
        if columns is None or not reader.take("REFERENCES"):
            return False
        parent = reader.relation()
        if parent is None:
            return False
        draft.kinds.append("add foreign key")
        draft.columns += columns
        draft.lock(info.label, _SRE)
        reader.parentheses()
        skip_reference_clauses(reader)
        while reader.take_any("NOT DEFERRABLE", "DEFERRABLE", "INITIALLY DEFERRED", "INITIALLY IMMEDIATE"):
            pass
        unchecked = _left_unchecked(reader)
        _add_foreign_key(draft, info, parent, scan=not unchecked)
        return True
    if kind in ("UNIQUE", "PRIMARY KEY"):
        return _add_unique(draft, info, reader, primary=kind == "PRIMARY KEY")
    if kind == "EXCLUDE":
        draft.kinds.append("add exclusion constraint")
        draft.lock(info.label, _AE)
        draft.lock(info.label, LockMode.SHARE)
        draft.build(info, "an exclusion constraint builds its index")
        reader.at = len(reader.words)
        return True
    return False


def _left_unchecked(reader: Reader) -> bool:
    return bool(reader.take_any("NOT VALID", "NOT ENFORCED"))


def _add_not_null(draft: Draft, info: TableInfo, reader: Reader) -> bool:
    column = reader.identifier()
    if column is None:
        return False
    draft.kinds.append("add not null")
    draft.columns.append(column)
    draft.lock(info.label, _AE)
    if draft.major_is(18) is False:
        draft.fails = "NOT NULL as a table constraint is known since PostgreSQL 18"
    reader.take("NO", "INHERIT")
    if not _left_unchecked(reader):
        check_not_null(draft, info, column)
    return True


def _add_foreign_key(draft: Draft, info: TableInfo, parent: str, *, scan: bool) -> None:
    """Add what a foreign key takes on its parent table, and the check of the rows that are there."""
    other = draft.table(parent)
    draft.lock(other.label, _SRE)
    if scan:
        draft.lock(other.label, LockMode.ROW_SHARE)
        if info.row_estimate == 0:
            draft.because(f"{info.label} is empty: nothing is looked up in {other.label}")
            return
        draft.work(WorkKind.SCAN, info.label, f"every row is looked up in {other.label}")
        draft.work(WorkKind.SCAN, other.label)


def _add_unique(draft: Draft, info: TableInfo, reader: Reader, *, primary: bool) -> bool:
    draft.kinds.append("add primary key" if primary else "add unique")
    draft.lock(info.label, _AE)
    if reader.take("USING", "INDEX"):
        name = reader.identifier()
        if name is None:
            return False
        columns = next((index.keys for index in info.indexes or () if index.name == name), ())
        draft.because("the index is there already")
    else:
        reader.take("NULLS", "NOT", "DISTINCT") or reader.take("NULLS", "DISTINCT")
        names = reader.names_in_parentheses()
        if names is None:
            return False
        columns = tuple(names)
        draft.lock(info.label, LockMode.SHARE)
        draft.build(info, "the constraint builds its unique index")
    draft.columns += columns
    if primary:
        for column in columns:
            check_not_null(draft, info, column)
        if not columns:
            check_not_null(draft, info, None)
    reader.at = len(reader.words)  # INCLUDE, WITH, USING INDEX TABLESPACE, DEFERRABLE
    return True


def check_not_null(draft: Draft, info: TableInfo, column: str | None) -> None:
    """Add the scan for NULLs, unless the catalog shows that there can be none."""
    known = (info.columns or {}).get(column) if column is not None else None
    unproven = [each.name for each in info.not_nulls if each.column == column and not each.valid]
    if isinstance(known, Column) and known.not_null and not unproven:
        draft.because(f"{info.label}.{column} is NOT NULL already")
        return
    proof = [each for each in info.checks or () if each.valid and column and each.proves_not_null == column]
    if proof:
        draft.because(f"the CHECK {proof[0].name} proves that no {column} is NULL")
        return
    if info.checks is None:
        draft.unsure.append("a valid CHECK (… IS NOT NULL) would save the scan")
    draft.work(WorkKind.SCAN, info.label, f"every row's {column or 'key'} is checked for NULL")


def drop_constraint(draft: Draft, info: TableInfo, name: str) -> None:
    """Add what dropping a constraint locks besides its table."""
    if info.foreign_keys is None:
        draft.unsure.append("if it is a foreign key, its parent table is locked ACCESS EXCLUSIVE too")
    for key in info.foreign_keys or ():
        if key.name == name:
            draft.lock(key.parent, _AE)
            draft.because(f"the foreign key's triggers on {key.parent} are dropped with it")
    for index in info.indexes or ():
        if index.constraint == name:
            draft.lock(index.name, _AE)
            draft.drops.append(index.name)
            for key in info.referenced_by or ():
                if set(key.parent_columns) == set(index.keys):
                    draft.lock(key.table, _AE)


def alter_constraint(draft: Draft, info: TableInfo, reader: Reader) -> bool:
    """Read what follows ALTER CONSTRAINT."""
    name = reader.identifier()
    if name is None:
        return False
    draft.kinds.append("alter constraint")
    draft.lock(info.label, _AE)
    if not reader.take_any("DEFERRABLE", "NOT DEFERRABLE", "INITIALLY DEFERRED", "INITIALLY IMMEDIATE"):
        return False
    reader.take_any("INITIALLY DEFERRED", "INITIALLY IMMEDIATE")
    return True


def validate_constraint(draft: Draft, info: TableInfo, reader: Reader) -> bool:
    """Read what follows VALIDATE CONSTRAINT."""
    name = reader.identifier()
    if name is None:
        return False
    draft.kinds.append("validate constraint")
    draft.lock(info.label, _SUE)
    draft.work(WorkKind.SCAN, info.label, "every row is checked, under a lock that lets others read and write")
    if info.foreign_keys is None:
        draft.unsure.append("if it is a foreign key, its parent is read too, under ROW SHARE")
    for key in info.foreign_keys or ():
        if key.name == name:
            draft.lock(key.parent, LockMode.ROW_SHARE)
            draft.work(WorkKind.SCAN, key.parent)
    return True
