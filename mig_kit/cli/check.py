"""The check for hazards: for people, as JSON, and as what GitHub shows beside the lines of a change."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mig_kit import errors
from mig_kit.cli.exits import Exit
from mig_kit.cli.options import Session, project_options
from mig_kit.cli.words import count, for_terminal

if TYPE_CHECKING:
    from mig_kit.hazards.assessment import Assessment
    from mig_kit.hazards.finding import Finding

__all__ = ["check", "github_lines"]


@click.command(short_help="Hazards of the pending migrations")
@click.argument("app", required=False)
@click.argument("name", required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "github"]),
    default="text",
    show_default=True,
    help="github: annotations of the migration files.",
)
@click.option("--code", is_flag=True, help="Show the migrations to write instead, where there are some.")
@click.option("--no-database", is_flag=True, help="Ask no database: verdicts for tables of any size.")
@project_options
def check(session: Session, app: str | None, name: str | None, form: str, code: bool, no_database: bool) -> int:
    """Tell what the pending migrations, APP's or the one migration NAME would do to a live database.

    Runs none of them. Exits with 1 when there is a finding of severity error or warning that no rule of the
    configuration ignores.
    """
    from mig_kit.cli.output import show_json, show_note

    if session.as_json and form != "text":
        raise errors.UsageError("--json and --format github are two outputs, and there is one.", hint="leave one out")
    with session.runbook(record=False) as rb:
        result = rb.check(app, name, ask_database=not no_database)
    if session.as_json:
        show_json(result.as_json())
    elif form == "github":
        for line in github_lines(result):
            click.echo(line)
        for note in result.notes:
            show_note(note)
    else:
        _show(result, code)
    return Exit.FOUND if result.hazards else Exit.FINE


def _show(result: Assessment, code: bool) -> None:
    from mig_kit.cli.output import show_frame, show_line, show_note

    if result.migrations:
        show_frame(result.to_frame())
    else:
        show_line("Nothing is pending.")
    for finding in result.findings:
        if not finding.ignored:
            show_line(f"\n{_where(finding)}{finding.severity} {finding.id}: {for_terminal(finding.message)}")
            show_line(f"  next: {for_terminal(finding.hint)}")
            if finding.code and code:
                show_line("\n" + "\n".join(f"    {line}".rstrip() for line in finding.code.splitlines()))
    ignored = [finding for finding in result.findings if finding.ignored]
    if ignored:
        show_line("\nIgnored:")
    for finding in ignored:
        about = f" ({finding.relation})" if finding.relation else ""
        show_line(f"  {finding.id} {finding.app}.{finding.migration}{about}: {finding.ignored}")
    if result.migrations:
        hazards = len(result.hazards)
        show_line(
            f"\n{count(len(result.migrations), 'migration')}, {count(hazards, 'hazard') if hazards else 'no hazard'}."
        )
    instead = sum(bool(finding.code) for finding in result.findings)
    if instead and not code:
        show_note(f"For {count(instead, 'finding')} there are migrations to write instead: --code shows them.")
    for note in result.notes:
        show_note(f"Note: {note}")


def _where(finding: Finding) -> str:
    if not finding.app:
        return ""
    operation = f", {finding.operation}" if finding.operation else ""
    return f"{finding.app}.{finding.migration}{operation}\n"


_LEVELS = {"error": "error", "warning": "warning", "info": "notice"}


def github_lines(result: Assessment) -> list[str]:
    """Return one workflow command a finding that is not ignored, pointing at the operation's line in its file."""
    lines = []
    for finding in result.findings:
        if finding.ignored:
            continue
        where = {"file": _path(finding.file) if finding.file else None, "line": finding.line, "title": finding.id}
        values = ",".join(f"{key}={_property(str(value))}" for key, value in where.items() if value is not None)
        text = f"{finding.app}.{finding.migration}: " if finding.app else ""
        text += f"{finding.message}\n{finding.hint}" + (f"\n\n{finding.code}" if finding.code else "")
        lines.append(f"::{_LEVELS[str(finding.severity)]} {values}::{_data(for_terminal(text))}")
    return lines


def _path(file: str) -> str:
    """Return a path as the workflow knows it: relative to the checkout, or to the working directory."""
    for root in (os.environ.get("GITHUB_WORKSPACE"), Path.cwd()):
        if root and Path(file).is_relative_to(root):
            return str(Path(file).relative_to(root))
    return file


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
