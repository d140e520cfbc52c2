"""The command line on real demos: each has its own embedded PostgreSQL 18."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mig_kit.cli import main
from mig_kit.demo import Demo, create_demo, stop_demo

COMMAND = [sys.executable, "-m", "mig_kit"]
SMALL = 0.02
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


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A small demo whose changes are not generated yet."""
    root = tmp_path_factory.mktemp("cli") / "demo"
    yield create_demo(root, scale=SMALL)
    stop_demo(root)


def secrets_of(root: Path) -> list[str]:
    """Return the values in a demo's .env that no output may show."""
    lines = (root / ".env").read_text().splitlines()
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return [value.strip("'\"") for name, value in pairs if name in ("DATABASE_PASSWORD", "SECRET_KEY")]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run a command in this process; no output may hold a traceback or, with ``root``, a secret of that demo."""

    def call(*arguments: object, root: Path | None = None, traceback: bool = False) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(each) for each in arguments])
        captured = capsys.readouterr()
        everything = captured.out + captured.err
        assert ("Traceback" in everything) is traceback
        for secret in secrets_of(root) if root else ():
            assert secret not in everything
        return Outcome(int(ended.value.code or 0), captured.out, captured.err)

    return call


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
            process.kill()
        process.communicate()


def interrupt(process: subprocess.Popen[str], *, number: int = signal.SIGINT) -> Outcome:
    """Send what Ctrl-C sends, and return how the command ended."""
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in out + err
    return Outcome(process.returncode, out, err)


@pytest.fixture
def copy(demo: Demo, tmp_path: Path) -> Path:
    """The demo's project files in a folder of the test's own, on the same database."""
    root = tmp_path / "project"
    ignored = shutil.ignore_patterns(".mig", ".tmp", "__pycache__")
    shutil.copytree(demo.root, root, ignore=ignored)
    return root


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
