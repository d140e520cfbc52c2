"""The rehearsal on a restored copy, for people and as the JSON document that the check has as well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mig_kit.cli.exits import Exit, Stopped
from mig_kit.cli.options import Session, project_options
from mig_kit.cli.words import count, for_terminal

if TYPE_CHECKING:
    import pandas

    from mig_kit.steps.rehearse import Rehearsal, RehearsedMigration

__all__ = ["rehearse"]

_MODES = {"full": "full", "affected": "affected tables", "samples": "samples"}


@click.command(short_help="What is pending, measured on a restored copy")
@click.argument("app", required=False)
@click.argument("name", required=False)
@click.option("--forwards-only", is_flag=True, help="Take nothing back, and run nothing again.")
@click.option(
    "--mode", type=click.Choice(list(_MODES)), help="How much of the data to restore; by default the most that fits."
)
@click.option("--limit-mb", type=click.IntRange(1), metavar="MB", help="How large the restored database may be.")
@click.option(
    "--scratch", metavar="URL", help="Restore on this server (postgresql://…) instead of one of mig-kit's own."
)
@click.option(
    "--without-extensions", is_flag=True, help="Go on where the server lacks extensions, without what needs them."
)
@project_options
def rehearse(
    session: Session,
    app: str | None,
    name: str | None,
    forwards_only: bool,
    mode: str | None,
    limit_mb: int | None,
    scratch: str | None,
    without_extensions: bool,
) -> int:
    """Run what is pending, of APP, or of APP up to NAME, on a restored copy of the latest verified backup.

    Tells what each statement locked, worked through and changed, and for how long; then takes each migration back and
    runs it again. The database itself is not touched. Exits with 1 when there is a finding of severity error, or the
    plan did not get through.
    """
    from mig_kit.cli.output import show_json, show_record

    with session.runbook(record=True) as rb:
        try:
            result = rb.rehearse(
                app,
                name,
                backwards=not forwards_only,
                mode=_MODES[mode] if mode else None,
                limit_bytes=limit_mb * 1_000_000 if limit_mb else None,
                scratch=scratch,
                without_extensions=without_extensions,
            )
        except KeyboardInterrupt as exc:
            raise Stopped("Interrupted: the copy is gone, and the database was not touched.", by=exc) from None
        if session.as_json:
            show_json(result.as_json())
        else:
            _show(result)
            show_record(rb)
    return Exit.FOUND if result.errors or not result.ok else Exit.FINE


def _show(result: Rehearsal) -> None:
    from mig_kit.cli.output import show_frame, show_line, show_note

    if not result:
        show_line("Nothing is pending.")
        return
    show_frame(result.assessment.to_frame())
    show_line()
    show_frame(_statements(result))
    for migration in result.migrations:
        _show_migration(migration)
    if result.signals_error:
        show_line(f"\nA handler of Django's signals failed: {result.signals_error}")
    took = f"{result.forwards_ms / 1000:.2f} s forwards, {result.duration_s:.1f} s in all"
    show_line(f"\n{count(len(result.migrations), 'migration')} on {result.backup}, {took}: {_outcome(result)}.")
    show_note(f"On {result.scratch}: {result.mode_words}.")
    for note in result.notes:
        show_note(f"Note: {note}")


def _statements(result: Rehearsal) -> pandas.DataFrame:
    frame = result.to_frame()[["migration", "statement", "ms", "times", "locks", "work"]]
    frame["statement"] = frame["statement"].map(lambda sql: _shortened(" ".join(sql.split())))
    return frame


def _show_migration(migration: RehearsedMigration) -> None:
    from mig_kit.cli.output import show_line

    if migration.extrapolated_ms is not None and any(each.extrapolated for each in migration.statements):
        show_line(f"\n{migration}\n  on every row: some {migration.extrapolated_ms / 1000:.1f} s")
    show_line(f"\n{migration}\n  way back: {migration.way_back.words}")
    for change in migration.values_changed:
        show_line(f"  {change}")
    for finding in migration.findings:
        show_line(f"  {finding.severity} {finding.id}: {for_terminal(finding.message)}")
        show_line(f"    next: {for_terminal(finding.hint)}")


def _outcome(result: Rehearsal) -> str:
    if not result.ok:
        return "did not pass"
    return f"passed, with {count(len(result.errors), 'error')}" if result.errors else "passed"


def _shortened(text: str, limit: int = 90) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
