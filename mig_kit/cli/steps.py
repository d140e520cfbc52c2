"""The commands that do a step of the runbook, and keep a record of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from mig_kit import errors
from mig_kit.cli.exits import Exit, Stopped
from mig_kit.cli.gates import gates_document, reason_options, reasons
from mig_kit.cli.options import Session, project_options
from mig_kit.cli.waiting import Wait, waiting_options
from mig_kit.cli.words import count, for_terminal

if TYPE_CHECKING:
    from mig_kit.runbook import Runbook
    from mig_kit.steps.generate import Generated

__all__ = ["apply", "generate", "verify"]


@click.command(short_help="Step 3: write the migration files and check them")
@click.option("--answer", "answers", multiple=True, metavar="ID=VALUE", help="Answer a question of makemigrations.")
@click.option("--app", "apps", multiple=True, metavar="APP", help="Only this app; may be given several times.")
@click.option("--name", metavar="NAME", help="The migration's name, without its number.")
@project_options
def generate(session: Session, answers: Sequence[str], apps: Sequence[str], name: str | None) -> int:
    """Step 3: write the migration files and check them.

    Exits with 1 when a check found an error in them. Where a question has no answer, nothing is written.
    """
    from mig_kit.cli.output import record_of, show_json, show_record
    from mig_kit.cli.plain import to_plain

    given = dict(_answer(each) for each in answers)
    with session.runbook(record=True) as rb:
        try:
            result = rb.generate(given, apps=apps or None, name=name)
        except KeyboardInterrupt as exc:
            raise Stopped("Interrupted: no migration file was left half-written.", by=exc) from None
        if session.as_json:
            show_json({**session.facts(rb), **to_plain(result), "record": record_of(rb)})
        else:
            _show_generated(result)
            show_record(rb)
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
            f"{count(len(result.files), 'file')} written. Nothing found in field types, deletions and dependencies."
        )
    for warning in result.warnings:
        show_note(f"Warning: {warning}")


@click.command(short_help="Step 5: apply what is pending")
@click.argument("app", required=False)
@click.argument("name", required=False)
@click.option("--confirm", metavar="DATABASE", help="The database's name, which production asks for.")
@waiting_options
@reason_options
@project_options
def apply(
    session: Session,
    wait: Wait,
    app: str | None,
    name: str | None,
    confirm: str | None,
    acknowledged: Sequence[str],
    overridden: Sequence[str],
) -> None:
    """Step 5: apply all pending migrations, those of APP, or those of APP up to NAME.

    Says each statement and its time as it runs. Ctrl-C rolls back the migration that runs, as far as it is atomic.
    """
    from mig_kit.cli.output import record_of, show_json, show_line, show_record, show_table
    from mig_kit.cli.plain import to_plain

    acknowledge, override = reasons(acknowledged, "ID"), reasons(overridden, "GATE")
    with session.runbook(record=True) as rb:
        try:
            result = rb.apply(app, name, confirm, acknowledge=acknowledge, override=override, **wait)
        except errors.ApplyFailed as exc:
            # An interrupted migration failed as any other does, and the error says where things stand.
            if isinstance(exc.__context__, KeyboardInterrupt):
                raise Stopped(" ".join(exc.message.splitlines()), by=exc.__context__) from None
            raise
        except KeyboardInterrupt as exc:
            raise Stopped(_standing(rb, app, name), by=exc) from None
        if session.as_json:
            gates = gates_document(rb.gates_passed)
            show_json({**session.facts(rb), **to_plain(result), **gates, "record": record_of(rb)})
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
        for each in result.migrations:
            if each.retries:
                held = f", held by {'; '.join(each.blockers)}" if each.blockers else ""
                show_line(f"{each} waited {each.waited_s:.1f} s for locks, {each.retries + 1} tries{held}.")
        for words in result.ended:
            show_line(f"Ended, because it was in the way: {words}.")
        show_line(f"\n{count(len(result.migrations), 'migration')} applied in {result.duration_s:.2f} s.")
        show_record(rb)


def _standing(rb: Runbook, app: str | None, name: str | None) -> str:
    """Say what is pending when the interruption came before or after the migrations themselves."""
    from mig_kit.steps.apply import plan

    try:
        pending = ", ".join(str(each) for each in plan(rb.target, app, name))
    except (errors.MigKitError, KeyboardInterrupt):
        return "Interrupted, and the database could not be asked where it stands: mig-kit status tells."
    if pending:
        return f"Interrupted before a migration ran. Still pending: {pending}."
    return "Interrupted; nothing is pending any more: mig-kit verify is next."


@click.command(short_help="Step 6: is all as it should be?")
@click.option("--app", "apps", multiple=True, metavar="APP", help="Look at this app only; may be given several times.")
@project_options
def verify(session: Session, apps: Sequence[str]) -> int:
    """Step 6: check that all is applied and that models, admin, rows and your own queries hold.

    Changes nothing. Exits with 1 when a check failed.
    """
    from mig_kit.cli.output import record_of, show_checks, show_json, show_line, show_record
    from mig_kit.cli.plain import to_plain

    with session.runbook(record=True) as rb:
        result = rb.verify(apps=apps or None)
        if session.as_json:
            show_json({**session.facts(rb), "ok": result.ok, **to_plain(result), "record": record_of(rb)})
        else:
            show_checks(result.checks)
            failed = sum(each.state == "failed" for each in result.checks)
            show_line(f"\n{count(failed, 'check')} failed." if failed else "\nNo check failed.")
            show_record(rb)
    return Exit.FINE if result else Exit.FOUND
