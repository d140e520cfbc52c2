"""Refuse writes to databases that are not the one at hand."""

import re
from contextlib import ExitStack, contextmanager

from .faults import Fault

_COMMENTS = re.compile(r"^(\s+|--[^\n]*(\n|$)|/\*.*?\*/)+", re.DOTALL)
_READS = (
    "SELECT",
    "SHOW",
    "SAVEPOINT",
    "RELEASE",
    "ROLLBACK",
    "SET",
    "DECLARE",
    "FETCH",
    "CLOSE",
    "EXPLAIN",
    "PRAGMA",
    "VALUES",
    "(SELECT",
)
_CHANGES = re.compile(r"\b(INSERT|UPDATE|DELETE|MERGE)\b", re.IGNORECASE)


def writes(sql):
    """Say whether a statement may write, as far as its first word shows; in doubt it may."""
    text = _COMMENTS.sub("", str(sql))
    if text[:5].upper() == "WITH ":
        return bool(_CHANGES.search(text))
    return not text.upper().startswith(_READS)


@contextmanager
def no_writes(aliases, message, hint, gate):
    """Refuse what writes to these databases; ``message`` has a place for the alias."""
    from django.db import connections

    with ExitStack() as stack:
        for alias in aliases:
            try:
                connection = connections[alias]
            except Exception:
                continue  # its driver is missing: nobody writes there

            def refuse(execute, sql, params, many, context, _alias=alias):
                if writes(sql):
                    raise Fault("GateClosed", message.format(_alias), hint, gate=gate)
                return execute(sql, params, many, context)

            stack.enter_context(connection.execute_wrapper(refuse))
        yield


def others(target):
    """Return the aliases of databases that are another than the target; its own aliases are not among them."""
    from django.db import connections

    def place(alias):
        values = connections.settings[alias]
        return str(values.get("HOST") or ""), str(values.get("PORT") or ""), str(values.get("NAME"))

    return [alias for alias in connections if alias != target and place(alias) != place(target)]
