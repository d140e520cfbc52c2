"""Going on where an apply was left."""

from __future__ import annotations

import click

from mig_kit import errors
from mig_kit.cli.exits import Exit, Stopped
from mig_kit.cli.gates import gates_document
from mig_kit.cli.options import Session, project_options
from mig_kit.cli.waiting import Wait, waiting_options
from mig_kit.cli.words import count, for_terminal

__all__ = ["resume"]


@click.command(short_help="Finish what was left unfinished")
@click.option("--look", "only_look", is_flag=True, help="Show where it stands, and change nothing.")
@click.option("--choice", metavar="WORD", help="Which explanation holds, where --look shows more than one.")
@click.option(
    "--back/--forwards", default=None, help="Take back what is done of a half-done migration, or turn round again."
)
@click.option("--confirm", metavar="DATABASE", help="The database's name, which production asks for.")
@waiting_options
@project_options
def resume(
    session: Session, wait: Wait, only_look: bool, choice: str | None, back: bool | None, confirm: str | None
) -> int:
    """Finish what the last apply, rollback or fake left unfinished, and the rest of its plan.

    With --look it exits with 1 when something is unfinished.
    """
    from mig_kit.cli.output import record_of, show_json, show_line, show_record, show_table
    from mig_kit.cli.plain import to_plain

    with session.runbook(record=not only_look) as rb:
        if only_look:
            found = rb.unfinished()
            if session.as_json:
                way = {"way": str(found.way), "next": for_terminal(found.next)} if found is not None else {}
                show_json({**session.facts(rb), "unfinished": to_plain(found), **way})
            elif found is None:
                show_line("Nothing was left unfinished.")
            else:
                show_line(found.words)
                stand = [(str(each), str(each.standing), each.evidence) for each in found.migrations]
                show_table(("migration", "standing", "evidence"), stand)
                show_line(f"Next: {for_terminal(found.next)}")
            return Exit.FINE if found is None else Exit.FOUND
        try:
            result = rb.resume(confirm, choice=choice, back=back, **wait)
        except errors.ApplyFailed as exc:
            # An interrupted migration failed as any other does, and the error says where things stand.
            if isinstance(exc.__context__, KeyboardInterrupt):
                raise Stopped(" ".join(exc.message.splitlines()), by=exc.__context__) from None
            raise
        if session.as_json:
            gates = gates_document(rb.gates_passed)
            show_json({**session.facts(rb), **to_plain(result), **gates, "record": record_of(rb)})
            return Exit.FINE
        rows = [(str(each), "taken back" if each.backwards else "applied") for each in result.migrations]
        show_table(("migration", ""), rows)
        show_line(f"\n{count(len(result.migrations), 'migration')} finished in {result.duration_s:.2f} s.")
        show_record(rb)
    return Exit.FINE
