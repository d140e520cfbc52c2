"""The demo project's own commands, as its user would run them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from mig_kit.demo import Demo

PENDING = {
    "blog": ["Create index comment_post_created_idx on field(s) post, -created_at of model comment"],
    "portfolio": ["Rename field link on project to live_url", "Add field launched_on to project"],
    "contact": ["Add field priority to message", "Add field project to message"],
}
QUESTION = "Was project.link renamed to project.live_url (a URLField)? [y/N]"


def manage(
    demo: Demo, *arguments: str, python: Path | None = None, answers: str = "", root: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run manage.py with these arguments, typing the answers."""
    command = [str(python or demo.python), "manage.py", *arguments]
    return run(command, cwd=(root or demo.root) / "backend", typed=answers)


def back_up(root: Path, python: Path, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the project's backup script, from its backend folder as the runbook does."""
    command = [str(python), "../execution/backup_database.py"]
    return run(command, cwd=root / "backend", environ=environ)


def run(
    command: list[str], *, cwd: Path, typed: str = "", environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **(environ or {})},
        input=typed,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def operations(output: str) -> dict[str, list[str]]:
    """Read what makemigrations prints: app label to the operations of its migration, without their signs."""
    found: dict[str, list[str]] = {}
    for line in output.replace(QUESTION, "").splitlines():
        if "Migrations for '" in line:
            label = line.split("'")[1]
            found[label] = []
        elif line.startswith("    "):
            found[label].append(line.strip().lstrip("-+~").strip())
    return found
