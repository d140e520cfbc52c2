"""One of PostgreSQL's programs as a running process: what it says is read, its end is certain."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO

__all__ = ["ToolProcess", "interrupted_later"]

_GRACE_S = 5.0


class ToolProcess:
    """Run a program and give each line of its standard error to ``heard``, in a thread of its own.

    It has a session of its own: Ctrl-C in the terminal does not reach it, ``end()`` does.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        heard: Callable[[str], None],
        *,
        feed: bool = False,
    ) -> None:
        self._heard = heard
        self._process = subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name="mig_kit-tool", daemon=True)
        self._reader.start()

    @property
    def input(self) -> IO[bytes]:
        """The program's standard input, when it was started with ``feed``."""
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def ended(self) -> bool:
        """Tell whether the program and all its workers have ended and all they said is read."""
        return not self._reader.is_alive()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end, for so long at the most; tell whether it has come."""
        self._reader.join(timeout_s)
        return self.ended

    def returncode(self) -> int:
        """Wait for the end and return the exit code."""
        self._reader.join()
        return self._process.wait()

    @property
    def killed(self) -> bool:
        """Tell whether a signal ended it."""
        return self.returncode() < 0

    def how_it_ended(self) -> str:
        """Say how it ended, for a program that said nothing of it."""
        code = self.returncode()
        return f"it was ended by {signal.Signals(-code).name}" if code < 0 else f"it ended with {code} and said nothing"

    def end(self) -> None:
        """End the program and its workers, gently, then by force; returns when they are gone."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is not None and self.ended:
                break
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE_S)
            self._reader.join(_GRACE_S)
        for stream in (self._process.stdin, self._process.stderr):
            if stream is not None and self.ended:
                with contextlib.suppress(OSError):
                    stream.close()

    def _read(self) -> None:
        stream = self._process.stderr
        assert stream is not None
        for line in stream:
            self._heard(line.decode("utf-8", "replace").rstrip("\r\n"))


@contextlib.contextmanager
def interrupted_later() -> Iterator[None]:
    """Put Ctrl-C off until the block is through, so that what has to be cleared away is."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
        if came:
            signal.raise_signal(signal.SIGINT)
