"""The runbook's three checks on freshly generated migrations: field types, deletions, dependency order.

Works on the worker's plain operations (``mig_kit/project/worker/plain.py``), so it never imports the project.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mig_kit.hazards.finding import Finding, Severity

__all__ = ["check_generated"]

# Column types in the order of what they can hold: PostgreSQL manual, chapter 8.1 "Numeric Types".
_INTEGERS = {"smallint": 1, "integer": 2, "bigint": 3}
_ALIASES = {"serial": "integer", "bigserial": "bigint", "smallserial": "smallint"}


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


def _field_type(migration: Mapping[str, Any], operation: Mapping[str, Any]) -> list[Finding]:
    before, after = operation["before"], operation["after"]
    if operation["class"] != "AlterField" or before is None or after is None:
        return []
    name = f"{operation['app']}.{operation['model']}.{operation['field']}"
    found = []
    narrowed = _narrowed(before, after)
    if narrowed:
        found.append(
            _finding(
                "MK101",
                Severity.ERROR,
                migration,
                operation["describe"],
                f"{name} is narrowed: {narrowed}. Rows that do not fit make the migration fail, or lose digits.",
                "count the rows that do not fit first: rb.query(…)",
            )
        )
    elif _base(before) != _base(after) and None not in (_base(before), _base(after)):
        found.append(
            _finding(
                "MK102",
                Severity.WARNING,
                migration,
                operation["describe"],
                f"{name} changes its column type from {before['db_type']} to {after['db_type']}.",
                "check that every value converts, and how long the table is rewritten: rehearse it",
            )
        )
    elif before["class"] != after["class"] and (before["to"] or after["to"]) and before["to"] != after["to"]:
        found.append(
            _finding(
                "MK102",
                Severity.WARNING,
                migration,
                operation["describe"],
                f"{name} changes from {before['code']} to {after['code']}.",
                "check that every value converts: rehearse it",
            )
        )
    if before["null"] and not after["null"]:
        found.append(
            _finding(
                "MK103",
                Severity.WARNING,
                migration,
                operation["describe"],
                f"{name} becomes NOT NULL: a single NULL left in it makes the migration fail.",
                "fill the NULLs in a migration before this one",
            )
        )
    return found


def _base(field: Mapping[str, Any]) -> str | None:
    """Return a column's type without its length, or None where it is not known."""
    if not field["db_type"]:
        return None
    base = re.sub(r"\(.*\)", "", field["db_type"]).split(" generated")[0].strip()
    return _ALIASES.get(base, base)


def _narrowed(before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
    old, new = _base(before), _base(after)
    if old is None or new is None:
        return None
    if old in _INTEGERS and new in _INTEGERS and _INTEGERS[new] < _INTEGERS[old]:
        return f"{old} to {new}"
    if new == "varchar" and old in ("varchar", "text") and after["max_length"] is not None:
        if before["max_length"] is None or old == "text":
            return f"{before['db_type']} to {after['db_type']}"
        if after["max_length"] < before["max_length"]:
            return f"max_length {before['max_length']} to {after['max_length']}"
    if old == new == "numeric" and None not in (before["max_digits"], after["max_digits"]):
        whole = (
            before["max_digits"] - before["decimal_places"],
            after["max_digits"] - after["decimal_places"],
        )
        if whole[1] < whole[0] or after["decimal_places"] < before["decimal_places"]:
            return f"{before['db_type']} to {after['db_type']}"
    if old == "double precision" and new in (*_INTEGERS, "numeric"):
        return f"{before['db_type']} to {after['db_type']}"
    return None


def _deletion(
    migration: Mapping[str, Any], operation: Mapping[str, Any], operations: Sequence[Mapping[str, Any]]
) -> list[Finding]:
    if operation["class"] == "DeleteModel":
        return [
            _finding(
                "MK112",
                Severity.ERROR,
                migration,
                operation["describe"],
                f"The table of {operation['app']}.{operation['model']} is dropped, with every row in it.",
                "if the model was only renamed or moved, undo this file and answer the rename question with yes",
            )
        ]
    if operation["class"] != "RemoveField":
        return []
    model, field = operation["model"], operation["field"]
    found = [
        _finding(
            "MK111",
            Severity.ERROR,
            migration,
            operation["describe"],
            f"The column of {operation['app']}.{model}.{field} is dropped, with every value in it.",
            "take the field out of the running code in an earlier release, and back up before this one",
        )
    ]
    for other in operations:
        same_model = other["class"] == "AddField" and other["model"] == model
        if same_model and _same_kind(other["after"], operation["before"]):
            found.append(
                _finding(
                    "MK113",
                    Severity.WARNING,
                    migration,
                    operation["describe"],
                    f"{operation['app']}.{model}.{field} is removed and the like field {other['field']} is added: "
                    "that looks like a rename, and as it stands the values are lost.",
                    "if it is a rename, undo this file and answer the rename question with yes",
                )
            )
    return found


def _same_kind(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> bool:
    return one is not None and other is not None and (one["class"], one["to"]) == (other["class"], other["to"])


def _dependencies(
    migration: Mapping[str, Any],
    own: set[tuple[str, str]],
    applied: set[tuple[str, str]],
    known: set[tuple[str, str]],
) -> list[Finding]:
    found = []
    depended = {tuple(each) for each in migration["dependencies"]}
    for app, name in sorted(depended):
        if app == "__setting__" or name in ("__first__", "__latest__"):
            continue
        if known and (app, name) not in known:
            found.append(
                _finding(
                    "MK121",
                    Severity.ERROR,
                    migration,
                    f"depends on {app}.{name}",
                    f"It depends on {app}.{name}, which has no file.",
                    "restore that file from version control, or correct the dependency",
                    "catalog",
                )
            )
        elif (app, name) not in applied and (app, name) not in own and app != migration["app"]:
            found.append(
                _finding(
                    "MK122",
                    Severity.WARNING,
                    migration,
                    f"depends on {app}.{name}",
                    f"It depends on {app}.{name}, which this database has not applied: it will run first.",
                    f"look at it too: rb.preview({app!r}, {name!r})",
                    "catalog",
                )
            )
    apps = {app for app, _name in depended} | {migration["app"]}
    for operation in migration["operations"]:
        to = (operation["after"] or {}).get("to") or ""
        label = to.split(".")[0].lower() if "." in to else ""
        swappable = any(app == "__setting__" for app, _name in depended)
        if label and label not in {app.lower() for app in apps} and not swappable:
            found.append(
                _finding(
                    "MK123",
                    Severity.ERROR,
                    migration,
                    operation["describe"],
                    f"It refers to {to} and does not depend on any migration of {label!r}.",
                    f"add a dependency on the migration of {label!r} that creates it",
                )
            )
    return found
