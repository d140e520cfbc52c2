"""The two column actions that may touch every row: ADD COLUMN and ALTER COLUMN … TYPE."""

from __future__ import annotations

from collections.abc import Sequence

from mig_kit.hazards._words import Reader, Word
from mig_kit.hazards.catalog import TableInfo
from mig_kit.hazards.column_types import ColumnType, is_free_change, is_plain, keeps_indexes, parse_type
from mig_kit.hazards.facts import Draft, WorkKind
from mig_kit.hazards.locks import LockMode

__all__ = ["add_column", "change_type", "set_expression", "skip_reference_clauses", "type_words"]

_CLAUSE_WORDS = """CHECK COLLATE COMPRESSION CONSTRAINT DEFAULT DEFERRABLE GENERATED INITIALLY NOT NULL PRIMARY
    REFERENCES STORAGE UNIQUE USING"""
_CLAUSES = frozenset(_CLAUSE_WORDS.split())

# Functions that give one value for the whole statement: such a default is worked out once and kept in the catalog.
_NOT_VOLATILE_NAMES = """abs array array_agg coalesce concat current_date current_setting current_time
    current_timestamp date date_part date_trunc extract format greatest json_build_array json_build_object
    jsonb_build_array jsonb_build_object least length localtime localtimestamp lower make_date make_interval
    make_timestamp make_timestamptz md5 now nullif point replace round row statement_timestamp timezone to_char to_date
    to_json to_jsonb to_timestamp to_tsvector transaction_timestamp trim upper"""
_NOT_VOLATILE = frozenset(_NOT_VOLATILE_NAMES.split())
_NO_FUNCTIONS = ("CAST", "AND", "OR", "NOT", "IN", "ANY", "CASE", "WHEN", "THEN", "ELSE")


def add_column(draft: Draft, info: TableInfo, column: str, reader: Reader) -> bool:
    """Read a column's type and clauses; False when one was not recognised."""
    kind = parse_type(type_words(reader))
    default: list[Word] | None = None
    not_null = identity = False
    parent: str | None = None
    if kind.is_serial:
        identity = not_null = True
    while reader:
        if reader.take("CONSTRAINT"):
            if reader.identifier() is None:
                return False
        elif reader.take("NOT", "NULL"):
            not_null = True
        elif reader.take("DEFAULT"):
            default = _default(reader)
        elif reader.take("CHECK"):
            if reader.parentheses() is None:
                return False
            reader.take("NO", "INHERIT")
            if not reader.take("NOT", "ENFORCED"):
                draft.work(WorkKind.SCAN, info.label, f"the CHECK on the new column {column} is tried on every row")
        elif reader.take("GENERATED"):
            if not reader.take_any("ALWAYS AS", "BY DEFAULT AS"):
                return False
            if reader.take("IDENTITY"):
                reader.parentheses()
                identity = not_null = True
            elif not _generated(draft, info, reader):
                return False
        elif reader.take("UNIQUE") or reader.take("PRIMARY", "KEY"):
            reader.take_any("NULLS NOT DISTINCT", "NULLS DISTINCT")
            draft.lock(info.label, LockMode.SHARE)
            draft.build(info, "the constraint builds its unique index")
        elif reader.take("REFERENCES"):
            parent = reader.relation()
            if parent is None:
                return False
            reader.parentheses()
            skip_reference_clauses(reader)
        elif reader.take("COLLATE"):
            if reader.relation() is None:
                return False
        elif reader.take_any("STORAGE", "COMPRESSION"):
            reader.identifier()
        elif not reader.take_any("NULL", "NOT DEFERRABLE", "DEFERRABLE", "INITIALLY DEFERRED", "INITIALLY IMMEDIATE"):
            return False
    if identity:
        draft.rewrite(info, f"each row gets its own number in {column}")
    _consider_default(draft, info, column, default, not_null and not identity)
    _consider_domain(draft, info, kind)
    if parent is not None:
        other = draft.table(parent)
        draft.lock(other.label, LockMode.SHARE_ROW_EXCLUSIVE)
        if default is not None or identity:
            draft.lock(other.label, LockMode.ROW_SHARE)
            draft.work(WorkKind.SCAN, info.label, f"every row is looked up in {other.label}")
            draft.work(WorkKind.SCAN, other.label)
    return True


def type_words(reader: Reader) -> str:
    """Read a type, up to the first clause of a column, and return it as PostgreSQL writes it."""
    return _text(reader.until(*_CLAUSES))


def _default(reader: Reader) -> list[Word]:
    """Read a default's expression, whose first word may be NULL or NOT."""
    first = reader.words[reader.at : reader.at + 1]
    if reader.peek() in _CLAUSES:
        reader.at += 1
        return first + (reader.until(*_CLAUSES) if first[0].key == "NOT" else [])
    return reader.until(*_CLAUSES)


def skip_reference_clauses(reader: Reader) -> None:
    """Step over MATCH, ON DELETE and ON UPDATE."""
    while True:
        if reader.take("MATCH"):
            reader.at += 1
        elif reader.take("ON"):
            reader.at += 1
            if not reader.take_any("NO ACTION", "SET NULL", "SET DEFAULT"):
                reader.at += 1
            reader.parentheses()
        else:
            return


def _generated(draft: Draft, info: TableInfo, reader: Reader) -> bool:
    if reader.parentheses() is None:
        return False
    if reader.take("STORED"):
        draft.rewrite(info, "a stored generated column is worked out for every row")
        return True
    reader.take("VIRTUAL")
    if draft.major_is(18) is False:
        draft.fails = "virtual generated columns are known since PostgreSQL 18"
    draft.because("a virtual generated column is worked out when it is read")
    return True


def _consider_default(
    draft: Draft, info: TableInfo, column: str, default: Sequence[Word] | None, not_null: bool
) -> None:
    if default is None or [word.key for word in default] == ["NULL"]:
        generated = any("generated" in reason for reason in draft.reasons)
        if not_null and not generated:
            draft.work(WorkKind.SCAN, info.label, "the rows that are there are checked for NULL")
            if info.row_estimate != 0:
                draft.fails = f"rows that are there would hold NULL in {column}, which is NOT NULL without a default"
        elif not_null:
            draft.work(WorkKind.SCAN, info.label, "the new column's value is checked for NULL in every row")
        return
    doubted = _volatile_call(draft, default)
    if doubted:
        draft.rewrite(info, f"the default calls {doubted}, which may give each row its own value")
    else:
        draft.because("the default is one value, kept in the catalog: no row is written")


def _volatile_call(draft: Draft, expression: Sequence[Word]) -> str | None:
    """Return the first function in an expression that is not known to give one value for all rows."""
    for place, word in enumerate(expression[:-1]):
        if expression[place + 1].text != "(" or word.name is None:
            continue
        name = word.name
        known = draft.catalog.volatile.get(name)
        cast = place > 0 and expression[place - 1].text == "::"
        if known is False or (known is None and (name in _NOT_VOLATILE or cast or is_plain(parse_type(name)))):
            continue
        if word.kind == "word" and word.key in _NO_FUNCTIONS:
            continue
        return name
    return None


def _consider_domain(draft: Draft, info: TableInfo, kind: ColumnType) -> None:
    """A domain with a CHECK is tried on every row, by way of a rewrite."""
    if kind.is_serial or is_plain(kind):
        return
    domains = draft.catalog.domains
    if domains is not None and (kind.base in domains or kind.base in draft.catalog.base_types):
        if domains.get(kind.base):
            draft.rewrite(info, f"the domain {kind.base} has a condition that every row is tried against")
        return
    draft.unknown(f"whether the type {kind.base} is a domain with a condition is not known")


def set_expression(draft: Draft, info: TableInfo, column: str, reader: Reader) -> bool:
    """Read ``AS (…)``: a stored generated column is worked out anew for every row."""
    if not reader.take("AS") or reader.parentheses() is None:
        return False
    if draft.major_is(17) is False:
        draft.fails = "SET EXPRESSION is known since PostgreSQL 17"
    known = (info.columns or {}).get(column)
    if known is not None and known.generated == "virtual":
        if known.not_null or any(column in check.columns for check in info.checks or ()):
            draft.work(WorkKind.SCAN, info.label, f"what constrains {column} is checked again")
        return True
    draft.rewrite(info, "a stored generated column is worked out for every row")
    return True


def change_type(draft: Draft, info: TableInfo, column: str, reader: Reader) -> bool:
    """Read the new type, COLLATE and USING, and add what the change does to the rows, indexes and constraints."""
    new = parse_type(_text(reader.until("COLLATE", "USING")))
    collation = reader.relation() if reader.take("COLLATE") else None
    using = reader.rest if reader.take("USING") else None
    reader.at = len(reader.words)
    known = (info.columns or {}).get(column)
    old = parse_type(known.type) if known is not None else None
    free = old is not None and is_free_change(old, new, draft.catalog.timezone) and _is_own_cast(using, column, new)
    recollated = known is not None and collation != known.collation
    _dependents(draft, info, column)
    if not free:
        why = "what the type is now is not known" if old is None else f"from {_name(old)} to {_name(new)}"
        draft.rewrite(info, f"the type of {column} changes: {why}")
    else:
        draft.because(f"no row changes when {column} goes from {_name(old)} to {_name(new)}")
        keeps = old is not None and keeps_indexes(old, new) and not recollated
        _indexes(draft, info, column, keeps=keeps)
    for check in info.checks or ():
        if column in check.columns:
            draft.work(WorkKind.SCAN, info.label, f"the CHECK {check.name} is tried on every row again")
    _foreign_keys(draft, info, column, same=free and old is not None and keeps_indexes(old, new) and not recollated)
    draft.because(f"the statistics of {column} are dropped: plans may be bad until ANALYZE")
    if free and (info.indexes is None or info.checks is None):
        draft.unsure.append(
            f"an expression or partial index with {column} would be rebuilt, a CHECK with it tried on every row"
        )
    if info.foreign_keys is None:
        draft.unsure.append(f"foreign keys from or to {column} would lock the other table and be checked again")
    return True


def _is_own_cast(using: Sequence[Word] | None, column: str, new: ColumnType) -> bool:
    """Tell whether USING only says what happens anyway: nothing, the column, or the column cast to the new type."""
    if using is None:
        return True
    if not using or using[0].name != column:
        return False
    return len(using) == 1 or (using[1].text == "::" and parse_type(_text(using[2:])) == new)


def _dependents(draft: Draft, info: TableInfo, column: str) -> None:
    for other in info.dependents or ():
        if column in other.columns and other.kind in ("view", "generated column", "trigger", "policy"):
            draft.fails = f"the {other.kind} {other.name} uses {info.label}.{column}: its type cannot be changed"
        if column in other.columns and other.kind == "sequence":
            draft.lock(other.name, LockMode.SHARE_ROW_EXCLUSIVE)


def _indexes(draft: Draft, info: TableInfo, column: str, *, keeps: bool) -> None:
    for index in info.indexes or ():
        if column not in index.columns:
            continue
        draft.lock(info.label, LockMode.SHARE)
        draft.lock(index.name, LockMode.ACCESS_EXCLUSIVE)
        if index.expression or index.partial or not keeps:
            what = "an expression" if index.expression else "a predicate" if index.partial else "another ordering"
            draft.build(info, f"the index {index.name} has {what} and is rebuilt")


def _foreign_keys(draft: Draft, info: TableInfo, column: str, *, same: bool) -> None:
    """A foreign key from or to the column is dropped and made again, and checked again unless nothing changed."""
    keys = [key for key in info.foreign_keys or () if column in key.columns]
    keys += [key for key in info.referenced_by or () if column in key.parent_columns and key not in keys]
    for key in keys:
        other = key.parent if key.table == info.label else key.table
        for relation in (key.table, key.parent):
            draft.lock(relation, LockMode.ACCESS_EXCLUSIVE)
        if not same:
            draft.work(WorkKind.SCAN, key.table, f"the foreign key {key.name} with {other} is checked again")
            draft.work(WorkKind.SCAN, key.parent)
            draft.lock(key.parent, LockMode.ROW_SHARE)


def _text(words: Sequence[Word]) -> str:
    """Put a type's words together as PostgreSQL writes it."""
    text = ""
    for word in words:
        glued = not text or word.text in "(),[].%" or text.endswith(("(", "[", "."))
        text += word.text if glued else f" {word.text}"
    return text


def _name(kind: ColumnType | None) -> str:
    if kind is None:
        return "?"
    arguments = f"({','.join(kind.arguments)})" if kind.arguments else ""
    return f"{kind.base}{arguments}{'[]' if kind.array else ''}"
