"""The client of the worker: starts it, asks it, and starts it afresh when it is out of date."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import execnet

from mig_kit import errors
from mig_kit.project.env_file import read_env_file
from mig_kit.project.find import Project

if TYPE_CHECKING:
    from execnet.gateway import Gateway
    from execnet.gateway_base import Channel

__all__ = ["EventCallback", "Worker"]

EventCallback = Callable[[str, dict[str, Any]], object]

PACKAGE = Path(__file__).parent / "worker"
NAME = "_mig_kit_worker"

# What runs first in the project's interpreter. The package is loaded from its files under a name of its own, so
# that nothing has to be installed there and its tracebacks show their lines.
BOOTSTRAP = """
def _start(channel):
    import importlib.util, sys
    options = channel.receive()
    spec = importlib.util.spec_from_file_location(
        options["name"], options["package"] + "/__init__.py", submodule_search_locations=[options["package"]])
    module = importlib.util.module_from_spec(spec)
    sys.modules[options["name"]] = module
    spec.loader.exec_module(module)
    __import__(options["name"] + ".serve")
    sys.modules[options["name"] + ".serve"].serve(channel, options)
_start(channel)
"""

# The interpreter starts in an empty folder of its own, where no queue.py or json.py shadows what execnet imports;
# the worker goes to the project's folder once it stands. Everything it prints, from its first line on, goes to the
# log. The two variables would lead another interpreter than this one astray.
LAUNCH = 'cd "$0" && exec 2>>output.log && unset PYTHONHOME __PYVENV_LAUNCHER__ && exec "$@"'


class Worker:
    """Speak with a process that runs in the project's own interpreter.

    It starts at the first call and stays warm. Before each call the project's files are compared with those the
    process was made from; when any changed, it starts afresh. When it dies or hangs, the call raises
    ``WorkerDied`` or ``WorkerTimeout`` with what it last printed, and the next call starts a new one.
    Calls from several threads wait for one another.

    ``databases``: alias → settings in place of the project's. ``isolation``: what keeps it to copies of the databases.
    ``migrations``: app → a folder that its migrations come from, in place of the project's own.
    """

    def __init__(
        self,
        project: Project,
        *,
        databases: Mapping[str, Mapping[str, Any]] | None = None,
        isolation: Mapping[str, Any] | None = None,
        migrations: Mapping[str, str] | None = None,
        start_timeout: float = 120.0,
    ) -> None:
        self.project = project
        self.migrations = dict(migrations or {})
        self.starts = 0
        self._databases = {alias: dict(values) for alias, values in (databases or {}).items()}
        self._isolation = dict(isolation) if isolation is not None else None
        self._start_timeout = start_timeout
        self._lock = threading.RLock()
        self._asking = False
        self._running: _Process | None = None

    def __repr__(self) -> str:
        state = f"pid {self._running.pid}" if self._running else "not started"
        return f"<Worker {self.project.python} ({state})>"

    @property
    def pid(self) -> int | None:
        """The process id while it runs, else None."""
        return self._running.pid if self._running else None

    def call(
        self,
        method: str,
        *,
        on_event: EventCallback | None = None,
        on_interrupt: Callable[[], None] | None = None,
        timeout: float | None = 600.0,
        **args: Any,
    ) -> Any:
        """Ask for one method and return its answer as plain data.

        ``timeout``: seconds without an answer or an event, None for any length. Raises the ``mig_kit.errors`` class
        that fits. Ctrl-C interrupts the work in the worker, which cancels the statement under way and rolls back;
        then it is raised again. ``on_interrupt`` is called meanwhile. What ``on_event`` raises does the same, and
        is raised. Where the worker waits for an event to be taken in, it goes on once ``on_event`` has returned, and
        gets the dict that it returned, if any.
        """
        with self._lock:
            if self._asking:
                raise errors.UsageError(
                    f"The worker cannot be asked for {method!r} from a callback of a request that is still under way.",
                    hint="ask once the request has been answered",
                )
            self._asking = True
            try:
                if self._running is not None and (not self._running.alive() or self._running.out_of_date()):
                    self.close()
                if self._running is None:
                    self._running = self._start()
                return self._running.ask(method, args, on_event, timeout, on_interrupt)
            finally:
                self._asking = False
                if self._running is not None and not self._running.alive():
                    self.close()

    def interrupt(self) -> None:
        """Interrupt the request under way, from another thread: its ``call`` raises KeyboardInterrupt.

        The work is rolled back as after Ctrl-C. A worker that has not stopped ten seconds later is killed.
        """
        running = self._running
        if running is not None and self._asking:
            running.stop()

    def _start(self) -> _Process:
        self.starts += 1
        return _Process(self.project, self._databases, self._isolation, self.migrations, self._start_timeout)

    def close(self) -> None:
        """End the process, if there is one; the next call starts a new one."""
        with self._lock:
            if self._running is not None:
                self._running.end()
                self._running = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class _Process:
    """One worker process and the channel to it."""

    def __init__(
        self,
        project: Project,
        databases: Mapping[str, Any],
        isolation: Mapping[str, Any] | None,
        migrations: Mapping[str, str],
        timeout: float,
    ) -> None:
        self._project = project
        self._sent = self._answered = 0
        self._watch: dict[str, Any] = {}
        self._env_file_there = project.env_file is not None and project.env_file.exists()
        if not project.work_dir.is_dir():
            raise errors.ProjectNotFound(
                f"The project's folder {project.work_dir} is not there any more.", hint="open the runbook again"
            )
        options = {
            "name": NAME,
            "package": str(PACKAGE),
            "work_dir": str(project.work_dir),
            "root": str(project.root),
            "settings": project.settings,
            "environ": dict(project.named_environ),
            "defaults": _defaults(project),
            "manage_py": str(project.manage_py) if project.manage_py else None,
            "env_file": str(project.env_file) if project.env_file else None,
            "databases": dict(databases),
            "isolation": isolation,
            "migrations": dict(migrations),
        }
        self._folder = Path(tempfile.mkdtemp(prefix="mig-kit-worker-"))  # private to the user
        log = self._folder / "output.log"
        log.touch()
        self._log = log.open("rb")
        command = shlex.join(["sh", "-c", LAUNCH, str(self._folder), str(project.python)])
        self._group = execnet.Group()
        try:
            self._gateway: Gateway = self._group.makegateway(f"popen//python={command}")
            # execnet keeps its process to itself; nothing public tells whether it lives.
            self._popen: subprocess.Popen[bytes] = self._gateway._io.popen  # type: ignore[attr-defined]
            self._channel: Channel = self._gateway.remote_exec(BOOTSTRAP)
            self._channel.send(options)
        except (OSError, EOFError, execnet.HostNotFound) as exc:
            output = self.last_output()
            self.end()
            raise errors.InterpreterError(
                f"The project's interpreter {project.python} could not be started"
                + (f": {output.splitlines()[-1]}" if output else f": {exc}."),
                hint="name the project's own interpreter with python=… / --python",
            ) from None
        except BaseException:
            self.end()
            raise
        self.pid = self._popen.pid
        try:
            self._receive(0, None, timeout, "start")
        except BaseException:
            self.end()
            raise
        # The log stays readable through its handle; a killed notebook leaves nothing lying about.
        shutil.rmtree(self._folder, ignore_errors=True)

    def alive(self) -> bool:
        return self._popen.poll() is None and not self._channel.isclosed()

    def out_of_date(self) -> bool:
        """Say whether any file the process was made from was changed, or came or went beside them."""
        for path, (mtime, size) in self._watch.get("files", {}).items():
            try:
                stat = Path(path).stat()
            except OSError:
                return True
            if (stat.st_mtime_ns, stat.st_size) != (mtime, size):
                return True
        for folder, names in self._watch.get("folders", {}).items():
            try:
                now = sorted(each.name for each in Path(folder).iterdir() if each.name.endswith(".py"))
            except OSError:
                now = []
            if now != list(names):
                return True
        env_file = self._project.env_file
        return env_file is not None and env_file.exists() != self._env_file_there

    def ask(
        self,
        method: str,
        args: Mapping[str, Any],
        on_event: EventCallback | None,
        timeout: float | None,
        on_interrupt: Callable[[], None] | None,
    ) -> Any:
        self._sent += 1
        try:
            self._send(method, args)
            return self._receive(self._sent, on_event, timeout, method)
        except BaseException:
            # Ctrl-C, or a callback that raised: nobody waits for the work any more, so it must not go on.
            if self._answered < self._sent and self.alive():
                self._interrupt(on_interrupt)
            raise

    def _send(self, method: str, args: Mapping[str, Any]) -> None:
        try:
            self._channel.send({"id": self._sent, "method": method, "args": dict(args)})
        except execnet.DumpError as exc:
            self._answered = self._sent
            raise errors.UsageError(
                f"An argument of {method!r} is not plain data: {exc}.",
                hint="give text, numbers, True, False or None; a date, say, as the text of a Python expression",
            ) from None
        except OSError:
            raise self._died(method) from None

    def _confirm(self, number: int, answer: object, method: str) -> None:
        """Let the worker go on: what it announced is safe with the callback."""
        try:
            self._channel.send({"ack": number, "data": answer if isinstance(answer, dict) else None})
        except OSError:
            raise self._died(method) from None

    def _receive(
        self, number: int, on_event: EventCallback | None, timeout: float | None, method: str, confirms: bool = True
    ) -> Any:
        while True:
            try:
                message = self._channel.receive(timeout)
            except self._channel.TimeoutError:
                output = self.last_output()
                self.end()
                raise errors.WorkerTimeout(
                    f"The project's worker did not answer {method!r} within {timeout:g} s and was ended"
                    + _said(output),
                    hint="run the cell again: a new worker starts; look for code that waits on import or in a signal",
                    last_output=output,
                ) from None
            except (EOFError, execnet.RemoteError) as exc:
                raise self._died(method, exc) from None
            if message["id"] != number:
                continue  # the rest of a request that was interrupted
            if "event" in message:
                answer = on_event(message["event"], message["data"]) if on_event is not None else None
                if "ack" in message and confirms:
                    self._confirm(message["ack"], answer, method)
                continue
            self._answered = number
            if "error" in message:
                raise _as_error(message["error"])
            self._watch = message["watch"]
            return message["result"]

    def _interrupt(self, on_interrupt: Callable[[], None] | None) -> None:
        """Interrupt the request under way; end the process when it does not stop within ten seconds."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGINT)
        # The reason for the interruption is what the caller gets to see, not what came after it.
        with contextlib.suppress(Exception, KeyboardInterrupt):
            if on_interrupt is not None:
                on_interrupt()
        with contextlib.suppress(Exception, KeyboardInterrupt):
            self._receive(self._sent, None, 10.0, "interrupt", confirms=False)
        if self._answered < self._sent:
            self.end()

    def stop(self) -> None:
        """Interrupt the request under way; kill the process when it has not answered ten seconds later."""
        number = self._sent

        def kill() -> None:
            if self._answered < number and self._popen.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)

        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGINT)
        timer = threading.Timer(10.0, kill)
        timer.daemon = True
        timer.start()

    def _died(self, method: str, exc: BaseException | None = None) -> errors.WorkerDied:
        with contextlib.suppress(Exception):
            self._popen.wait(timeout=2)
        status = self._popen.poll()
        how = f"signal {signal.Signals(-status).name}" if status is not None and status < 0 else f"exit status {status}"
        output = self.last_output()
        remote = f": {str(exc).strip().splitlines()[-1]}" if isinstance(exc, execnet.RemoteError) else ""
        self.end()
        return errors.WorkerDied(
            f"The project's worker ended before it answered {method!r} ({how}){remote}" + _said(output),
            hint="run the cell again: a new worker starts",
            last_output=output,
        )

    def last_output(self, limit: int = 4000) -> str:
        """Return the end of what the process printed."""
        try:
            self._log.seek(max(0, os.fstat(self._log.fileno()).st_size - limit))
            return self._log.read().decode("utf-8", "replace").strip()
        except (OSError, ValueError):
            return ""

    def end(self) -> None:
        """End the process: it is asked to, has three seconds to roll back, and is killed then."""
        self._group.terminate(timeout=3.0)
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _defaults(project: Project) -> dict[str, str]:
    """Return what ``.env`` says now: it may have been edited since the project was found."""
    if project.env_file is None or not project.env_file.exists():
        return {}
    return dict(read_env_file(project.env_file, os.environ).variables)


def _said(output: str) -> str:
    return f". It last printed:\n{output}" if output else "; it printed nothing."


def _as_error(data: Mapping[str, Any]) -> BaseException:
    """Turn the worker's plain error into the class it names."""
    kind, message, hint, extra = data["kind"], data["message"], data["hint"], data["extra"]
    if extra.get("exception") == "KeyboardInterrupt":
        return KeyboardInterrupt()
    if kind == "AppNotFound":
        return errors.AppNotFound(extra["app"], nearest=extra["nearest"])
    if kind == "MigrationNotFound":
        return _migration_not_found(extra, hint)
    if kind == "UnansweredQuestions":
        return _unanswered(extra["questions"])
    if kind == "GateClosed":
        return errors.GateClosed(message, gate=extra["gate"], hint=hint)
    if kind == "OperationFailed":
        return errors.OperationFailed(message, kind=extra["exception"], hint=hint, traceback=data["traceback"])
    error = getattr(errors, kind)(message, hint=hint)
    if isinstance(error, errors.SettingsError):
        error.traceback = data["traceback"]
    return error  # type: ignore[no-any-return]


def _migration_not_found(extra: Mapping[str, Any], hint: str) -> errors.MigrationNotFound:
    error = errors.MigrationNotFound(
        extra["app"], extra["name"], nearest=extra["nearest"], ambiguous=bool(extra.get("ambiguous"))
    )
    if extra.get("note"):
        error.message = extra["note"]
        error.args = (error.message,)
        error.hint = hint or error.hint
    return error


def _unanswered(questions: list[dict[str, Any]]) -> errors.UnansweredQuestions:
    count = len(questions)
    asked = "a question that has" if count == 1 else f"{count} questions that have"
    listed = "\n".join(f"  {each['id']}\n    {each['text']}" for each in questions)
    example = questions[0]
    answer = "True" if example["choices"] == ["yes", "no"] else repr(example.get("suggestion") or "''")
    return errors.UnansweredQuestions(
        f"makemigrations asks {asked} no answer yet:\n{listed}",
        questions=questions,
        hint=f"answer by id: answers={{{example['id']!r}: {answer}}}",
    )
