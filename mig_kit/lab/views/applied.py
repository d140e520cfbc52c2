"""How an apply looks."""

from __future__ import annotations

from mig_kit.lab.blocks import (
    Block,
    Bullets,
    Fold,
    Group,
    Paragraph,
    Phrase,
    Source,
    Table,
    Title,
    View,
    code,
    limited,
    quiet,
)
from mig_kit.lab.views.session import plural
from mig_kit.steps.apply import Applied, AppliedMigration

__all__ = ["applied_view", "milliseconds"]

_MOST = 400


def milliseconds(ms: float) -> str:
    """Return a time in milliseconds as people say it."""
    return f"{ms / 1000:,.2f} s" if ms >= 1000 else f"{ms:,.1f} ms"


def _waited(migration: AppliedMigration) -> str:
    return f"waited {migration.waited_s:.1f} s for locks, {migration.retries + 1} tries"


def applied_view(applied: Applied) -> View:
    """Return a line a migration and a line a statement, with their times."""
    if not applied.migrations:
        return View(
            (
                Title("Nothing to apply: no migration is pending"),
                Paragraph(("Where the database stands: ", code("rb.status()"), ".")),
            )
        )
    rows: list[tuple[Phrase, ...] | Group] = []
    for migration in applied.migrations:
        ran = plural(sum(each.times for each in migration.statements), "statement")
        waited = f", {_waited(migration)}" if migration.retries else ""
        rows.append(Group((code(str(migration)), f" OK, {milliseconds(migration.ms)}", quiet(f", {ran}"), waited)))
        for each in migration.statements:
            times = f"{each.times:,}×" if each.times != 1 else "1×"
            rows.append((milliseconds(each.ms), times, code(each.sql)))
    blocks: list[Block] = [
        Title(f"Applied: {plural(len(applied.migrations), 'migration')} in {applied.duration_s:.2f} s", "good"),
        Table(
            f"Statement by statement, from {applied.started:%Y-%m-%d %H:%M:%S} UTC",
            ("time", "ran", "statement"),
            limited(rows, _MOST, "the journal has every one"),
            frozenset({0, 1}),
        ),
    ]
    met = [(code(str(each)), f": {words}") for each in applied.migrations for words in each.blockers]
    if met:
        blocks.append(Fold(f"In the way: {plural(len(met), 'session')}", (Bullets(tuple(met)),)))
    if applied.ended:
        blocks.append(Paragraph(f"Ended, because they were in the way: {'; '.join(applied.ended)}", "warn"))
    if applied.output.strip():
        summary = ("What ", code("manage.py migrate"), " printed")
        blocks.append(Fold(summary, (Source(applied.output.strip() + "\n"),)))
    return View(tuple(blocks))
