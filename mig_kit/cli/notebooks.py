"""The commands around the notebooks: the demo, a headless run, JupyterLab, and the check of the installation."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mig_kit import errors
from mig_kit.cli.exits import Exit, Stopped
from mig_kit.cli.options import Session, project_options
from mig_kit.cli.steps import values
from mig_kit.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mig_kit.demo import Demo
    from mig_kit.lab.execute import Executed
    from mig_kit.record import RunFolder

__all__ = ["demo", "doctor", "lab", "run"]

# The demo asks one question: is live_url the field link under a new name? It is.
_DEMO_ANSWERS = {"rename-field:portfolio.project.link:live_url": True}


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
@project_options
def demo(session: Session, directory: Path, fresh: bool, running: bool, stop: bool, scale: float) -> None:
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
            show_line(
                f"The server of {shown(directory.resolve())} is stopped; mig-kit demo {directory} starts it again."
            )
        return
    ran_before = server_runs(directory.resolve())
    python = Path(session.python) if session.python else None
    try:
        with Terminal().progress("demo") as progress:
            made = create_demo(directory, fresh=fresh, python=python, scale=scale, progress=progress)
    except KeyboardInterrupt as exc:
        raise Stopped("Interrupted: of a demo that was being made nothing was left.", by=exc) from None
    if not running:
        if session.as_json:
            show_json(_demo_facts(made))
        else:
            _show_demo(made, directory)
        return
    try:
        executed = _run_demo(made)
    finally:
        if not ran_before:
            stop_demo(directory)
    if session.as_json:
        show_json(
            {**_demo_facts(made), "running": ran_before, **_executed_facts(executed), "backup": _newest_backup(made)}
        )
        return
    show_line(
        f"The demo went from review to verify in {executed.duration_s:.0f} s: {executed.cells} cells, no error.\n"
    )
    show_line(f"Executed notebook  {shown(executed.notebook)}")
    show_line(f"HTML report        {shown(executed.report)}")
    show_line(f"Backup             {shown(backup) if (backup := _newest_backup(made)) else 'none was made'}\n")
    show_line(f"By hand, in JupyterLab: mig-kit demo {directory} --fresh, then mig-kit lab --project {directory}")


def _demo_facts(made: Demo) -> dict[str, Any]:
    return {
        "demo": made.root,
        "manage_py": made.manage_py,
        "server": made.database.safe,
        "rows": sum(made.rows.values()),
        "created": made.created,
        "running": True,
    }


def _show_demo(made: Demo, directory: Path) -> None:
    from mig_kit.cli.output import show_line, shown

    what = "A demo was made" if made.created else "The demo was there already and runs"
    show_line(f"{what} in {shown(made.root)}: {sum(made.rows.values()):,} rows on {made.database.safe}.\n")
    show_line(f"By hand         mig-kit lab --project {directory}")
    show_line(f"Headless        mig-kit demo {directory} --run")
    show_line(f"Step by step    mig-kit review --project {directory}")
    show_line(f"Stop its server mig-kit demo {directory} --stop")


def _newest_backup(made: Demo) -> Path | None:
    found = [each for each in made.backups.glob("*") if each.is_dir() and not each.name.startswith(".")]
    return max(found, key=lambda each: each.stat().st_mtime, default=None)


def _run_demo(made: Demo) -> Executed:
    from mig_kit.lab.template import SESSION, find_notebook
    from mig_kit.record import RunFolder

    notebook = find_notebook(SESSION)
    folder = RunFolder.create(made.root, notebook.stem)
    return _execute(notebook, folder, {"project": str(made.root), "answers": _DEMO_ANSWERS}, made.root)


def _execute(notebook: Path, folder: RunFolder, parameters: dict[str, Any], root: Path) -> Executed:
    """Run a notebook with progress; when it stops early, say on stderr what was kept."""
    from mig_kit.cli.output import Terminal, show_note, shown
    from mig_kit.lab.execute import execute_notebook

    def kept() -> None:
        if folder.notebook_path.exists():
            show_note(
                f"Executed notebook  {shown(folder.notebook_path)}\nHTML report        {shown(folder.report_path)}"
            )

    try:
        with Terminal().progress("run") as progress:
            return execute_notebook(notebook, folder, parameters=parameters, cwd=root, progress=progress)
    except errors.NotebookError:
        kept()
        raise
    except KeyboardInterrupt as exc:
        kept()
        raise Stopped(
            "Interrupted: the cell that ran was interrupted, and what it had begun was rolled back as far as "
            "its step can; the executed notebook says where.",
            by=exc,
        ) from None


@click.command(short_help="Run a notebook headless and keep the record")
@click.argument("notebook")
@click.option(
    "-p",
    "--param",
    "params",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
    help="A parameter of the notebook; the value is YAML.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Keep the run here instead of in the project's .mig/runs.",
)
@project_options
def run(session: Session, notebook: str, params: Sequence[tuple[str, str]], out: Path | None) -> None:
    """Run NOTEBOOK headless on a project, and keep the executed copy, its journal and an HTML report.

    NOTEBOOK is a path, or one of mig_kit's own by its name or number (01). The copy is kept also when a cell fails;
    the exit code is then 3, or 2 where the cell was refused: a question without an answer, a gate that is closed.
    """
    from mig_kit.cli.output import show_json, show_line, shown
    from mig_kit.lab.parameters import check_parameters, parameter_names, read_notebook
    from mig_kit.lab.template import find_notebook
    from mig_kit.record import RunFolder

    path = find_notebook(notebook)
    known = parameter_names(node := read_notebook(path))
    given = values(params)
    check_parameters(node, given)
    with _prepared(session) as root:
        parameters = {**_named(session, root, known), **given}
        folder = RunFolder.create(root, path.stem) if out is None else _out_folder(out)
        executed = _execute(path, folder, parameters, root)
    if session.as_json:
        show_json(_executed_facts(executed))
        return
    show_line(f"{executed.cells} cells in {executed.duration_s:.0f} s, no error.")
    show_line(f"Executed notebook  {shown(executed.notebook)}")
    show_line(f"HTML report        {shown(executed.report)}")


@click.command(short_help="Start JupyterLab on a new session")
@click.argument("notebook", required=False)
@click.option("--no-browser", is_flag=True, help="Open no browser; the address is printed.")
@project_options
def lab(session: Session, notebook: str | None, no_browser: bool) -> int:
    """Start JupyterLab on a new session's notebook: a copy of NOTEBOOK in a dated folder below .mig/runs.

    NOTEBOOK (default: 01) is a path, or one of mig_kit's own by its name or number; one that lies in a folder below
    .mig/runs is opened again as it is. A demo's server is started first, and stopped afterwards.
    """
    from mig_kit.cli.output import show_note, shown
    from mig_kit.lab.launch import launch_lab, new_session
    from mig_kit.lab.parameters import parameter_names, read_notebook
    from mig_kit.lab.template import SESSION, find_notebook

    if session.as_json:
        raise errors.UsageError(
            "mig-kit lab is for people: it has no JSON to print.", hint="mig-kit run NOTEBOOK --json"
        )
    path = find_notebook(notebook or SESSION)
    with _prepared(session) as root:
        folder = new_session(path, root, _named(session, root, parameter_names(read_notebook(path))))
        opened = path if folder.path == path.parent else folder.notebook_path
        show_note(f"The session's notebook: {shown(opened)}")
        status = launch_lab(folder, root, notebook=opened, browser=not no_browser)
    return Exit.FAILED if status > 0 else Exit.FINE


@contextmanager
def _prepared(session: Session) -> Iterator[Path]:
    """Have a demo's server run, and the project opened once: what is wrong with it is said before a kernel starts.

    That also tells this process the secrets to mask in what the kernel leaves.
    """
    from mig_kit.cli.output import Terminal
    from mig_kit.lab.demo_server import demo_server
    from mig_kit.steps.target import open_target

    with Terminal().progress("demo") as progress, demo_server(session.path, progress=progress):
        progress(Progress("run", "opening the project"))
        target = open_target(
            session.path,
            database=session.database,
            stage=session.stage,
            python=session.python,
            settings=session.settings,
        )
        target.close()
        yield target.project.root


def _named(session: Session, root: Path, known: Sequence[str] | None) -> dict[str, Any]:
    """Return the common options as the notebook's parameters; those it does not know are refused where they matter."""
    options = {
        "project": str(session.path.resolve()) if session.project else str(root),
        "database": session.database,
        "python": session.python,
        "settings": session.settings,
        "stage": session.stage,
    }
    named = {name: value for name, value in options.items() if value is not None}
    if known is None:
        return named
    for name in named:
        if name not in known and name != "project":
            raise errors.UsageError(
                f"The notebook has no parameter {name!r} to take --{name} with.",
                hint=f"give its parameters cell one: {name} = None",
            )
    return {name: value for name, value in named.items() if name in known}


def _out_folder(out: Path) -> RunFolder:
    from mig_kit.record import RunFolder

    try:
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise errors.UsageError(
            f"The folder {out} cannot be made: {exc.strerror}.", hint="name another with --out"
        ) from None
    return RunFolder.open(out.resolve())


def _executed_facts(executed: Executed) -> dict[str, Any]:
    from mig_kit.cli.plain import to_plain

    facts: dict[str, Any] = to_plain(executed)
    return facts


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
