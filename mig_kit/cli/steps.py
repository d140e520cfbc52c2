"""The runbook's steps as commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from mig_kit import errors
from mig_kit.cli.exits import Exit, Stopped, for_terminal
from mig_kit.cli.options import Session, project_options

if TYPE_CHECKING:
    from mig_kit.runbook import Runbook
    from mig_kit.steps.generate import Generated
    from mig_kit.steps.review import ModelChanges

__all__ = ["apply", "backup", "generate", "preview", "query", "review", "status", "verify"]


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
        show_line(f"\n{_count(len(frame), 'migration')}, {pending or 'none'} pending.")


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

    with session.runbook(record=False) as rb:
        result = rb.review(apps=apps or None)
        if session.as_json:
            show_json({**session.facts(rb), **_fields(result)})
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
            show_line(f"{reason.message} {for_terminal(reason.hint)}")
    if diff:
        for model in result.models:
            show_line(f"\n{model.app}.{model.model}")
            show_source(model.diff, "diff")
    for question in result.open_questions:
        values = "|".join(question.choices) if question.choices == ("yes", "no") else question.suggestion or "VALUE"
        show_line(f"\n{question.text}\n  mig-kit generate --answer '{question.id}={values}'")
    for warning in result.warnings:
        show_note(f"Warning: {warning}")


@click.command(short_help="Step 2: a backup with a manifest")
@click.option("--script", is_flag=True, help="Run the project's own backup script instead of pg_dump.")
@click.option("--list", "listing", is_flag=True, help="List the backups there are, newest first, and make none.")
@click.option(
    "--jobs", type=click.IntRange(1), default=2, show_default=True, help="How many tables pg_dump reads at once."
)
@project_options
def backup(session: Session, script: bool, listing: bool, jobs: int) -> None:
    """Step 2: back the database up to .tmp/backups, with a manifest of its files and of every table's rows.

    A backup that is listed is complete; whatever goes wrong leaves nothing half-written.
    """
    from mig_kit.cli.output import show_frame, show_json, show_line, shown

    if listing and script:
        raise errors.UsageError("--list makes no backup, so --script has no meaning with it.", hint="leave one out")
    with session.runbook(record=not listing) as rb:
        if listing:
            frame = rb.backups()
            if session.as_json:
                show_json({**session.facts(rb), "folder": rb.target.backups_folder, "backups": frame})
            elif frame.empty:
                show_line(f"There is no backup in {shown(rb.target.backups_folder)}.")
            else:
                frame["when (UTC)"] = frame["when (UTC)"].dt.strftime("%Y-%m-%d %H:%M:%S")
                show_frame(frame)
            return
        try:
            result = rb.backup(script=script, jobs=jobs)
        except KeyboardInterrupt as exc:
            raise Stopped("Interrupted: no backup was made, and nothing of it was left.", by=exc) from None
        if session.as_json:
            show_json({**session.facts(rb), **_fields(result), "record": _record(rb)})
            return
        show_line(f"Backup: {shown(result.path)}")
        show_line(
            f"{result.size_bytes:,} bytes in {_count(len(result.files), 'file')}, "
            f"{sum(result.rows.values()):,} rows of {_count(len(result.rows), 'table')}, "
            f"{result.duration_s:.1f} s, by {result.method}."
        )
        show_line("Not verified: nobody has restored it yet.")


@click.command(short_help="Step 3: write the migration files and check them")
@click.option("--answer", "answers", multiple=True, metavar="ID=VALUE", help="Answer a question of makemigrations.")
@click.option("--app", "apps", multiple=True, metavar="APP", help="Only this app; may be given several times.")
@click.option("--name", metavar="NAME", help="The migration's name, without its number.")
@project_options
def generate(session: Session, answers: Sequence[str], apps: Sequence[str], name: str | None) -> int:
    """Step 3: write the migration files and check them.

    Exits with 1 when a check found an error in them. Where a question has no answer, nothing is written.
    """
    from mig_kit.cli.output import show_json

    given = dict(_answer(each) for each in answers)
    with session.runbook(record=True) as rb:
        try:
            result = rb.generate(given, apps=apps or None, name=name)
        except KeyboardInterrupt as exc:
            raise Stopped("Interrupted: no migration file was left half-written.", by=exc) from None
        if session.as_json:
            show_json({**session.facts(rb), **_fields(result), "record": _record(rb)})
        else:
            _show_generated(result)
    return Exit.FOUND if result.errors else Exit.FINE


def _answer(text: str) -> tuple[str, str]:
    question, separator, value = text.partition("=")
    if not (separator and question and value):
        raise errors.UsageError(
            f"The answer {text!r} is not ID=VALUE.", hint="mig-kit review shows each question with its id"
        )
    return question, value


def _show_generated(result: Generated) -> None:
    from mig_kit.cli.output import show_line, show_note, show_source, show_table, shown

    if not result:
        show_line("Nothing to generate: mig-kit review says why.")
    for each in result.files:
        show_line(shown(each.path))
        show_source(each.source, "python")
        show_line()
    if result.findings:
        show_table(
            ("severity", "id", "migration", "finding"),
            [
                (str(f.severity), f.id, f"{f.app}.{f.migration}", f"{f.message} {for_terminal(f.hint)}")
                for f in result.findings
            ],
            styles={"error": "bold red", "warning": "yellow"},
        )
    elif result:
        show_line(
            f"{_count(len(result.files), 'file')} written. Nothing found in field types, deletions and dependencies."
        )
    for warning in result.warnings:
        show_note(f"Warning: {warning}")


@click.command(short_help="Step 4: the SQL that would run")
@click.argument("app", required=False)
@click.argument("name", required=False)
@click.option("--backwards", is_flag=True, help="The way back from the migration NAME.")
@project_options
def preview(session: Session, app: str | None, name: str | None, backwards: bool) -> None:
    """Step 4: show the SQL of all pending migrations, of APP's, or of the one migration NAME.

    Runs none of it. What cannot be known without running it is said in a comment.
    """
    from mig_kit.cli.output import show_json, show_line, show_note, show_source

    with session.runbook(record=False) as rb:
        result = rb.preview(app, name, backwards=backwards)
        if session.as_json:
            migrations = [
                {**_fields(each), "statements": each.statements, "notes": each.notes} for each in result.migrations
            ]
            show_json({**session.facts(rb), "migrations": migrations, "sql": result.text})
        elif not result:
            show_line("-- Nothing is pending.")
        else:
            show_source(result.text, "sql")
        inexact = [f"{each.app}.{each.name}" for each in result.migrations if not each.exact]
        if inexact and not session.as_json:
            show_note(f"The database is not at the state just before {', '.join(inexact)}: its SQL may differ then.")


@click.command(short_help="Step 5: apply what is pending")
@click.argument("app", required=False)
@click.argument("name", required=False)
@click.option("--confirm", metavar="DATABASE", help="The database's name, which production asks for.")
@project_options
def apply(session: Session, app: str | None, name: str | None, confirm: str | None) -> None:
    """Step 5: apply all pending migrations, those of APP, or those of APP up to NAME.

    Says each statement and its time as it runs. Ctrl-C rolls back the migration that runs, as far as it is atomic.
    """
    from mig_kit.cli.output import show_json, show_line, show_table

    with session.runbook(record=True) as rb:
        try:
            result = rb.apply(app, name, confirm)
        except KeyboardInterrupt as exc:
            raise Stopped(_standing(rb, app, name), by=exc) from None
        if session.as_json:
            show_json({**session.facts(rb), **_fields(result), "record": _record(rb)})
            return
        if not result:
            show_line("Nothing to apply: no migration is pending.")
            return
        show_table(
            ("applied", "statements", "seconds"),
            [
                (str(each), sum(s.times for s in each.statements), round(each.ms / 1000, 2))
                for each in result.migrations
            ],
        )
        show_line(f"\n{_count(len(result.migrations), 'migration')} applied in {result.duration_s:.2f} s.")


def _standing(rb: Runbook, app: str | None, name: str | None) -> str:
    """Say where an interrupted apply left the database, by asking the database."""
    from mig_kit.steps.apply import plan

    try:
        pending = ", ".join(str(each) for each in plan(rb.target, app, name))
    except (errors.MigKitError, KeyboardInterrupt):
        return "Interrupted, and the database could not be asked where it stands: mig-kit status tells."
    if not pending:
        return "Interrupted; every migration had been applied: mig-kit verify is next."
    return f"Interrupted: the migration that ran was rolled back as far as it is atomic. Still pending: {pending}."


@click.command(short_help="Step 6: is all as it should be?")
@click.option("--app", "apps", multiple=True, metavar="APP", help="Look at this app only; may be given several times.")
@project_options
def verify(session: Session, apps: Sequence[str]) -> int:
    """Step 6: check that all is applied and that models, admin, rows and your own queries hold.

    Changes nothing. Exits with 1 when a check failed.
    """
    from mig_kit.cli.output import show_checks, show_json, show_line

    with session.runbook(record=True) as rb:
        result = rb.verify(apps=apps or None)
        if session.as_json:
            show_json({**session.facts(rb), "ok": result.ok, **_fields(result), "record": _record(rb)})
        else:
            show_checks(result.checks)
            failed = sum(each.state == "failed" for each in result.checks)
            show_line(f"\n{_count(failed, 'check')} failed." if failed else "\nNo check failed.")
    return Exit.FINE if result else Exit.FOUND


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
        show_line(f"\n{_count(len(frame), 'row')}.")


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


def _fields(result: Any) -> Mapping[str, Any]:
    from mig_kit.cli.plain import to_plain

    plain: Mapping[str, Any] = to_plain(result)
    return plain


def _record(rb: Runbook) -> str | None:
    return str(rb.run.path) if rb.run is not None else None


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
