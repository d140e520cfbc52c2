"""The checks that verify makes, each a function from evidence to outcome."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mig_kit.postgres import invalid_indexes
from mig_kit.steps.check import Check
from mig_kit.steps.target import Target

if TYPE_CHECKING:
    import pandas

    from mig_kit.steps.verify import AdminPage, ModelCount, RowCount

__all__ = [
    "ADMIN",
    "APPLIED",
    "CHANGES",
    "INDEXES",
    "MODELS",
    "ROWS",
    "SYSTEM",
    "admin_works",
    "all_applied",
    "graph_trouble",
    "indexes_are_valid",
    "models_work",
    "no_changes_left",
    "no_row_lost",
    "query_holds",
    "system_checks_pass",
]

ADMIN = "admin works"
APPLIED = "showmigrations: all applied"
CHANGES = "makemigrations: no changes left"
INDEXES = "indexes are valid"
MODELS = "models import and can be queried"
ROWS = "row counts against the backup"
SYSTEM = "system checks"


def graph_trouble(name: str, target: Target) -> tuple[Check | None, list[str], int]:
    """Return what is wrong with the graph as a check (or None), the migrations not applied, and how many there are."""
    graph = target.ask("graph")
    routed = [each for each in graph["nodes"] if each["routed"]]
    pending = [f"{each['app']}.{each['name']}" for each in routed if not each["applied"]]
    trouble = None
    if graph["conflicts"]:
        text = "; ".join(f"{app}: {', '.join(names)}" for app, names in graph["conflicts"].items())
        trouble = Check(name, "failed", f"several leaf nodes: {text}", "merge them: rb.merge()")
    elif graph["inconsistent"]:
        trouble = Check(name, "failed", graph["inconsistent"], "compare rb.history() with the files")
    elif graph["unknown"] and not pending:
        text = _some([f"{each['app']}.{each['name']}" for each in graph["unknown"]])
        trouble = Check(
            name,
            "warning",
            f"all applied; recorded without a file: {text}",
            "restore those files, or clear the rows: manage.py migrate --prune",
        )
    return trouble, pending, len(routed)


def all_applied(target: Target) -> Check:
    """Every migration that belongs to this database is recorded in it."""
    trouble, pending, count = graph_trouble(APPLIED, target)
    if trouble is not None:
        return trouble
    if pending:
        return Check(
            APPLIED, "failed", f"{len(pending)} not applied: {_some(pending)}", "rb.preview(), then rb.apply()"
        )
    return Check(APPLIED, "ok", f"{count} migrations, all applied")


def no_changes_left(target: Target) -> Check:
    """The models and the migrations say the same; what installed packages left undone is no failure of ours."""
    pending = sorted({each["app"] for each in target.ask("model_changes")["migrations"]})
    own = [app for app in pending if app in target.own_apps]
    if own:
        return Check(CHANGES, "failed", f"model changes without a migration in: {', '.join(own)}", "rb.review()")
    if pending:
        return Check(
            CHANGES,
            "warning",
            f"installed packages differ from their own migrations: {', '.join(pending)}",
            "nothing of yours: tell the packages' maintainers",
        )
    return Check(CHANGES, "ok", "the models and the migrations say the same")


def system_checks_pass(target: Target) -> Check:
    """``manage.py check`` finds no error."""
    found = target.ask("system_checks")
    bad = [each for each in found if each["level"] in ("error", "critical")]
    if bad:
        text = "; ".join(f"{each['id']} {each['message']}" for each in bad[:3])
        hint = bad[0]["hint"] or "manage.py check shows them whole"
        return Check(SYSTEM, "failed", f"{_number(len(bad), 'error')}: {text}", hint)
    if found:
        ids = ", ".join(dict.fromkeys(each["id"] or each["message"] for each in found))
        return Check(SYSTEM, "ok", f"no errors; {_number(len(found), 'warning')}: {ids}")
    return Check(SYSTEM, "ok", "no issues")


def models_work(models: Sequence[ModelCount]) -> Check:
    """Every model was counted and its first row read."""
    bad = [each for each in models if each.error]
    if bad:
        text = "; ".join(f"{each.app}.{each.model}: {each.error}" for each in bad[:3])
        return Check(MODELS, "failed", text, f"rb.status({bad[0].app!r}) shows which of its migrations are applied")
    rows = _number(sum(each.count or 0 for each in models), "row")
    return Check(MODELS, "ok", f"{_number(len(models), 'model')}, {rows}")


def no_row_lost(rows: Sequence[RowCount], backup: str) -> Check:
    """No table has fewer rows than in the backup. One that is gone, with its like under another name, is a warning."""
    gone = [each for each in rows if each.now is None and each.backup]
    new = [each for each in rows if each.backup is None]
    lost, renamed = [], []
    for each in gone:
        like = [other.table for other in new if other.now == each.backup]
        if like:
            renamed.append(f"{each.table} is gone, and {' or '.join(like)} is new with as many rows: a rename?")
        else:
            lost.append(f"{each.table} is gone, with {each.backup:,} rows")
    both = [(each.table, each.backup, each.now) for each in rows if each.backup is not None and each.now is not None]
    lost += [f"{table} has {now:,} of {before:,}" for table, before, now in both if now < before]
    if lost:
        hint = f"if that was not meant, the rows are in {backup}"
        return Check(ROWS, "failed", "; ".join(lost[:5] + renamed), hint)
    if renamed:
        return Check(ROWS, "warning", "; ".join(renamed), f"look at it: rb.query(…); the rows are in {backup} as well")
    grown = sum(now > before for _table, before, now in both)
    detail = f"{_number(len(both), 'table')}, no row lost since {backup}"
    return Check(ROWS, "ok", f"{detail} ({grown} grew, {len(new)} new)" if grown or new else detail)


def admin_works(unavailable: str, pages: Sequence[AdminPage]) -> Check:
    """Every page answered 200; ``unavailable`` says why none was asked for."""
    if unavailable:
        return Check(ADMIN, "skipped", unavailable)
    bad = [each for each in pages if each.status != 200]
    if bad:
        text = "; ".join(f"{each.url}: {each.error or each.status}" for each in bad[:3])
        return Check(ADMIN, "failed", text, "open that page in the browser with DEBUG to see the traceback")
    return Check(ADMIN, "ok", f"{len(pages)} pages answer 200 for a temporary superuser (rolled back)")


def indexes_are_valid(target: Target) -> Check:
    """PostgreSQL marks no index as invalid."""
    with contextlib.closing(target.connect("verify")) as connection:
        found = invalid_indexes(connection)
    if found:
        text = ", ".join(f"{each.schema}.{each.name} on {each.table}" for each in found)
        hint = f"DROP INDEX CONCURRENTLY {found[0].name}, then create it again CONCURRENTLY"
        return Check(INDEXES, "failed", f"invalid: {text}", hint)
    return Check(INDEXES, "ok", "no index is invalid")


def query_holds(name: str, frame: pandas.DataFrame) -> Check:
    """The query gave rows whose first value is not false, or none at all."""
    import pandas

    if frame.empty:
        return Check(name, "ok", "no rows")
    shown = ", ".join(f"{column} = {value}" for column, value in list(frame.iloc[0].items())[:4])
    first = frame.iat[0, 0]
    if pandas.api.types.is_bool(first) and not first:
        return Check(name, "failed", shown, "its first value is false")
    return Check(name, "ok", f"{_number(len(frame), 'row')}: {shown}")


def _some(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count:,} {what}s"
