"""The check of the installation."""

from __future__ import annotations

from typing import Any

import click

from mig_kit.cli.exits import Exit
from mig_kit.cli.options import Session, project_options

__all__ = ["doctor"]


@click.command(short_help="Check this installation")
@project_options
def doctor(session: Session) -> int:
    """Check this installation: widgets, kernel, PostgreSQL's programs; with --project also the project.

    Says what mends it. Exits with 1 when a check failed.
    """
    from mig_kit.cli.output import show_checks, show_json, show_line
    from mig_kit.lab.doctor import doctor as look

    checks = list(look())
    facts: dict[str, Any] = {}
    if session.project is not None:
        with session.runbook(record=False) as rb:
            checks += rb.preflight()
            facts = session.facts(rb)
    failed = sum(each.state == "failed" for each in checks)
    if session.as_json:
        show_json({**facts, "ok": not failed, "checks": checks})
    else:
        show_checks(checks)
        show_line(f"\n{failed} failed." if failed else "\nNothing failed.")
    return Exit.FOUND if failed else Exit.FINE
