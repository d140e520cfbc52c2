"""What has to hold before a database is changed, and the options that give reasons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from mig_kit import errors
from mig_kit.cli.exits import Exit
from mig_kit.cli.options import Session, project_options
from mig_kit.cli.words import for_terminal

if TYPE_CHECKING:
    from mig_kit.steps.gates import Gates

__all__ = ["gates", "gates_document", "reason_options", "reasons", "show_gates"]

_STYLES = {"open": "green", "overridden": "yellow", "closed": "bold red"}


def reason_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options --acknowledge and --override."""
    function = click.option(
        "--override",
        "overridden",
        multiple=True,
        metavar="GATE=REASON",
        help="Go on though this gate is closed; kept in the record. May be given several times.",
    )(function)
    return click.option(
        "--acknowledge",
        "acknowledged",
        multiple=True,
        metavar="ID=REASON",
        help="Accept a finding (MK203, or 'MK203 in APP.NAME', 'old code', 'data loss'). May be given several times.",
    )(function)


def reasons(given: Sequence[str], what: str) -> dict[str, str]:
    """Return what NAME=REASON options say."""
    found: dict[str, str] = {}
    for each in given:
        name, separator, reason = each.partition("=")
        if not (separator and name.strip() and reason.strip()):
            raise errors.UsageError(f"{each!r} is not {what}=REASON.", hint="mig-kit gates lists what there is")
        found[name.strip()] = reason.strip()
    return found


@click.command(short_help="What has to hold before apply")
@click.argument("app", required=False)
@click.argument("name", required=False)
@click.option("--confirm", metavar="DATABASE", help="The database's name, which production asks for.")
@click.option(
    "--acknowledge",
    "acknowledged",
    multiple=True,
    metavar="ID=REASON",
    help="Accept a finding (MK203, or 'MK203 in APP.NAME', 'old code'). May be given several times.",
)
@project_options
def gates(session: Session, app: str | None, name: str | None, confirm: str | None, acknowledged: Sequence[str]) -> int:
    """Show what has to hold before apply, what holds, with the evidence, and what to run to open the rest.

    Of production all is required, of staging a part, of development nothing. Exits with 1 when one that is required
    is closed.
    """
    from mig_kit.cli.output import show_json

    given = reasons(acknowledged, "ID")
    with session.runbook(record=True) as rb:
        for said, reason in given.items():
            finding, _in, migration = said.partition(" in ")
            rb.acknowledge(finding, reason, migration=migration.strip() or None)
        result = rb.gates(app, name, confirm)
        if session.as_json:
            show_json({**session.facts(rb), "ok": bool(result), **gates_document(result)})
        else:
            show_gates(result)
    return Exit.FINE if result else Exit.FOUND


def gates_document(result: Gates | None) -> dict[str, Any]:
    """Return gates as JSON has them: none where none was looked at."""
    if result is None:
        return {"gates": [], "points": []}
    from mig_kit.cli.plain import to_plain

    return {
        "plan": {"sha256": result.plan.sha256, "migrations": [str(each) for each in result.plan.migrations]},
        "gates": to_plain(result.gates),
        "points": to_plain(result.points),
    }


def show_gates(result: Gates) -> None:
    """Print each gate, and under one that is closed what to run."""
    from mig_kit.cli.output import show_line, show_table

    rows: list[tuple[object, ...]] = []
    for each in result.gates:
        required = "" if each.required else "not required"
        rows.append((str(each.state), each.name, required, for_terminal(each.evidence)))
        if each.reason:
            rows.append(("", "", "", f"overridden: {each.reason}"))
        elif each.next:
            rows.append(("", "", "", f"next: {for_terminal(each.next)}"))
    show_table(("state", "gate", "", "evidence"), rows, styles=_STYLES)
    if result.points:
        show_line()
        show_table(
            ("id", "migration", "says", "acknowledged"),
            [(each.id, each.migration, for_terminal(each.message), each.reason) for each in result.points],
        )
    closed = len(result.refusing)
    words = f"{closed} required and closed." if closed else "No gate keeps it from running."
    show_line(f"\nBefore {result.step} in {result.stage}: {words}")
