"""Where the database stands: showmigrations, django_migrations, and questions of one's own, as DataFrames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mig_kit.postgres import read_only_query
from mig_kit.record.redact import MASK
from mig_kit.steps.target import Target

if TYPE_CHECKING:
    import pandas

__all__ = ["history", "query", "status"]


def status(target: Target, app: str | None = None) -> pandas.DataFrame:
    """Return showmigrations: app, migration, applied ([X], [-] recorded only in part, [ ]), when, operations, note.

    ``note`` tells squashed migrations, leaf conflicts, rows without a file, and apps that a router keeps elsewhere.
    Raises ``AppNotFound``; an app without migrations gives no rows.
    """
    import pandas

    data = target.ask("graph")
    if app is not None and app not in {each["app"] for each in data["nodes"] + data["unknown"]}:
        target.need_app(app)
    rows: list[tuple[Any, ...]] = []
    for node in data["nodes"]:
        notes = []
        if node["replaces"]:
            notes.append(f"squashes {len(node['replaces'])}")
        if node["app"] in data["conflicts"] and node["leaf"]:
            notes.append("one of several leaf nodes: merge them")
        if not node["routed"]:
            notes.append("a router keeps this app out of the database")
        if not node["atomic"]:
            notes.append("not atomic")
        mark, when = "[ ]", None
        if node["applied"]:
            partly = node["applied"] is True
            mark, when = ("[-]", None) if partly else ("[X]", node["applied"])
            if partly:
                notes.append("its replaced migrations are applied, itself not recorded: run migrate to record it")
        rows.append((node["app"], node["name"], mark, when, len(node["operations"]), "; ".join(notes)))
    for row in data["unknown"]:
        why = "recorded, but it has no file" if row["installed"] else "recorded, but the app is not installed"
        rows.append((row["app"], row["name"], "[X]", row["applied"], None, why))
    frame = pandas.DataFrame(rows, columns=["app", "migration", "applied", "when (UTC)", "operations", "note"])
    frame["when (UTC)"] = pandas.to_datetime(frame["when (UTC)"], utc=True, format="ISO8601")
    frame["operations"] = frame["operations"].astype("Int64")
    return frame if app is None else frame[frame["app"] == app].reset_index(drop=True)


def history(target: Target) -> pandas.DataFrame:
    """Return ``django_migrations`` in the order it was written: id, app, name, applied (UTC)."""
    import pandas

    frame = pandas.DataFrame(target.ask("history"), columns=["id", "app", "name", "applied"])
    frame["applied"] = pandas.to_datetime(frame["applied"], utc=True, format="ISO8601")
    return frame


def query(
    target: Target,
    sql: str,
    params: Sequence[Any] | Mapping[str, Any] | None = None,
    *,
    timeout_s: float = 30,
) -> pandas.DataFrame:
    """Run one query in a READ ONLY transaction with a statement timeout, and return its rows as a DataFrame.

    ``params`` are bound by the server (``%s`` or ``%(name)s``). Columns that the project's configuration masks are
    shown as ``***``; they are told by their name, so one that the query renames is shown. Raises ``QueryError``;
    nothing can be changed.
    """
    import pandas

    found = read_only_query(target.need_postgres("query"), sql, params, timeout_s=timeout_s)
    masked = {each.rpartition(".")[2] for each in target.project.config.masked_columns}
    hidden = [name in masked for name in found.columns]
    rows = [tuple(MASK if hide else value for hide, value in zip(hidden, row, strict=True)) for row in found.rows]
    return pandas.DataFrame(rows, columns=list(found.columns))
