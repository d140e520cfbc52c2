"""Step 6, verify: is everything applied, do the models and the admin work, are the rows still there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mig_kit.postgres import count_rows
from mig_kit.progress import Progress, ProgressCallback
from mig_kit.steps import _verify_checks as look
from mig_kit.steps.backup import Backup
from mig_kit.steps.check import Check, check_frame, failed_checks, guarded
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
    queries: Mapping[str, pandas.DataFrame]

    def __repr__(self) -> str:
        return f"<Verification: {self.summary}>"

    def __bool__(self) -> bool:
        return self.ok

    @property
    def ok(self) -> bool:
        """No check failed (one that was skipped is not counted as held either: see ``checks``)."""
        return not failed_checks(self.checks)

    @property
    def summary(self) -> str:
        """Which checks failed; else that none did, and how many were skipped."""
        failed = failed_checks(self.checks)
        skipped = sum(each.state == "skipped" for each in self.checks)
        if failed:
            return f"failed: {', '.join(failed)}"
        return f"no check failed, {skipped} skipped" if skipped else "all checks hold"

    def check(self, name: str) -> Check:
        """Return the check of that name; ``KeyError`` where none has it."""
        return {each.name: each for each in self.checks}[name]

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
    are compared. ``queries``: name → SELECT, the user's own; one fails when it raises or when the first value of its
    first row is false. Those of the project's configuration run as well. Each check stands alone: one that cannot be
    made has failed, and the others are made all the same. Raises ``AppNotFound``.
    """
    for each in apps or ():
        target.need_app(each)
    apps = list(target.own_apps if apps is None else apps)
    asked = {**target.project.config.queries, **(queries or {})}
    models: list[ModelCount] = []
    pages: list[AdminPage] = []
    rows: list[RowCount] = []
    results: dict[str, pandas.DataFrame] = {}

    def count_models() -> Check:
        models.extend(ModelCount(**each) for each in target.ask("model_counts", apps=apps))
        return look.models_work(models)

    def compare_rows() -> Check:
        if backup is None:
            return Check(
                look.ROWS, "skipped", "there is no backup to compare with", "rb.backup() before the next change"
            )
        with contextlib.closing(target.connect("verify")) as connection:
            now = count_rows(connection)
        names = sorted({*backup.rows, *now})
        rows.extend(RowCount(name, backup.rows.get(name), now.get(name)) for name in names)
        return look.no_row_lost(rows, backup.path.name)

    def ask_admin() -> Check:
        answer = target.ask("admin_pages", apps=apps)
        pages.extend(AdminPage(**each) for each in answer["pages"])
        return look.admin_works(answer["reason"], pages)

    planned: list[tuple[str, Callable[[], Check]]] = [
        (look.APPLIED, lambda: look.all_applied(target)),
        (look.CHANGES, lambda: look.no_changes_left(target)),
        (look.SYSTEM, lambda: look.system_checks_pass(target)),
        (look.MODELS, count_models),
        (look.ROWS, compare_rows),
        (look.ADMIN, ask_admin),
        (look.INDEXES, lambda: look.indexes_are_valid(target)),
    ]
    planned += [(f"query: {name}", _query(target, name, sql, results)) for name, sql in asked.items()]
    checks: list[Check] = []
    for name, check in planned:
        if progress is not None:
            progress(Progress("verify", name, len(checks), len(planned), "checks"))
        checks.append(guarded(name, check))
    return Verification(tuple(checks), tuple(models), tuple(pages), tuple(rows), results)


def _query(target: Target, name: str, sql: str, results: dict[str, pandas.DataFrame]) -> Callable[[], Check]:
    def check() -> Check:
        results[name] = query(target, sql)
        return look.query_holds(f"query: {name}", results[name])

    return check
