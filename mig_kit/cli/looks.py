"""The commands that look and change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from mig_kit.cli.exits import Exit
from mig_kit.cli.options import Session, project_options
from mig_kit.cli.words import count, for_terminal

if TYPE_CHECKING:
    from mig_kit.steps.review import ModelChanges

__all__ = ["preview", "query", "review", "status", "values"]


@click.command(short_help="Which migrations are applied")
@click.argument("app", required=False)
@project_options
def status(session: Session, app: str | None) -> None:
    """Show which migrations are applied, of all apps or of APP, as showmigrations does.

    Changes nothing. Rows of django_migrations without a file are listed too.
    """
    from mig_kit.cli.output import show_frame, show_json, show_line

    with session.runbook(record=False) as rb:
        frame = rb.status(app)
        pending = int((frame["applied"] == "[ ]").sum())
        if session.as_json:
            frame = frame.rename(columns={"applied": "state", "when (UTC)": "applied"})
            show_json({**session.facts(rb), "pending": pending, "migrations": frame})
            return
        frame["when (UTC)"] = frame["when (UTC)"].dt.strftime("%Y-%m-%d %H:%M:%S").fillna("")
        show_frame(frame)
        show_line(f"\n{count(len(frame), 'migration')}, {pending or 'none'} pending.")


@click.command(short_help="Step 1: model changes without a migration")
@click.argument("apps", nargs=-1, metavar="[APP]...")
@click.option("--check", is_flag=True, help="Exit with 1 when there are changes without a migration.")
@click.option("--diff", is_flag=True, help="Show each changed model as the migrations know it and as it is now.")
@project_options
def review(session: Session, apps: Sequence[str], check: bool, diff: bool) -> int:
    """Step 1: show the model changes that have no migration yet, and what makemigrations would ask.

    Writes nothing. Without changes it says why there may be none.
    """
    from mig_kit.cli.output import show_json
    from mig_kit.cli.plain import to_plain

    with session.runbook(record=False) as rb:
        result = rb.review(apps=apps or None)
        if session.as_json:
            show_json({**session.facts(rb), **to_plain(result)})
        else:
            _show_changes(result, diff)
    return Exit.FOUND if check and result else Exit.FINE


def _show_changes(result: ModelChanges, diff: bool) -> None:
    from mig_kit.cli.output import show_line, show_note, show_source, show_table

    if result:
        show_table(
            ("app", "migration", "", "operation"),
            [(each.app, each.migration, each.symbol, each.description) for each in result.operations],
        )
    else:
        show_line("No changes detected.")
        for reason in result.reasons:
            show_line(f"{reason.message}\n  next: {for_terminal(reason.hint)}")
    if diff:
        for model in result.models:
            show_line(f"\n{model.app}.{model.model}")
            show_source(model.diff, "diff")
    for question in result.open_questions:
        values = "|".join(question.choices) if question.choices == ("yes", "no") else question.suggestion or "VALUE"
        show_line(f"\n{question.text}\n  mig-kit generate --answer '{question.id}={values}'")
    for warning in result.warnings:
        show_note(f"Warning: {warning}")


@click.command(short_help="Step 4: the SQL that would run")
@click.argument("app", required=False)
@click.argument("name", required=False)
@click.option("--backwards", is_flag=True, help="The way back from the migration NAME.")
@project_options
def preview(session: Session, app: str | None, name: str | None, backwards: bool) -> None:
    """Step 4: show the SQL of all pending migrations, of APP's, or of the one migration NAME.

    Runs none of it. What cannot be known without running it is said in a comment. That it was shown is kept: apply in
    production asks for it.
    """
    from mig_kit.cli.output import show_json, show_line, show_note, show_source
    from mig_kit.cli.plain import to_plain

    with session.runbook(record=False, remember=True) as rb:
        result = rb.preview(app, name, backwards=backwards)
        if session.as_json:
            migrations = [
                {**to_plain(each), "statements": each.statements, "notes": each.notes} for each in result.migrations
            ]
            show_json({**session.facts(rb), "migrations": migrations, "sql": result.text})
        elif not result:
            show_line("-- Nothing is pending.")
        else:
            show_source(result.text, "sql")
        inexact = [f"{each.app}.{each.name}" for each in result.migrations if not each.exact]
        if inexact and not session.as_json:
            show_note(f"The database is not at the state just before {', '.join(inexact)}: its SQL may differ then.")


@click.command(short_help="Run one SELECT, read-only")
@click.argument("sql")
@click.option("-p", "--param", "params", nargs=2, multiple=True, metavar="NAME VALUE", help="A value for %(NAME)s.")
@click.option(
    "--timeout", type=float, default=30.0, show_default=True, metavar="SECONDS", help="Give up after this long."
)
@project_options
def query(session: Session, sql: str, params: Sequence[tuple[str, str]], timeout: float) -> None:
    """Run one SELECT in a READ ONLY transaction and show its rows.

    Values of -p are YAML: 3 is a number, '"3"' a text. The server binds them.
    """
    from mig_kit.cli.output import show_frame, show_json, show_line
    from mig_kit.cli.plain import records

    with session.runbook(record=False) as rb:
        frame = rb.query(sql, values(params) or None, timeout_s=timeout)
        if session.as_json:
            show_json({**session.facts(rb), "columns": [str(each) for each in frame.columns], "rows": records(frame)})
            return
        show_frame(frame)
        show_line(f"\n{count(len(frame), 'row')}.")


def values(params: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return -p NAME VALUE pairs as papermill reads them: each value as YAML, or as it stands where it is none."""
    import yaml

    found: dict[str, Any] = {}
    for name, text in params:
        try:
            found[name] = yaml.safe_load(text)
        except yaml.YAMLError:
            found[name] = text
    return found
