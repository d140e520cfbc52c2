"""The safe migrations to write instead of a pending one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mig_kit.cli.exits import Exit, Stopped
from mig_kit.cli.options import Session, project_options
from mig_kit.cli.words import count, for_terminal

if TYPE_CHECKING:
    from mig_kit.hazards.assessment import Verdict
    from mig_kit.steps.safer import Safer

__all__ = ["safer"]


@click.command(short_help="Safe migrations in place of a pending one")
@click.argument("app")
@click.argument("name")
@click.option("--write", is_flag=True, help="Put them in its place; without it nothing of the project is touched.")
@project_options
def safer(session: Session, app: str, name: str, write: bool) -> int:
    """Offer the safe migrations to write instead of the pending migration NAME of APP, rehearsed on a restored copy.

    They lie in a private folder below .mig/safer in the project until --write puts them in its place, which needs them
    to come to the same schema and the same state of the models. Exits with 1 when they do not, or when something of the
    migration stays unsafe.
    """
    from mig_kit.cli.output import show_json

    with session.runbook(record=True) as rb:
        try:
            result = rb.safer(app, name, write=write)
        except KeyboardInterrupt as exc:
            raise Stopped("Interrupted: no migration file was left half-written.", by=exc) from None
        if session.as_json:
            show_json({**session.facts(rb), **_document(result), "written": write and bool(result)})
        else:
            _show(result, written=write and bool(result))
    return Exit.FINE if result.safe and not result.left else Exit.FOUND


def _document(result: Safer) -> dict[str, Any]:
    original = result.original
    return {
        "app": result.app,
        "name": result.name,
        "title": result.title,
        "ok": result.ok,
        "safe": result.safe,
        "files": dict(result.files),
        "later": dict(result.later),
        "notes": list(result.notes),
        "left": list(result.left),
        "before": original.assessment.as_json() if original else None,
        "after": [each.assessment.as_json() for each in result.rehearsed],
        "differences": [str(each) for each in result.differences],
        "state_kept": result.state_kept,
        "folder": str(result.folder) if result.folder else None,
    }


def _show(result: Safer, *, written: bool) -> None:
    from mig_kit.cli.output import show_line, show_source, show_table, shown

    for name, source in {**result.files, **result.later}.items():
        show_line(f"{name}.py" + ("  (for the next release)" if name in result.later else ""))
        show_source(source, "python")
        show_line()
    original = result.original
    if original is not None:
        rows = [("as it stands", str(original), _kind(original.lock_safety), _kind(original.compatibility))]
        rows += [
            ("instead", str(each), _kind(each.lock_safety), _kind(each.compatibility)) for each in result.rehearsed
        ]
        show_table(("", "migration", "lock safety", "old code"), rows)
    for change in result.differences:
        show_line(f"Different from the original: {change}")
    for note in result.notes:
        show_line(f"Note: {note}")
    for each in result.left:
        show_line(f"Left: {for_terminal(each)}")
    show_line(f"\n{result.words[0].upper()}{result.words[1:]}.")
    if written:
        show_line(f"Written: {count(len(result.files), 'file')} in {shown(result.path.parent)}.")
    elif result and result.ok:
        show_line(f"To put them in its place: mig-kit safer {result.app} {result.name} --write")
    if result.later and result.folder is not None:
        show_line(f"For the next release: {shown(Path(result.folder, 'next_release'))}")


def _kind(verdict: Verdict) -> str:
    return str(verdict.kind)
