"""A notebook run headless, and what is kept of it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mig_kit import errors
from mig_kit.lab.kernel import KERNEL, kernel_environ
from mig_kit.lab.parameters import check_parameters, read_notebook
from mig_kit.lab.style import stylesheet
from mig_kit.progress import Progress, ProgressCallback
from mig_kit.record import RunFolder, redact, redact_data, redact_notebook, write_report

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["Executed", "execute_notebook"]

# How long an interrupted cell may take to roll back what it was doing before its kernel is ended.
_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Executed:
    """Where the record of a headless run lies; ``cells`` is the number of code cells, ``duration_s`` in seconds.

    ``result`` is what the session's end says of it, such as "finished, verified"; empty where it was not finished.
    """

    folder: Path
    notebook: Path
    report: Path
    journal: Path
    cells: int
    duration_s: float
    result: str

    @property
    def failed_checks(self) -> bool:
        """No cell failed, but the verification did."""
        return self.result.endswith("verification failed")


def execute_notebook(
    notebook: Path,
    run: RunFolder,
    *,
    parameters: Mapping[str, Any],
    cwd: Path,
    progress: ProgressCallback | None = None,
) -> Executed:
    """Execute a copy of ``notebook`` in ``cwd`` with these parameters, and keep it and its report in ``run``.

    The kernel is the interpreter that runs this, and it keeps its journal in ``run`` too. The copy and the report are
    written whatever happens: a cell that fails, a kernel that dies, Ctrl-C (which interrupts the cell, waits until it
    has rolled back, and is raised again). Secrets that this process knows of are masked in both.

    Raises NotebookError when it stopped at a cell; UsageError for a file that is no notebook, a parameter that it
    does not have, or a folder that already holds a run.
    """
    check_parameters(source := read_notebook(notebook), parameters)
    if run.notebook_path.exists():
        raise errors.UsageError(
            f"There is a run in {run.path} already.", hint="name another folder: a record is not written over"
        )
    clock = time.perf_counter()
    work = _Work(source, run, dict(parameters), cwd, progress)
    with _environ(run.path), _quiet_logs():
        interruption = _wait(work)
    _keep(run)
    seconds = time.perf_counter() - clock
    if interruption is not None:
        raise interruption
    if work.error is not None:
        raise _told(work.error, run, work.where)
    code = sum(each.cell_type == "code" for each in source.cells)
    return Executed(run.path, run.notebook_path, run.report_path, run.journal.path, code, seconds, _result(run))


class _Work(threading.Thread):
    """Run papermill beside the main thread, which stays free to take Ctrl-C."""

    def __init__(
        self,
        source: NotebookNode,
        run: RunFolder,
        parameters: dict[str, Any],
        cwd: Path,
        progress: ProgressCallback | None,
    ) -> None:
        super().__init__(name="mig_kit-notebook", daemon=True)
        self.source, self.run_folder, self.parameters, self.cwd = source, run, parameters, cwd
        self.progress = progress
        self.error: BaseException | None = None
        self.client: Any = None
        self.stopping = False
        self.where = ""

    def run(self) -> None:
        import papermill
        from papermill.engines import papermill_engines

        papermill_engines.register("mig_kit", _engine())
        # papermill takes braces in a path for placeholders.
        output = str(self.run_folder.notebook_path.absolute()).replace("{", "{{").replace("}", "}}")
        try:
            papermill.execute_notebook(
                self.source,
                output,
                self.parameters,
                engine_name="mig_kit",
                kernel_name=KERNEL,
                language="python",
                progress_bar=False,
                cwd=str(self.cwd),
                work=self,
                store_widget_state=False,
            )
        except BaseException as exc:
            self.error = exc

    def say(self, cell: NotebookNode, index: int, total: int) -> None:
        """Report the cell that begins."""
        lines = [each.strip() for each in cell.source.splitlines()]
        self.where = next((each for each in lines if each and not each.startswith("#")), "")
        if self.progress is not None and cell.cell_type == "code":
            self.progress(Progress("run", self.where[:80] or "…", index + 1, total, "cells"))

    def interrupt(self) -> None:
        """Interrupt the cell that runs, and begin no other."""
        self.stopping = True
        self._signal(signal.SIGINT)

    def kill(self) -> None:
        """End the kernel at once."""
        self.stopping = True
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        pid = getattr(getattr(getattr(self.client, "km", None), "provisioner", None), "pid", None)
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _engine() -> Any:
    """Return papermill's engine with a client that reports, can be stopped, and writes down a kernel's death."""
    import nbformat
    from nbclient.exceptions import CellExecutionError, DeadKernelError
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import NBClientEngine

    class Client(PapermillNotebookClient):  # type: ignore[misc]
        work: _Work

        def execute(self, **kwargs: Any) -> Any:
            try:
                return super().execute(**kwargs)
            except DeadKernelError:
                return self.nb  # the cell says so

        def execute_cell(self, cell: NotebookNode, index: int, **kwargs: Any) -> Any:
            if self.work.stopping:
                raise CellExecutionError("", "KeyboardInterrupt", "interrupted before this cell began")
            self.work.say(cell, index, len(self.nb.cells))
            try:
                return super().execute_cell(cell, index, **kwargs)
            except DeadKernelError:
                why = "The kernel died while this cell ran."
                cell.outputs.append(
                    nbformat.v4.new_output("error", ename="KernelDied", evalue=why, traceback=[why])  # type: ignore[no-untyped-call]
                )
                raise CellExecutionError(why, "KernelDied", why) from None

    class Engine(NBClientEngine):  # type: ignore[misc]
        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **kwargs: Any) -> Any:
            work: _Work = kwargs["work"]
            client = Client(
                nb_man,
                kernel_name=kernel_name,
                startup_timeout=120,
                timeout=None,
                store_widget_state=kwargs["store_widget_state"],
            )
            client.work = work
            work.client = client
            return client.execute()

    return Engine


def _wait(work: _Work) -> KeyboardInterrupt | None:
    """Wait for the work; on Ctrl-C interrupt it and give it time to roll back, on a second one end its kernel."""
    work.start()
    interruption: KeyboardInterrupt | None = None
    deadline = float("inf")
    while work.is_alive():
        try:
            work.join(0.5)
            if time.monotonic() > deadline:
                work.kill()
        except KeyboardInterrupt as exc:
            if interruption is None:
                interruption, deadline = exc, time.monotonic() + _PATIENCE_S
                work.interrupt()
            else:
                work.kill()
    return interruption


def _keep(run: RunFolder) -> None:
    """Mask secrets in the executed copy, and write the report from it."""
    import nbformat

    if run.notebook_path.exists():
        node = redact_notebook(read_notebook(run.notebook_path))
        node.metadata.setdefault("kernelspec", {"display_name": "Python 3", "language": "python", "name": KERNEL})
        if "papermill" in node.metadata:
            node.metadata.papermill = redact_data(node.metadata.papermill)
        partial = run.notebook_path.with_name(".notebook.partial")
        partial.write_text(nbformat.writes(node) + "\n", encoding="utf-8")  # type: ignore[no-untyped-call]
        partial.chmod(0o600)
        partial.replace(run.notebook_path)
    write_report(run.notebook_path, run.journal, run.report_path, css=stylesheet())


def _result(run: RunFolder) -> str:
    ends = [each for each in run.journal.entries() if each.kind == "session finished"]
    return str(ends[-1].data.get("result", "")) if ends else ""


def _told(error: BaseException, run: RunFolder, where: str) -> errors.MigKitError:
    """Return what papermill raised as one error that names the cell."""
    kept = str(run.notebook_path)
    name, value = getattr(error, "ename", None), getattr(error, "evalue", "")
    if name is None:
        if isinstance(error, OSError) and error.strerror:
            return errors.NotebookError(
                f"The executed notebook could not be written: {error.filename or kept}: {error.strerror}.",
                executed=kept,
                hint="free the disk or mend the permissions there",
            )
        at = f" at the cell `{where}`" if where else " before its first cell"
        return errors.NotebookError(
            redact(f"The notebook stopped{at}: {type(error).__name__}: {error}"), executed=kept, hint="run it again"
        )
    message, _, hint = value.partition("\nNext: ")
    cell = f"In [{count}], `{where}`" if (count := getattr(error, "exec_count", None)) else f"the cell `{where}`"
    if name == "KernelDied":
        cell = f"the cell `{where}`"  # its number may or may not have come before the kernel went
        message, hint = "its kernel died", "see whether the machine ran out of memory; the journal says how far it came"
    elif not _is_ours(name):
        message = f"{name}: {message}".rstrip(": ")
    told = errors.NotebookError(redact(f"The notebook stopped at {cell}: {message}"), executed=kept, hint=redact(hint))
    told.__cause__ = error
    return told


def _is_ours(name: str) -> bool:
    return isinstance(kind := getattr(errors, name, None), type) and issubclass(kind, errors.MigKitError)


@contextlib.contextmanager
def _environ(folder: Path) -> Iterator[None]:
    """Have the kernel that is started meanwhile find its interpreter and its record."""
    with kernel_environ(folder.absolute()) as environ:
        before = dict(os.environ)
        os.environ.update(environ)
        # The debugger's remarks about frozen modules would come out between the lines of progress.
        os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


@contextlib.contextmanager
def _quiet_logs() -> Iterator[None]:
    """Keep papermill's and nbclient's log lines off the terminal: what they say is said by the error."""
    loggers = [logging.getLogger(name) for name in ("papermill", "traitlets", "nbclient")]
    before = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for each, level in zip(loggers, before, strict=True):
            each.setLevel(level)
