"""The notebooks: run headless, or opened in JupyterLab."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mig_kit import errors
from mig_kit.cli.exits import Exit, Stopped
from mig_kit.cli.looks import values
from mig_kit.cli.options import Session, project_options
from mig_kit.progress import Progress

if TYPE_CHECKING:
    from mig_kit.lab.execute import Executed
    from mig_kit.record import RunFolder

__all__ = ["execute", "executed_facts", "executed_lines", "lab", "run"]


def execute(session: Session, notebook: Path, folder: RunFolder, parameters: Mapping[str, Any], root: Path) -> Executed:
    """Run a notebook with progress; when it stops early, say on stderr what was kept."""
    from mig_kit.cli.output import Terminal, show_note, shown
    from mig_kit.lab.execute import execute_notebook
    from mig_kit.lab.failures import FULL_TRACEBACK

    def kept() -> None:
        if folder.notebook_path.exists():
            show_note(
                f"Executed notebook  {shown(folder.notebook_path)}\nHTML report        {shown(folder.report_path)}"
            )

    if session.traceback:
        os.environ[FULL_TRACEBACK] = "1"
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
def run(session: Session, notebook: str, params: Sequence[tuple[str, str]], out: Path | None) -> int:
    """Run NOTEBOOK headless on a project, and keep the executed copy, its journal and an HTML report.

    NOTEBOOK is a path, or one of mig_kit's own by its name or number (01). The copy is kept also when a cell fails;
    the exit code is then 3, or 2 where the cell was refused (a question without an answer, a gate that is closed),
    and 1 where every cell ran and the verification failed.
    """
    from mig_kit.cli.output import show_json, show_line
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
        executed = execute(session, path, folder, parameters, root)
    if session.as_json:
        show_json(executed_facts(executed))
    else:
        show_line(f"{executed.cells} cells in {executed.duration_s:.0f} s: {executed.result or 'no cell failed'}.\n")
        for line in executed_lines(executed):
            show_line(line)
    return Exit.FOUND if executed.failed_checks else Exit.FINE


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


def executed_lines(executed: Executed) -> Sequence[str]:
    """Return where a run's record lies, for people."""
    from mig_kit.cli.output import shown

    return (f"Executed notebook  {shown(executed.notebook)}", f"HTML report        {shown(executed.report)}")


def executed_facts(executed: Executed) -> dict[str, Any]:
    """Return where a run's record lies, for programs."""
    from mig_kit.cli.plain import to_plain

    facts: dict[str, Any] = to_plain(executed)
    return facts
