"""Which change of a column's type PostgreSQL makes without touching the rows, and which types it knows to be plain.

What is not known to be free counts as a rewrite. Measured on PostgreSQL 15 and 18 by the tests.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["ColumnType", "is_free_change", "is_plain", "keeps_indexes", "parse_type"]

_ALIASES = {
    "bool": "boolean",
    "bpchar": "character",
    "char": "character",
    "char varying": "character varying",
    "dec": "numeric",
    "decimal": "numeric",
    "float": "double precision",
    "float4": "real",
    "float8": "double precision",
    "int": "integer",
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "time without time zone": "time",
    "timestamp with time zone": "timestamptz",
    "timestamp without time zone": "timestamp",
    "time with time zone": "timetz",
    "varbit": "bit varying",
    "varchar": "character varying",
}

# Types of the server and of common extensions that are no domains: a new column of them has nothing to check.
_PLAIN_NAMES = """bigint bit boolean box bytea character cidr circle date integer inet interval json jsonb jsonpath line
    lseg macaddr macaddr8 money name numeric oid path point polygon real smallint text time timestamp timestamptz timetz
    tsquery tsvector uuid xml int4range int8range numrange tsrange tstzrange daterange int4multirange int8multirange
    nummultirange tsmultirange tstzmultirange datemultirange citext hstore ltree lquery ltxtquery cube geometry
    geography raster vector halfvec sparsevec"""
_PLAIN = frozenset(_PLAIN_NAMES.split()) | {"bit varying", "character varying", "double precision"}

_SERIAL = ("bigserial", "serial", "serial2", "serial4", "serial8", "smallserial")
_TYPE = re.compile(
    r"(?P<base>.+?)\s*(?:\((?P<args>[^()]*)\))?(?P<tail>(?: with(?:out)? time zone)?)\s*(?P<array>(?:\[\d*\])*)"
)


class ColumnType(NamedTuple):
    """A type taken apart: ``numeric(10,2)[]`` is base numeric, arguments ("10", "2"), array True."""

    base: str
    arguments: tuple[str, ...] = ()
    array: bool = False

    @property
    def is_serial(self) -> bool:
        """Tell whether it is shorthand for an integer with a sequence."""
        return self.base in _SERIAL


def parse_type(text: str) -> ColumnType:
    """Take a type apart, in any of PostgreSQL's writings; a schema before its name is dropped."""
    match = _TYPE.fullmatch(" ".join(text.replace('"', "").lower().split()))
    if match is None:
        return ColumnType(text.lower())
    base = (match["base"] + match["tail"]).strip().removeprefix("pg_catalog.").rpartition(".")[2]
    arguments = tuple(each.strip() for each in (match["args"] or "").split(",") if each.strip())
    base = _ALIASES.get(base, base)
    if base == "numeric" and len(arguments) == 1:
        arguments = (*arguments, "0")
    if base in ("character", "bit") and not arguments:
        arguments = ("1",)
    return ColumnType(base, arguments, bool(match["array"]))


def is_plain(kind: ColumnType) -> bool:
    """Tell whether a type is known to be no domain."""
    return kind.base in _PLAIN


def is_free_change(old: ColumnType, new: ColumnType, timezone: str | None) -> bool:
    """Tell whether the rows stay as they are; False where that is not known.

    ``timezone``: the session's; between timestamp and timestamptz it matters whether that is UTC.
    """
    if old == new:
        return True
    if old.array or new.array:
        return False  # even varchar(10)[] to varchar(20)[] is a rewrite
    if new.base == "text":
        return old.base in ("character varying", "citext")
    if (old.base, new.base) in (("text", "citext"), ("cidr", "inet")):
        return True
    if old.base == "text" and new.base == "character varying":
        return not new.arguments
    if {old.base, new.base} == {"timestamp", "timestamptz"}:
        return timezone is not None and timezone.upper() in ("UTC", "ETC/UTC") and _grows(old, new)
    if old.base != new.base:
        return False
    if old.base in ("character varying", "bit varying", "time", "timetz", "timestamp", "timestamptz"):
        return _grows(old, new)
    if old.base == "numeric":
        if not new.arguments:
            return True
        return bool(old.arguments) and old.arguments[1] == new.arguments[1] and _grows(old, new)
    return False


def keeps_indexes(old: ColumnType, new: ColumnType) -> bool:
    """Tell whether a plain index stays as it is after a free change: the same operators order the values."""
    alike = ({"text", "character varying"}, {"cidr", "inet"})
    return old.base == new.base or {old.base, new.base} in alike


def _grows(old: ColumnType, new: ColumnType) -> bool:
    """Tell whether the first argument (a length or precision) does not shrink; none at all means without limit."""
    if not new.arguments:
        return True
    if not old.arguments or not (old.arguments[0].isdigit() and new.arguments[0].isdigit()):
        return False
    return int(new.arguments[0]) >= int(old.arguments[0])
