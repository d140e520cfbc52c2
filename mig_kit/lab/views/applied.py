"""How an apply looks."""

from __future__ import annotations

from mig_kit.lab.blocks import Block, Fold, Group, Paragraph, Phrase, Source, Table, Title, View, code, limited, quiet
from mig_kit.lab.views.session import plural
from mig_kit.steps.apply import Applied

__all__ = ["applied_view", "milliseconds"]

_MOST = 400


def milliseconds(ms: float) -> str:
    """Return a time in milliseconds as people say it."""
    return f"{ms / 1000:,.2f} s" if ms >= 1000 else f"{ms:,.1f} ms"


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
        rows.append(Group((code(str(migration)), f" OK, {milliseconds(migration.ms)}", quiet(f", {ran}"))))
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
    if applied.output.strip():
        summary = ("What ", code("manage.py migrate"), " printed")
        blocks.append(Fold(summary, (Source(applied.output.strip() + "\n"),)))
    return View(tuple(blocks))
