"""Projects and virtual environments in real folders, for the tests of discovery."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["MANAGE_PY", "as_nobody", "make_project", "make_venv", "open_folder"]

MANAGE_PY = '''#!/usr/bin/env python
"""Django's command-line utility for administrative tasks."""
import os
import sys


def main():
    """Run administrative tasks."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "{settings}")
    try:
        from django.core.management import execute_from_command_line
    except ImportError as exc:
        raise ImportError("Couldn't import Django.") from exc
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
'''


def make_project(folder: Path, settings: str = "config.settings") -> Path:
    """Write what startproject writes as manage.py, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "manage.py"
    path.write_text(MANAGE_PY.format(settings=settings), "utf-8")
    return path


def make_venv(
    folder: Path, *, django: str | None = "5.2.1", python: str = sys.executable, system: bool = False
) -> Path:
    """Make a real virtual environment with a package named django that has a version and nothing else.

    It is enough to tell candidates apart; what runs a project is tested with a real Django elsewhere.
    """
    options = ["--system-site-packages"] if system else []
    subprocess.run([python, "-m", "venv", "--without-pip", *options, str(folder)], check=True)
    if django is not None:
        (site,) = folder.glob("lib/python*/site-packages")
        package = site / "django"
        package.mkdir()
        version = ", ".join(django.split("."))
        (package / "__init__.py").write_text(f'VERSION = ({version}, "final", 0)\n', "utf-8")
    return folder


@contextmanager
def open_folder() -> Iterator[Path]:
    """Give a folder that any user can enter; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="mig_kit-test-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name).resolve()


@contextmanager
def as_nobody() -> Iterator[None]:
    """Let file modes count: root may read anything, so root becomes somebody else for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
