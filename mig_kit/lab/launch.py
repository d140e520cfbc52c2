"""JupyterLab, started on a new session's notebook."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mig_kit import errors
from mig_kit.lab.kernel import KERNEL, kernel_environ
from mig_kit.lab.parameters import fill_parameters, read_notebook
from mig_kit.record import RunFolder

__all__ = ["launch_lab", "new_session"]


def new_session(notebook: Path, root: Path, parameters: Mapping[str, Any]) -> RunFolder:
    """Copy a notebook into a new run folder of the project, its outputs cleared and these parameters filled in.

    One that lies in a run folder already is that run's own: it is opened again as it is.
    """
    runs = root.resolve() / ".mig" / "runs"
    if notebook.parent.parent == runs:
        return RunFolder.open(notebook.parent)
    node = read_notebook(notebook)
    fill_parameters(node, parameters)
    for cell in node.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    # Without it JupyterLab opens with a dialog that asks for the kernel.
    node.metadata["kernelspec"] = {"display_name": "Python 3 (mig_kit)", "language": "python", "name": KERNEL}
    import nbformat

    run = RunFolder.create(root, notebook.stem)
    text = nbformat.writes(node) + "\n"  # type: ignore[no-untyped-call]
    run.notebook_path.write_text(text, encoding="utf-8")
    return run


def launch_lab(run: RunFolder, root: Path, *, notebook: Path | None = None, browser: bool = True) -> int:
    """Run JupyterLab in the foreground on a run's notebook until it is shut down; return its exit status.

    It serves the project's folder on the loopback interface, with Jupyter's token, and its "Python 3" is the
    interpreter that runs this. Ctrl-C is JupyterLab's own: it asks whether to shut down.
    """
    opened = (notebook or run.notebook_path).resolve().relative_to(root.resolve())
    command = [sys.executable, "-m", "jupyterlab", *_options(root, opened, browser)]
    with kernel_environ(run.path.absolute()) as environ:
        # An empty token would switch the check off.
        environ = {name: value for name, value in environ.items() if value or name != "JUPYTER_TOKEN"}
        try:
            process = subprocess.Popen(command, env=environ, cwd=root)
        except OSError as exc:
            raise errors.NotebookError(f"JupyterLab could not be started: {exc}.", hint="mig-kit doctor") from exc
        with _left_to(process):
            return process.wait()


def _options(root: Path, opened: Path, browser: bool) -> Sequence[str]:
    options = [
        f"--ServerApp.root_dir={root.resolve()}",
        f"--LabApp.default_url=/lab/tree/{quote(opened.as_posix())}",
        "--ServerApp.ip=127.0.0.1",
        # The runs lie in .mig.
        "--ContentsManager.allow_hidden=True",
        # Nothing is asked of the network.
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.news_url=None",
        "--LabApp.extension_manager=readonly",
        # The address is shown all the same.
        "--ServerApp.log_level=WARN",
    ]
    if not browser:
        options.append("--no-browser")
    if os.geteuid() == 0:
        options.append("--allow-root")
    return options


@contextlib.contextmanager
def _left_to(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Leave Ctrl-C to the process in the foreground, and pass SIGTERM on; wait for it to end in any case."""

    def ignore(*_: object) -> None:
        return None

    def end(*_: object) -> None:
        process.terminate()

    before = {signal.SIGINT: signal.signal(signal.SIGINT, ignore), signal.SIGTERM: signal.signal(signal.SIGTERM, end)}
    try:
        yield
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
        for number, handler in before.items():
            signal.signal(number, handler)
