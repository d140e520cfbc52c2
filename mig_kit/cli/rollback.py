"""Going back: shown first, done with the name of the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from mig_kit import errors
from mig_kit.cli.exits import Exit, Stopped
from mig_kit.cli.gates import gates_document, reason_options, reasons, show_gates
from mig_kit.cli.options import Session, project_options
from mig_kit.cli.waiting import Wait, waiting_options
from mig_kit.cli.words import count, for_terminal

if TYPE_CHECKING:
    from mig_kit.runbook import Runbook
    from mig_kit.steps.rollback import RollbackPlan

__all__ = ["rollback"]


@click.command(short_help="Take migrations back")
@click.argument("app")
@click.argument("name")
@click.option("--confirm", metavar="DATABASE", help="The database's name: do what was shown.")
@click.option("--sql", "with_sql", is_flag=True, help="Show the SQL of the way back, too.")
@click.option(
    "--rehearse", is_flag=True, help="Go back on a restored copy of the latest backup, and say how that went."
)
@waiting_options
@reason_options
@project_options
def rollback(
    session: Session,
    wait: Wait,
    app: str,
    name: str,
    confirm: str | None,
    with_sql: bool,
    rehearse: bool,
    acknowledged: Sequence[str],
    overridden: Sequence[str],
) -> int:
    """Take the migrations of APP after NAME back; zero for NAME takes all of them.

    Without --confirm it shows what would run, the data that will be lost and what has to hold, and changes nothing.
    With the name of the database, in every stage, it does it. Exits with 2 where something is irreversible, with 1
    where --rehearse did not pass.
    """
    from mig_kit.cli.output import show_json, show_line, show_table
    from mig_kit.cli.plain import to_plain
    from mig_kit.steps.rollback import RollbackPlan

    acknowledge, override = reasons(acknowledged, "ID"), reasons(overridden, "GATE")
    with session.runbook(record=True) as rb:
        record = str(rb.run.path) if rb.run is not None else None
        if rehearse:
            return _rehearsed(session, rb, app, name)
        try:
            result = rb.rollback(app, name, confirm, acknowledge=acknowledge, override=override, **wait)
        except errors.ApplyFailed as exc:
            # An interrupted migration failed as any other does, and the error says where things stand.
            if isinstance(exc.__context__, KeyboardInterrupt):
                raise Stopped(" ".join(exc.message.splitlines()), by=exc.__context__) from None
            raise
        if isinstance(result, RollbackPlan):
            if session.as_json:
                show_json({**session.facts(rb), **_document(result), **gates_document(result.gates), "record": record})
            else:
                _show(result, with_sql=with_sql)
            return Exit.REFUSED if result.irreversible else Exit.FINE
        if session.as_json:
            document = {**_document(result.plan), "applied": to_plain(result.applied)}
            gates = rb.gates_passed
            show_json({**session.facts(rb), **document, **gates_document(gates), "record": record})
            return Exit.FINE
        if not result:
            show_line(f"Nothing to take back: {app} is at {name} already.")
            return Exit.FINE
        show_table(
            ("taken back", "statements", "seconds"),
            [
                (str(each), sum(s.times for s in each.statements), round(each.ms / 1000, 2))
                for each in result.applied.migrations
            ],
        )
        show_line(f"\n{count(len(result.applied.migrations), 'migration')} taken back.")
    return Exit.FINE


def _rehearsed(session: Session, rb: Runbook, app: str, name: str) -> int:
    from mig_kit.cli.output import show_frame, show_json, show_line
    from mig_kit.cli.plain import to_plain

    result = rb.rehearse_rollback(app, name)
    if session.as_json:
        show_json({**session.facts(rb), "ok": result.ok, **to_plain(result)})
    else:
        show_frame(result.to_frame())
        words = "passed" if result.ok else f"stopped at {result.failed}"
        show_line(f"\nThe way back {words} on {result.backup}, restored on {result.scratch}.")
    return Exit.FINE if result else Exit.FOUND


def _document(plan: RollbackPlan) -> dict[str, object]:
    from mig_kit.cli.plain import to_plain

    return {
        "app": plan.app,
        "name": plan.name,
        "migrations": [str(each) for each in plan.migrations],
        "irreversible": [str(each) for each in plan.irreversible],
        "losses": to_plain(plan.losses),
        "sql": plan.sql.text,
    }


def _show(plan: RollbackPlan, *, with_sql: bool) -> None:
    from mig_kit.cli.output import show_line, show_note, show_source, show_table

    if not plan:
        show_line(f"Nothing to take back: {plan.app} is at {plan.name} already.")
        return
    show_line("Would be taken back, in this order: " + ", ".join(map(str, plan.migrations)))
    if plan.losses:
        show_line()
        show_table(
            ("lost", "of", "table or column", "what happens", "by", "note"),
            [
                (
                    "?" if each.lost is None else f"{each.lost:,}",
                    "" if each.rows is None else f"{each.rows:,}",
                    f"{each.table}.{each.column}" if each.column else each.table,
                    each.what,
                    each.migration,
                    "; ".join(filter(None, (each.note, each.fails and f"the way back fails: {each.fails}"))),
                )
                for each in plan.losses
            ],
        )
    else:
        show_line("No table and no column is dropped.")
    if with_sql:
        show_line()
        show_source(plan.sql.text, "sql")
    if plan.irreversible:
        show_line()
        for each in plan.irreversible:
            show_line(f"Irreversible: {each}")
        show_note("It is refused. The alternative is to restore a backup from before it: mig-kit restore")
        return
    if plan.gates is not None:
        show_line()
        show_gates(plan.gates)
    show_note(
        for_terminal(f"Nothing was run. To do it: rb.rollback({plan.app!r}, {plan.name!r}, confirm={plan.database!r})")
    )
