"""Step 6, verify: is everything applied, do the models and the admin work, are the rows still there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mig_kit import errors
from mig_kit.postgres import count_rows, invalid_indexes
from mig_kit.progress import Progress, ProgressCallback
from mig_kit.steps.backup import Backup
from mig_kit.steps.check import Check, check_frame
from mig_kit.steps.status import query
from mig_kit.steps.target import Target

if TYPE_CHECKING:
    import pandas

__all__ = ["AdminPage", "ModelCount", "RowCount", "Verification", "verify"]


@dataclass(frozen=True, slots=True)
class ModelCount:
    """One model, queried: its number of rows, its first row's primary key as text, or the error."""

    app: str
    model: str
    table: str
    count: int | None
    first: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class AdminPage:
    """One admin page, asked for as a temporary superuser: its HTTP status, or what it raised."""

    url: str
    what: str
    status: int | None
    error: str | None


@dataclass(frozen=True, slots=True)
class RowCount:
    """One table's rows in the backup and now; None where the table is not there."""

    table: str
    backup: int | None
    now: int | None


@dataclass(frozen=True, slots=True)
class Verification:
    """The outcome of all checks and the evidence behind them; true when none failed."""

    checks: tuple[Check, ...]
    models: tuple[ModelCount, ...]
    pages: tuple[AdminPage, ...]
    rows: tuple[RowCount, ...]
    queries: Mapping[str, Any]

    def __repr__(self) -> str:
        failed = [each.name for each in self.checks if each.state == "failed"]
        return f"<Verification: {'failed: ' + ', '.join(failed) if failed else 'all checks hold'}>"

    def __bool__(self) -> bool:
        return self.ok

    @property
    def ok(self) -> bool:
        """No check failed (one that was skipped is not counted as held either: see ``checks``)."""
        return not any(each.state == "failed" for each in self.checks)

    def check(self, name: str) -> Check:
        """Return the check of that name."""
        return next(each for each in self.checks if each.name == name)

    def to_frame(self) -> pandas.DataFrame:
        """Return one row a check: check, state, detail, next step."""
        return check_frame(self.checks)

    def models_frame(self) -> pandas.DataFrame:
        """Return one row a model: app, model, table, rows, first primary key, error."""
        import pandas

        rows = [(m.app, m.model, m.table, m.count, m.first, m.error or "") for m in self.models]
        return pandas.DataFrame(rows, columns=["app", "model", "table", "rows", "first pk", "error"])

    def rows_frame(self) -> pandas.DataFrame:
        """Return one row a table: table, in the backup, now, difference."""
        import pandas

        frame = pandas.DataFrame([(r.table, r.backup, r.now) for r in self.rows], columns=["table", "in backup", "now"])
        frame = frame.astype({"in backup": "Int64", "now": "Int64"})
        frame["difference"] = frame["now"] - frame["in backup"]
        return frame

    def pages_frame(self) -> pandas.DataFrame:
        """Return one row an admin page: page, url, status, error."""
        import pandas

        return pandas.DataFrame(
            [(p.what, p.url, p.status, p.error or "") for p in self.pages],
            columns=["page", "url", "status", "error"],
        )


def verify(
    target: Target,
    *,
    apps: Sequence[str] | None = None,
    backup: Backup | None = None,
    queries: Mapping[str, str] | None = None,
    progress: ProgressCallback | None = None,
) -> Verification:
    """Check the database after an apply; changes nothing.

    ``apps``: whose models and admin pages are looked at (default: the project's own). ``backup``: whose row counts
    are compared. ``queries``: name → SELECT, the user's own; one fails when it raises or when its first value is
    false. Those of the project's configuration run as well.
    """
    apps = list(apps) if apps is not None else list(target.own_apps)
    checks: list[Check] = []

    def say(message: str) -> None:
        if progress is not None:
            progress(Progress("verify", message, len(checks), 7, "checks"))

    say("migrations")
    checks += [_applied(target), _no_changes(target)]
    say("system checks")
    checks.append(_system_checks(target))
    say("models")
    models = tuple(ModelCount(**each) for each in target.ask("model_counts", apps=apps))
    checks.append(_models(models))
    say("row counts")
    rows, rows_check = _rows(target, backup)
    checks.append(rows_check)
    say("admin")
    admin = target.ask("admin_pages", apps=apps)
    pages = tuple(AdminPage(**each) for each in admin["pages"])
    checks.append(_admin(admin, pages))
    if target.info is not None:
        checks.append(_indexes(target))
    results: dict[str, Any] = {}
    for name, sql in {**target.project.config.queries, **(queries or {})}.items():
        say(f"query {name}")
        checks.append(_query(target, name, sql, results))
    return Verification(tuple(checks), models, pages, rows, results)


def _applied(target: Target) -> Check:
    graph = target.ask("graph")
    pending = [f"{each['app']}.{each['name']}" for each in graph["nodes"] if not each["applied"] and each["routed"]]
    name = "showmigrations: all applied"
    if graph["conflicts"]:
        text = "; ".join(f"{app}: {', '.join(names)}" for app, names in graph["conflicts"].items())
        return Check(name, "failed", f"several leaf nodes: {text}", "merge them: manage.py makemigrations --merge")
    if graph["inconsistent"]:
        return Check(name, "failed", graph["inconsistent"], "compare rb.history() with the files")
    if pending:
        return Check(name, "failed", f"{len(pending)} not applied: {', '.join(pending[:5])}", "rb.apply()")
    if graph["unknown"]:
        text = ", ".join(f"{each['app']}.{each['name']}" for each in graph["unknown"][:5])
        return Check(name, "warning", f"all applied; recorded without a file: {text}", "look at rb.history()")
    return Check(name, "ok", f"{len(graph['nodes'])} migrations, all applied")


def _no_changes(target: Target) -> Check:
    data = target.ask("model_changes")
    name = "makemigrations: no changes left"
    own = {each["label"]: each["own"] for each in target.description["apps"]}
    pending = sorted({each["app"] for each in data["migrations"]})
    mine = [app for app in pending if own.get(app)]
    if mine:
        return Check(name, "failed", f"model changes without a migration in: {', '.join(mine)}", "rb.review()")
    if pending:
        return Check(
            name,
            "warning",
            f"installed packages differ from their own migrations: {', '.join(pending)}",
            "nothing of yours: tell the package's maintainers",
        )
    return Check(name, "ok", "the models and the migrations say the same")


def _system_checks(target: Target) -> Check:
    found = target.ask("system_checks")
    bad = [each for each in found if each["level"] in ("error", "critical")]
    if bad:
        text = "; ".join(f"{each['id']} {each['message']}" for each in bad[:3])
        return Check("system checks", "failed", f"{len(bad)} errors: {text}", bad[0]["hint"] or "manage.py check")
    if found:
        ids = ", ".join(dict.fromkeys(each["id"] or each["message"] for each in found))
        return Check("system checks", "ok", f"no errors; {len(found)} warnings: {ids}")
    return Check("system checks", "ok", "no issues")


def _models(models: Sequence[ModelCount]) -> Check:
    name = "models import and can be queried"
    bad = [each for each in models if each.error]
    if bad:
        text = "; ".join(f"{each.app}.{each.model}: {each.error}" for each in bad[:3])
        return Check(name, "failed", text, "rb.diagnose() or the migration that should have made it")
    return Check(name, "ok", f"{len(models)} models, {sum(each.count or 0 for each in models):,} rows")


def _rows(target: Target, backup: Backup | None) -> tuple[tuple[RowCount, ...], Check]:
    name = "row counts against the backup"
    if backup is None:
        return (), Check(name, "skipped", "there is no backup to compare with", "rb.backup() before the next change")
    with target.connect("verify") as connection:
        now = count_rows(connection)
    rows = tuple(
        RowCount(table, backup.rows.get(table), now.get(table)) for table in sorted(set(backup.rows) | set(now))
    )
    gone = [each.table for each in rows if each.now is None]
    fewer = [each for each in rows if each.now is not None and each.backup is not None and each.now < each.backup]
    if gone or fewer:
        parts = [f"{table} is gone" for table in gone]
        parts += [f"{each.table} has {each.now:,} of {each.backup:,}" for each in fewer]
        return rows, Check(
            name, "failed", "; ".join(parts[:5]), f"if that was not meant, the rows are in {backup.path.name}"
        )
    more = [each for each in rows if each.backup is not None and each.now is not None and each.now > each.backup]
    new = [each for each in rows if each.backup is None]
    detail = f"{len(rows) - len(new)} tables, no row lost since {backup.path.name}"
    if more or new:
        detail += f" ({len(more)} grew, {len(new)} new)"
    return rows, Check(name, "ok", detail)


def _admin(answer: Mapping[str, Any], pages: Sequence[AdminPage]) -> Check:
    name = "admin works"
    if not answer["available"]:
        return Check(name, "skipped", answer["reason"])
    bad = [each for each in pages if each.status != 200]
    if bad:
        text = "; ".join(f"{each.url}: {each.error or each.status}" for each in bad[:3])
        return Check(name, "failed", text, "open that page in the browser with DEBUG to see the traceback")
    return Check(name, "ok", f"{len(pages)} pages answer 200 for a temporary superuser (rolled back)")


def _indexes(target: Target) -> Check:
    with target.connect("verify") as connection:
        found = invalid_indexes(connection)
    if found:
        return Check(
            "indexes are valid",
            "failed",
            "invalid: " + ", ".join(map(str, found)),
            "drop and create them CONCURRENTLY",
        )
    return Check("indexes are valid", "ok", "no index is invalid")


def _query(target: Target, name: str, sql: str, results: dict[str, Any]) -> Check:
    try:
        frame = query(target, sql)
    except errors.DatabaseError as exc:
        return Check(f"query: {name}", "failed", exc.message, exc.hint)
    results[name] = frame
    if frame.empty:
        return Check(f"query: {name}", "ok", "no rows")
    first = frame.iloc[0, 0]
    shown = ", ".join(f"{column} = {value}" for column, value in list(frame.iloc[0].items())[:4])
    if first is False or str(first) == "False":
        return Check(f"query: {name}", "failed", shown, "its first value is false")
    return Check(f"query: {name}", "ok", f"{len(frame)} row{'s' if len(frame) != 1 else ''}: {shown}")
