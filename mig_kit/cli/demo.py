"""The demo: made, run, stopped."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mig_kit import errors
from mig_kit.cli.exits import Exit, Stopped
from mig_kit.cli.notebooks import execute, executed_facts, executed_lines
from mig_kit.cli.options import Session, demo_options
from mig_kit.cli.words import program

if TYPE_CHECKING:
    from mig_kit.demo import Demo
    from mig_kit.lab.execute import Executed

__all__ = ["demo"]

# The demo asks one question: is live_url the field link under a new name? It is.
_ANSWERS = {"rename-field:portfolio.project.link:live_url": True}


@click.command(short_help="A project to try it on, with its own PostgreSQL")
@click.argument("directory", metavar="[DIR]", default="portfolio-demo", type=click.Path(path_type=Path))
@click.option("--fresh", is_flag=True, help="Make the project and its database anew; backups and records stay.")
@click.option(
    "--run", "running", is_flag=True, help="Run the migration session's notebook on it, from review to verify."
)
@click.option("--stop", is_flag=True, help="Stop its server; files and data stay.")
@click.option(
    "--scale",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="How much data: 1 is half a million rows.",
)
@demo_options
def demo(session: Session, directory: Path, fresh: bool, running: bool, stop: bool, scale: float) -> int:
    """Make a Django project on a PostgreSQL server of its own in DIR, with model changes to migrate.

    DIR (default: portfolio-demo) must be missing, empty or a demo. A demo that is there is only started again.
    """
    from mig_kit.cli.output import Terminal, show_json, show_line, shown
    from mig_kit.demo import create_demo, stop_demo
    from mig_kit.lab.demo_server import server_runs

    if stop:
        if fresh or running:
            raise errors.UsageError("--stop goes with neither --fresh nor --run.", hint="stop it first, then go on")
        stop_demo(directory)
        if session.as_json:
            show_json({"demo": directory.resolve(), "running": False})
        else:
            show_line(f"Its server is stopped. To start it again: mig-kit demo {directory}")
        return Exit.FINE
    ran_before = server_runs(directory.resolve())
    python = Path(session.python) if session.python else None
    try:
        with Terminal().progress("demo") as progress:
            made = create_demo(directory, fresh=fresh, python=python, scale=scale, progress=progress)
    except KeyboardInterrupt as exc:
        raise Stopped("Interrupted: of a demo that was being made nothing was left.", by=exc) from None
    if not running:
        if session.as_json:
            show_json(_facts(made))
        else:
            _show(made, directory)
        return Exit.FINE
    try:
        executed = _run(session, made)
    finally:
        if not ran_before:
            with contextlib.suppress(errors.MigKitError):
                stop_demo(directory)
    backup = _newest_backup(made)
    if session.as_json:
        show_json({**_facts(made), "running": ran_before, **executed_facts(executed), "backup": backup})
    else:
        took = f"{executed.duration_s:.0f} s, {executed.cells} cells"
        show_line(f"From review to verify in {took}: {executed.result or 'done'}.\n")
        for line in executed_lines(executed):
            show_line(line)
        show_line(f"Backup             {shown(backup) if backup else 'none was made'}\n")
        show_line("Open the report in a browser. The same by hand, in JupyterLab:")
        show_line(f"  {program()} demo {directory} --fresh && {program()} lab --project {directory}")
    return Exit.FOUND if executed.failed_checks else Exit.FINE


def _facts(made: Demo) -> dict[str, Any]:
    return {
        "demo": made.root,
        "manage_py": made.manage_py,
        "server": made.database.safe,
        "rows": sum(made.rows.values()),
        "created": made.created,
        "running": True,
    }


def _show(made: Demo, directory: Path) -> None:
    from mig_kit.cli.output import show_line, shown

    what = "A demo was made" if made.created else "The demo was there already and runs"
    show_line(f"{what} in {shown(made.root)}: {sum(made.rows.values()):,} rows on {made.database.safe}.\n")
    show_line(f"By hand         {program()} lab --project {directory}")
    show_line(f"Headless        {program()} demo {directory} --run")
    show_line(f"Step by step    {program()} review --project {directory}")
    show_line(f"Stop its server {program()} demo {directory} --stop")


def _newest_backup(made: Demo) -> Path | None:
    found = [each for each in made.backups.glob("*") if each.is_dir() and not each.name.startswith(".")]
    return max(found, key=lambda each: each.stat().st_mtime, default=None)


def _run(session: Session, made: Demo) -> Executed:
    from dotenv import dotenv_values

    from mig_kit.lab.template import SESSION, find_notebook
    from mig_kit.record import RunFolder, register_secret

    for name, value in dotenv_values(made.env_file, interpolate=False).items():
        if value and ("PASSWORD" in name or "SECRET" in name):
            register_secret(value)  # masked in what the kernel leaves
    notebook = find_notebook(SESSION)
    folder = RunFolder.create(made.root, notebook.stem)
    return execute(session, notebook, folder, {"project": str(made.root), "answers": _ANSWERS}, made.root)
