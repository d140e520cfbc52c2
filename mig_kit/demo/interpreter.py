"""The interpreter that runs the demo project: is it fit, and does its ``migrate`` succeed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from mig_kit.errors import InterpreterError, OperationFailed

__all__ = ["apply_migrations", "check_interpreter"]

_OLDEST_DJANGO = (4, 2)
# Asked of the interpreter before anything is written: which Django, and can it talk to PostgreSQL.
_ASK_PYTHON = """
import django
try:
    import psycopg
except ImportError:
    import psycopg2
print(*django.VERSION[:2])
"""
# The demo's settings let the environment win over .env, so what this shell sets for another project, or for
# libpq, would lead its migrations to another database.
_FOREIGN = ("DATABASE_", "DJANGO_", "PG")
_FOREIGN_NAMES = {"ALLOWED_HOSTS", "DEBUG", "SECRET_KEY"}


def check_interpreter(python: Path) -> None:
    """Raise InterpreterError unless it has Django 4.2 or later and psycopg or psycopg2; it writes nothing."""
    hint = f"name another with --python, or install them: {python} -m pip install django 'psycopg[binary]'"
    try:
        result = _run([str(python), "-B", "-c", _ASK_PYTHON], cwd=python.parent)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise InterpreterError(f"{python} does not run: {exc}.", hint="name another with python=… (--python)") from exc
    if result.returncode != 0:
        raise InterpreterError(
            f"{python} has no Django or no psycopg for the demo to run with: {_last_line(result.stderr)}.",
            hint=hint,
        )
    version = tuple(int(part) for part in result.stdout.split())
    if version < _OLDEST_DJANGO:
        raise InterpreterError(
            f"{python} has Django {version[0]}.{version[1]}; the demo needs 4.2 or later.", hint=hint
        )


def apply_migrations(backend: Path, python: Path) -> None:
    """Run the project's own ``manage.py migrate``; raise OperationFailed with what it said when it fails."""
    command = [str(python), "-B", "manage.py", "migrate", "--no-input", "--no-color"]
    result = _run(command, cwd=backend)
    if result.returncode != 0:
        raise OperationFailed(
            f"{python} could not apply the demo's released migrations: {_last_line(result.stderr)}.",
            kind="migrate",
            hint="name another interpreter with python=… (--python)",
            traceback=result.stderr,
        )


def _run(command: list[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(_FOREIGN) and k not in _FOREIGN_NAMES}
    return subprocess.run(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip().rstrip(".") if lines else "it said nothing"
