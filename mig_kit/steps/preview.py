"""Step 4, preview: the SQL that migrations would run, as far as it can be told without running them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mig_kit import errors
from mig_kit.hazards.assessment import AssessedStatement, Assessment
from mig_kit.hazards.beside import beside
from mig_kit.steps.check_plan import check_plan
from mig_kit.steps.target import Target

if TYPE_CHECKING:
    import pandas

__all__ = ["MigrationSql", "OperationSql", "SqlPlan", "format_sql", "preview"]

_DOLLAR_QUOTE = re.compile(r"\$(\w*)\$")


@dataclass(frozen=True, slots=True)
class OperationSql:
    """One operation's statements, formatted; ``note`` says plainly what cannot be known here, None where all is.

    ``assessed``: what each of the statements would lock and do, in their order, None where that was not told; empty
    where hazards were not asked for.
    """

    operation: str
    description: str
    statements: tuple[str, ...]
    note: str | None
    assessed: tuple[AssessedStatement | None, ...] = ()


@dataclass(frozen=True, slots=True)
class MigrationSql:
    """One migration's SQL. ``exact``: the database is at the state just before it, so Django saw what it will see.

    ``deferred``: statements that Django holds back until the end of the migration; ``deferred_assessed`` is to them
    what ``OperationSql.assessed`` is to an operation's.
    """

    app: str
    name: str
    backwards: bool
    atomic: bool
    exact: bool
    operations: tuple[OperationSql, ...]
    deferred: tuple[str, ...]
    deferred_assessed: tuple[AssessedStatement | None, ...] = ()

    @property
    def statements(self) -> tuple[str, ...]:
        """Every statement in the order it runs."""
        return tuple(each for operation in self.operations for each in operation.statements) + self.deferred

    @property
    def notes(self) -> tuple[str, ...]:
        """What cannot be known, once each."""
        return tuple(dict.fromkeys(each.note for each in self.operations if each.note))

    @property
    def text(self) -> str:
        """The migration as an SQL script, its operations and notes as comments."""
        return self._script(annotated=False)

    @property
    def annotated(self) -> str:
        """The same script with a comment above each statement that says what it locks and works through."""
        return self._script(annotated=True)

    def _script(self, *, annotated: bool) -> str:
        def lines_of(statements: Sequence[str], assessed: Sequence[AssessedStatement | None]) -> list[str]:
            if not annotated or not assessed:
                return list(statements)
            pairs = zip(statements, assessed, strict=True)
            return [line for sql, known in pairs for line in (_comment(_in_words(known)), sql)]

        lines = [_comment(f"{self.app}.{self.name}" + (" (backwards)" if self.backwards else ""))]
        if not self.atomic:
            lines.append("-- not atomic: each statement stands when it has run, whatever comes after")
        for operation in self.operations:
            lines += ["", _comment(operation.description)]
            if operation.note:
                lines.append(_comment(f"NOT KNOWN HERE: {operation.note}"))
            elif not operation.statements:
                lines.append("-- (no SQL)")
            lines += lines_of(operation.statements, operation.assessed)
        if self.deferred:
            lines += ["", "-- held back until the end of the migration"]
            lines += lines_of(self.deferred, self.deferred_assessed)
        body = "\n".join(lines) + "\n"
        return f"BEGIN;\n{body}COMMIT;\n" if self.atomic and self.statements else body


@dataclass(frozen=True, slots=True)
class SqlPlan:
    """The SQL of one or several migrations, in the order they would run.

    ``assessment``: what they would do to a live database; None where that was not asked for or cannot be told (the way
    back, a database that is not PostgreSQL).
    """

    migrations: tuple[MigrationSql, ...]
    assessment: Assessment | None = None

    def __repr__(self) -> str:
        count = sum(len(each.statements) for each in self.migrations)
        unknown = sum(bool(each.notes) for each in self.migrations)
        more = f"; {unknown} not wholly known" if unknown else ""
        return f"<SqlPlan: {len(self.migrations)} migrations, {count} statements{more}>"

    def __bool__(self) -> bool:
        return bool(self.migrations)

    @property
    def text(self) -> str:
        """All of it as one SQL script."""
        return "\n".join(each.text for each in self.migrations)

    def to_frame(self) -> pandas.DataFrame:
        """Return one row a statement (or a note): migration, operation, sql, note."""
        import pandas

        rows = []
        for migration in self.migrations:
            label = f"{migration.app}.{migration.name}"
            for operation in migration.operations:
                rows += [(label, operation.description, sql, "") for sql in operation.statements]
                if operation.note:
                    rows.append((label, operation.description, "", operation.note))
            rows += [(label, "(held back to the end)", sql, "") for sql in migration.deferred]
        return pandas.DataFrame(rows, columns=["migration", "operation", "sql", "note"])


def preview(
    target: Target,
    app: str | None = None,
    name: str | None = None,
    *,
    backwards: bool = False,
    migrations: Sequence[tuple[str, str]] | None = None,
    hazards: bool = False,
) -> SqlPlan:
    """Return the SQL of migrations in one pass; read-only, everything is rolled back.

    Without arguments: all pending ones. ``app``: that app's pending ones. ``app`` and ``name``: that one migration,
    applied or not; with ``backwards`` the way back from it. ``migrations``: (app, name) pairs. ``hazards``: tell, too,
    what each statement would lock and do, where it is not the way back and pairs are not given.
    Raises ``AppNotFound`` and ``MigrationNotFound`` with the nearest names.
    """
    if name is not None and app is None:
        raise errors.UsageError(
            f"The migration {name!r} is named without its app.", hint=f"rb.preview('the app', {name!r})"
        )
    told = hazards and migrations is None and not backwards and target.info is not None
    if migrations is None and app is not None and name is not None:
        migrations = [(app, name)]
    if backwards and migrations is None:
        raise errors.UsageError(
            "A way back needs to know from where.",
            hint="name a migration: rb.preview(app, name, backwards=True)",
        )
    pairs = [list(each) for each in migrations] if migrations is not None else None
    data = target.ask("sql", migrations=pairs, app=app, name=None, backwards=backwards)
    assessment = _assessment(target, app, name) if told else None

    def assessed(migration: Mapping[str, Any], texts: Sequence[str]) -> tuple[AssessedStatement | None, ...]:
        found = assessment.of(migration["app"], migration["name"]) if assessment is not None else None
        return beside(texts, found.statements) if found is not None else ()

    return SqlPlan(
        tuple(
            MigrationSql(
                app=each["app"],
                name=each["name"],
                backwards=each["backwards"],
                atomic=each["atomic"],
                exact=each["exact"],
                operations=tuple(
                    OperationSql(
                        operation=operation["class"],
                        description=operation["describe"],
                        statements=tuple(format_sql(sql) for sql in operation["sql"]),
                        note=operation["note"],
                        assessed=assessed(each, operation["sql"]),
                    )
                    for operation in each["operations"]
                ),
                deferred=tuple(format_sql(sql) for sql in each["deferred"]),
                deferred_assessed=assessed(each, each["deferred"]),
            )
            for each in data
        ),
        assessment,
    )


def _assessment(target: Target, app: str | None, name: str | None) -> Assessment:
    """Check the same migrations; a check that fails leaves the SQL as it is, and says why it has nothing to say."""
    try:
        return check_plan(target, app, name)
    except errors.MigKitError as exc:
        note = f"The hazards could not be told: {exc.message}"
        return Assessment(str(target.project.root), target.database, (), notes=(note,))


def format_sql(sql: str) -> str:
    """Return SQL formatted by sqlparse, one statement a paragraph; a short schema statement stays on its line.

    It comes back as it is where formatting could change what it means (a dollar-quoted body) or sqlparse gives up.
    """
    import sqlparse

    if _DOLLAR_QUOTE.search(sql):
        return sql.strip()
    try:
        return "\n".join(_format_one(each) for each in sqlparse.split(sql))
    except sqlparse.exceptions.SQLParseError:
        return sql.strip()


def _format_one(statement: str) -> str:
    import sqlparse

    statement = statement.strip()
    if "\n" not in statement and len(statement) <= 110:
        return statement
    return str(sqlparse.format(statement, reindent=True, indent_width=4, wrap_after=100)).strip()


def _in_words(known: AssessedStatement | None) -> str:
    """Say what a statement locks and does, and how that is known."""
    if known is None:
        return "locks: not known here"
    locks = ", ".join(f"{each.mode} on {each.relation}" for each in known.locks) or "none new"
    work = ", ".join(f"{each.kind} of {each.relation}" for each in known.work) or "none"
    note = f"; {known.note}" if known.note else ""
    return f"locks: {locks}; work: {work} ({known.evidence}){note}"


def _comment(text: str) -> str:
    """Return text as SQL comments: a name with a line break in it must not end one."""
    return "\n".join(f"-- {line}" for line in text.splitlines())
