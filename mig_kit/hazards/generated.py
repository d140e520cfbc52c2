"""The runbook's three checks on freshly generated migrations: field types, deletions, dependency order.

Works on the worker's plain operations (``mig_kit/project/worker/plain.py``), so it never imports the project.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mig_kit.hazards.finding import Finding, Severity

__all__ = ["check_generated"]

# Column types by what they can hold, the digits before the point: PostgreSQL manual, chapter 8.1 "Numeric Types".
_INTEGERS = {"smallint": 5, "integer": 10, "bigint": 19}
_ALIASES = {"serial": "integer", "bigserial": "bigint", "smallserial": "smallint"}
_LOSES = {
    ("double precision", "numeric"): "digits may be rounded",
    ("timestamp with time zone", "date"): "the time of day goes",
    ("timestamp with time zone", "time"): "the date goes",
}


def check_generated(
    migrations: Sequence[Mapping[str, Any]],
    *,
    applied: Iterable[tuple[str, str]] = (),
    known: Iterable[tuple[str, str]] = (),
) -> tuple[Finding, ...]:
    """Check migrations as the worker's ``operations`` gives them and return the findings, file by file.

    ``applied``: what the database has recorded; ``known``: every migration that has a file.
    """
    applied, known = set(applied), set(known)
    own = {(each["app"], each["name"]) for each in migrations}
    found: list[Finding] = []
    for migration in migrations:
        operations = migration["operations"]
        for operation in operations:
            found += _field_type(migration, operation)
            found += _deletion(migration, operation, operations)
        found += _dependencies(migration, own, applied, known)
    return tuple(found)


def _finding(
    id: str,
    severity: Severity,
    migration: Mapping[str, Any],
    operation: str,
    message: str,
    hint: str,
    evidence: str = "rule",
) -> Finding:
    return Finding(id, severity, migration["app"], migration["name"], operation, message, hint, evidence)


def _field_type(migration: Mapping[str, Any], operation: Mapping[str, Any]) -> Iterator[Finding]:
    before, after = operation["before"], operation["after"]
    if operation["class"] != "AlterField" or before is None or after is None:
        return
    name, what = _name(operation), operation["describe"]
    if narrowed := _narrowed(before, after):
        yield _finding(
            "MK101",
            Severity.ERROR,
            migration,
            what,
            f"{name} is narrowed: {narrowed}. Rows that do not fit make the migration fail, or lose what is cut off.",
            "count the rows that do not fit first: rb.query('SELECT count(*) FROM … WHERE …')",
        )
    elif changed := _changed(before, after):
        yield _finding(
            "MK102",
            Severity.WARNING,
            migration,
            what,
            f"{name} changes from {changed}.",
            "check that every value converts, and how long the table is rewritten: rehearse it on a copy",
            "rule" if before["to"] or after["to"] or (before["db_type"] and after["db_type"]) else "unknown",
        )
    # With a default Django fills the NULLs itself before it sets NOT NULL.
    filled = after["has_default"] or after["has_db_default"]
    if before["null"] and not after["null"] and not filled:
        yield _finding(
            "MK103",
            Severity.WARNING,
            migration,
            what,
            f"{name} becomes NOT NULL: a single NULL left in it makes the migration fail.",
            "fill the NULLs in a migration before this one",
        )


def _name(operation: Mapping[str, Any], field: str | None = None) -> str:
    return f"{operation['app']}.{operation['model']}.{field or operation['field']}"


def _base(field: Mapping[str, Any]) -> str | None:
    """Return a column's type without its length, or None where it is not known."""
    if not field["db_type"]:
        return None
    base = re.sub(r"\(.*\)", "", field["db_type"]).split(" generated")[0].strip()
    return _ALIASES.get(base, base)


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
    """Return "one to other" when the column's type, or what it refers to, is another one; wider is not another."""
    old, new = _base(before), _base(after)
    if (before["to"] or "").lower() != (after["to"] or "").lower():
        return f"{before['code']} to {after['code']}"
    if old is None or new is None:
        # A relation's type is that of its target; of another field that does not tell its type, nothing is known.
        unknown = before["to"] is None and before["class"] != after["class"]
        return f"{before['code']} to {after['code']}" if unknown else None
    parameters_widen = old in ("varchar", "numeric")
    if old != new or (before["db_type"] != after["db_type"] and not parameters_widen and old not in _INTEGERS):
        return f"{before['db_type']} to {after['db_type']}"
    return None


def _narrowed(before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
    """Return in what way a column can hold less than before, or None."""
    old, new = _base(before), _base(after)
    if old is None or new is None:
        return None
    types = f"{before['db_type']} to {after['db_type']}"
    if new in _INTEGERS:
        if old in ("double precision", "numeric") or _INTEGERS.get(old, 0) > _INTEGERS[new]:
            return types
        if old in _INTEGERS and "Positive" in after["class"] and "Positive" not in before["class"]:
            return f"{before['class']} to {after['class']}, which takes no negative numbers"
    if new == "varchar" and old in ("varchar", "text") and after["max_length"] is not None:
        longest = before["max_length"] if old == "varchar" else None
        if longest is None or after["max_length"] < longest:
            return types
    if new == "numeric" and after["max_digits"] is not None:
        whole = after["max_digits"] - after["decimal_places"]
        if old in _INTEGERS and whole < _INTEGERS[old]:
            return types
        if old == "numeric" and (
            before["max_digits"] is None
            or whole < before["max_digits"] - before["decimal_places"]
            or after["decimal_places"] < before["decimal_places"]
        ):
            return types
    if (old, new) in _LOSES:
        return f"{types} ({_LOSES[old, new]})"
    return None


def _deletion(
    migration: Mapping[str, Any], operation: Mapping[str, Any], operations: Sequence[Mapping[str, Any]]
) -> Iterator[Finding]:
    what = operation["describe"]
    if operation["class"] == "DeleteModel":
        yield _finding(
            "MK112",
            Severity.ERROR,
            migration,
            what,
            f"The table of {operation['app']}.{operation['model']} is dropped, with every row in it.",
            "back up first; if the model was only renamed, undo this file and answer the rename question with True",
        )
    if operation["class"] != "RemoveField" or operation["before"] is None:
        return
    name, before = _name(operation), operation["before"]
    table = before["many_to_many"]
    yield _finding(
        "MK111",
        Severity.ERROR,
        migration,
        what,
        f"The {'table that joins' if table else 'column of'} {name} is dropped, with every "
        f"{'row' if table else 'value'} in it.",
        "take the field out of the running code in an earlier release, and back up before this one",
    )
    for other in operations:
        added = other["class"] == "AddField" and other["model"] == operation["model"]
        if (
            added
            and other["after"]
            and (other["after"]["class"], other["after"]["to"]) == (before["class"], before["to"])
        ):
            same = other["after"]["code"] == before["code"]
            yield _finding(
                "MK113",
                Severity.WARNING,
                migration,
                what,
                f"{name} is removed and {_name(other)}, a field of the same kind, is added: "
                "that looks like a rename, and as it stands the values are lost.",
                "if it is a rename, undo this file and answer the rename question with True"
                if same
                else "if it is a rename, undo this file and rename the field first, with all else as it was: "
                "then makemigrations asks",
            )


def _dependencies(
    migration: Mapping[str, Any],
    own: set[tuple[str, str]],
    applied: set[tuple[str, str]],
    known: set[tuple[str, str]],
) -> Iterator[Finding]:
    depended = {tuple(each) for each in migration["dependencies"]}
    for app, name in sorted(depended):
        if app == "__setting__" or name in ("__first__", "__latest__"):
            continue
        if known and (app, name) not in known:
            yield _finding(
                "MK121",
                Severity.ERROR,
                migration,
                f"depends on {app}.{name}",
                f"It depends on {app}.{name}, which has no file.",
                "restore that file from version control, or correct the dependency",
                "catalog",
            )
        elif (app, name) not in applied and (app, name) not in own and app != migration["app"]:
            yield _finding(
                "MK122",
                Severity.WARNING,
                migration,
                f"depends on {app}.{name}",
                f"It depends on {app}.{name}, which this database has not applied: it will run first.",
                f"look at it too: rb.preview({app!r}, {name!r})",
                "catalog",
            )
    apps = {app.lower() for app, _name in depended} | {migration["app"].lower()}
    if "__setting__" in apps:
        return  # what a swappable setting stands for is not told here
    for operation in migration["operations"]:
        label, dot, _model = ((operation["after"] or {}).get("to") or "").lower().partition(".")
        if dot and label not in apps:
            yield _finding(
                "MK123",
                Severity.ERROR,
                migration,
                operation["describe"],
                f"It refers to {operation['after']['to']} and does not depend on any migration of {label!r}.",
                f"add a dependency on the migration of {label!r} that creates it",
            )
