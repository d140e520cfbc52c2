"""Who runs a session, on which commit of the project."""

from __future__ import annotations

import getpass
import subprocess
from pathlib import Path

__all__ = ["commit_of", "user_name"]


def user_name() -> str:
    """Return the user's name, "unknown" where the system has none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def commit_of(root: Path) -> str:
    """Return the commit of the project's checkout, marked when files differ from it; empty without one.

    A project in a folder that the checkout around it ignores is no part of that checkout.
    """
    git = ["git", "-C", str(root)]
    try:
        if (
            subprocess.run([*git, "check-ignore", "-q", "."], capture_output=True, timeout=10, check=False).returncode
            == 0
        ):
            return ""
        describe = [*git, "describe", "--always", "--dirty", "--abbrev=12"]
        done = subprocess.run(describe, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
