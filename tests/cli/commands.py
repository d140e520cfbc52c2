"""Running commands, in this process or as one of their own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["COMMAND", "RENAME", "Cli", "Outcome", "edit", "interrupt", "running", "secrets_of"]

COMMAND = [sys.executable, "-m", "mig_kit"]
RENAME = "rename-field:portfolio.project.link:live_url"


@dataclass(frozen=True)
class Outcome:
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        return self.document["error"]


Cli = Callable[..., Outcome]


def secrets_of(root: Path) -> list[str]:
    """Return the values in a demo's .env that no output may show."""
    lines = (root / ".env").read_text().splitlines()
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return [value.strip("'\"") for name, value in pairs if name in ("DATABASE_PASSWORD", "SECRET_KEY")]


@contextlib.contextmanager
def running(*arguments: object, cwd: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """Run a command as a process of its own; it is ended with the context."""
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()  # so that it ends what it started: a child would keep the pipes open
            try:
                process.communicate(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
        process.communicate()


def interrupt(process: subprocess.Popen[str], *, number: int = signal.SIGINT) -> Outcome:
    """Send what Ctrl-C sends, and return how the command ended."""
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in out + err
    return Outcome(process.returncode, out, err)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
