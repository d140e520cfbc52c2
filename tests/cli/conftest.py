"""The command line on real demos: each has its own embedded PostgreSQL 18."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mig_kit.cli import main
from mig_kit.demo import Demo, create_demo, stop_demo
from tests.cli.commands import Cli, Outcome, secrets_of

SMALL = 0.02


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A small demo whose changes are not generated yet; no test generates in it or migrates it."""
    root = tmp_path_factory.mktemp("cli") / "demo"
    yield create_demo(root, scale=SMALL)
    stop_demo(root)


@pytest.fixture(scope="module")
def own_demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A small demo of the file's own, to do with as it likes."""
    root = tmp_path_factory.mktemp("own") / "demo"
    yield create_demo(root, scale=SMALL)
    stop_demo(root)


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


@pytest.fixture
def copy(demo: Demo, tmp_path: Path) -> Path:
    """The demo's project files in a folder of the test's own, on the same database."""
    root = tmp_path / "project"
    ignored = shutil.ignore_patterns(".mig", ".tmp", "__pycache__")
    shutil.copytree(demo.root, root, ignore=ignored)
    return root
