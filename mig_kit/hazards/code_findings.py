"""Findings about code: RunPython, RunSQL, callable defaults, and what could not be looked into (MK4xx)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mig_kit.hazards.finding import Finding, Severity
from mig_kit.hazards.plan import PlanOperation, PythonCode
from mig_kit.hazards.squawk import Opinion
from mig_kit.hazards.walk import MigrationSteps, Step
from mig_kit.hazards.weigh import known_by, size_words, weigh

__all__ = ["code_findings"]

# Called once, these give the same value for each row anyway, or a time at which the column was added.
_SAME_FOR_ALL = ("bool", "bytes", "dict", "float", "frozenset", "int", "list", "set", "str", "tuple")
_TIMES = ("datetime.date.today", "datetime.datetime.now", "datetime.datetime.utcnow", "django.utils.timezone.now")
_DDL = ("alter", "add", "create", "drop", "rename", "set", "reindex", "truncate", "cluster")


@dataclass(frozen=True, slots=True)
class _Say:
    """Make findings of one operation of one migration."""

    migration: MigrationSteps
    operation: PlanOperation
    any_size: bool

    def __call__(
        self, id: str, severity: Severity, message: str, hint: str, evidence: str = "rule", relation: str | None = None
    ) -> Finding:
        plan = self.migration.migration
        return Finding(
            id,
            severity,
            plan.app,
            plan.name,
            self.operation.describe,
            message,
            hint,
            evidence,
            relation,
            line=self.operation.line,
        )


def code_findings(
    migration: MigrationSteps,
    *,
    databases: int = 1,
    any_size: bool = False,
    opinions: Mapping[str, tuple[Opinion, ...]] = {},
) -> Iterator[Finding]:
    """Give the findings about a migration's code.

    ``databases``: how many different ones the project has. ``opinions``: squawk's on raw SQL, by its text.
    """
    for operation in migration.migration.operations:
        say = _Say(migration, operation, any_size)
        steps = [step for step in migration.steps if step.operation is operation]
        if operation.python is not None and not operation.python.noop:
            yield from _python(say, operation.python, databases)
            yield from _mixed(say, operation.python)
        if operation.raw is not None:
            yield from _raw(say, steps)
            yield from _second(say, steps, opinions)
        yield from _unknown(say, steps)
        yield from _default(say)


def _python(say: _Say, code: PythonCode, databases: int) -> Iterator[Finding]:
    name = code.name
    if not code.reverse:
        yield say(
            "MK401",
            _unless_small(say, [str(each["table"]) for each in code.models]),
            f"{name} has no reverse: the migration, and every one before it, cannot be taken back.",
            "give RunPython a reverse_code; migrations.RunPython.noop where there is nothing to take back",
        )
    if code.unknown is not None:
        yield say(
            "MK406",
            Severity.WARNING,
            f"What {name} does is not known: {code.unknown}.",
            "rehearse it on a copy",
            "unknown",
        )
        return
    for model in {each["model"]: each for each in code.direct_models}.values():
        yield say(
            "MK402",
            Severity.WARNING,
            f"{name} uses {model['model']} as the code has it now (line {model['line']}): with a later version of that "
            f"model, columns are asked for that are not there yet.",
            "take it from the migration's own state: apps.get_model(…)",
        )
    if code.without_using:
        lines = ", ".join(str(line) for line in code.without_using)
        yield say(
            "MK403",
            Severity.WARNING if databases > 1 else Severity.INFO,
            f"{name} does not say which database it means (line {lines}): it reads and writes the default one, "
            f"whichever is migrated.",
            "Model.objects.using(schema_editor.connection.alias)",
        )
    yield from _whole(say, code)


def _unless_small(say: _Say, tables: list[str]) -> Severity:
    """Weigh what is about no table by those that are touched: where all are small or new, it is good to know."""
    if tables and not any(say.any_size or say.migration.size(table).matters for table in tables):
        return Severity.INFO
    return Severity.WARNING


def _whole(say: _Say, code: PythonCode) -> Iterator[Finding]:
    """Going through a table at once or row by row, the worst use of each table."""
    said: set[str] = set()
    order = ("a row at a time", "loaded whole", "update", "delete")
    uses = sorted(code.whole, key=lambda use: next((n for n, each in enumerate(order) if each in use["what"]), 9))
    for use in uses:
        what, table = str(use["what"]), str(use["table"] or use["label"])
        row_by_row = "a row at a time" in what
        if (use["batched"] and not row_by_row) or what == "read in chunks" or table in said:
            continue
        size = say.migration.size(table)
        severity = weigh(size, Severity.WARNING, any_size=say.any_size)
        if severity is None:
            continue
        said.add(table)
        if row_by_row:
            does = f"changes {table} with {what.partition(',')[0]}() in a loop, a row at a time"
        elif what == "loaded whole":
            does = f"loads {table} whole into memory"
        else:
            does = f"changes {table} with one {what}(): every row stays locked until it is committed"
        yield say(
            "MK404",
            severity,
            f"{code.name} (line {use['line']}) {does}{size_words(say.migration, table)}.",
            "go by ranges of the key, some thousand rows a batch, each committed by itself (atomic = False)",
            known_by(size, "catalog" if size.rows is not None else "rule"),
            table,
        )


def _mixed(say: _Say, code: PythonCode) -> Iterator[Finding]:
    """Schema changes in the transaction of the code: their locks are held while it runs."""
    if not say.migration.migration.atomic:
        return
    changed: list[str] = []
    for step in say.migration.steps:
        if step.facts is not None and step.facts.kind.split(" ")[0] in _DDL and step.facts.relation:
            changed.append(step.facts.relation)
    tables = [table for table in dict.fromkeys(changed) if say.migration.size(table).existed]
    severities = [weigh(say.migration.size(table), Severity.WARNING, any_size=say.any_size) for table in tables]
    order = (None, Severity.INFO, Severity.WARNING)
    worst = max(severities, key=order.index, default=None)
    if worst is None:
        return
    table = tables[severities.index(worst)]
    yield say(
        "MK405",
        worst,
        f"{code.name} runs in one transaction with schema changes of {', '.join(tables)}: their locks are held while "
        f"it runs, and a row that it changed can make a later ALTER TABLE fail (pending trigger events).",
        "put it into a migration of its own, between the one that adds and the one that constrains",
        known_by(say.migration.size(table), "rule"),
        table,
    )


def _raw(say: _Say, steps: list[Step]) -> Iterator[Finding]:
    raw = say.operation.raw
    assert raw is not None
    if raw.sql and not raw.reverse:
        yield say(
            "MK412",
            _unless_small(say, [step.facts.relation for step in steps if step.facts and step.facts.relation]),
            "The raw SQL has no reverse: the migration, and every one before it, cannot be taken back.",
            "give RunSQL a reverse_sql; migrations.RunSQL.noop where there is nothing to take back",
        )


def _second(say: _Say, steps: list[Step], opinions: Mapping[str, tuple[Opinion, ...]]) -> Iterator[Finding]:
    """Squawk's opinions: what is understood here has its own findings, which know the table's size."""
    understood = all(step.facts is not None and step.facts.known for step in steps)
    relation = next((step.facts.relation for step in steps if step.facts and step.facts.relation), None)
    for text in say.operation.statements:
        for opinion in opinions.get(text, ()):
            yield say(
                "MK413",
                Severity.INFO if understood else Severity.WARNING,
                f"Squawk ({opinion.rule}): {opinion.message}.",
                opinion.help or f"see squawk's page on {opinion.rule}",
                "rule",
                relation,
            )


def _unknown(say: _Say, steps: list[Step]) -> Iterator[Finding]:
    for step in steps:
        if step.facts is None:
            if say.operation.python is not None:
                continue
            raised = say.operation.note is not None
            yield say(
                "MK422" if raised else "MK421",
                Severity.WARNING if raised else Severity.INFO,
                f"{step.assessed.note.rstrip('.')}.",
                "rehearse it on a copy: that shows what it runs",
                "unknown",
            )
        elif not step.facts.known:
            why = "; ".join(step.facts.unsure)
            yield say(
                "MK411",
                Severity.WARNING,
                f"A statement was not understood ({why}): {_short(step.facts.sql)}",
                "rehearse it on a copy: that shows what it locks and does",
                "unknown",
                step.facts.relation,
            )


def _short(sql: str) -> str:
    text = " ".join(sql.split())
    return text if len(text) <= 100 else text[:99] + "…"


def _default(say: _Say) -> Iterator[Finding]:
    """A callable default is called once for the whole table."""
    plain = say.operation.plain
    after: Mapping[str, Any] | None = plain.get("after")
    before: Mapping[str, Any] | None = plain.get("before")
    if not after or after.get("has_db_default"):
        return
    called = after.get("default_callable")
    adds = say.operation.kind == "AddField"
    fills = say.operation.kind == "AlterField" and before and before["null"] and not after["null"]
    if not called or called in _SAME_FOR_ALL or not (adds or fills) or not say.operation.statements:
        return
    table = plain.get("table")
    if table is None:
        return
    size = say.migration.size(str(table))
    worst = Severity.ERROR if after["unique"] else Severity.INFO if called in _TIMES else Severity.WARNING
    severity = weigh(size, worst, any_size=say.any_size)
    if severity is None:
        return
    then = " and, as the field is unique, a second row makes it fail" if after["unique"] else ""
    yield say(
        "MK407",
        severity,
        f"{called}() is called once: every row that {table}{size_words(say.migration, str(table))} has gets the same "
        f"value in {after.get('column') or plain.get('field')}{then}.",
        "add the column nullable, give each row its own value in a data migration, and constrain it after that",
        known_by(size, "catalog" if size.rows is not None else "rule"),
        str(table),
    )
