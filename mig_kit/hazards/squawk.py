"""A second opinion on raw SQL: squawk's, where it is installed; its rules of style are left out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Opinion", "SquawkFailed", "ask_squawk", "find_squawk"]

# Matters of style, of what to write in every file, or of what apply sees to by itself (timeouts).
_STYLE_NAMES = """ban-char-field prefer-bigint-over-int prefer-bigint-over-smallint prefer-identity prefer-repack
    prefer-robust-stmts prefer-text-field prefer-timestamp-tz prefer-timestamptz require-lock-timeout
    require-statement-timeout require-table-schema require-timeout-settings transaction-nesting"""
_STYLE = frozenset(_STYLE_NAMES.split())
_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one of squawk's rules says of a statement."""

    rule: str
    message: str
    help: str = ""


class SquawkFailed(Exception):
    """Squawk gave no answer that can be read; the argument says why."""


def find_squawk() -> Path | None:
    """Return the program: beside this interpreter, as the optional extra puts it, or on PATH."""
    own = Path(sys.executable).parent / "squawk"
    if os.access(own, os.X_OK):
        return own
    found = shutil.which("squawk")
    return Path(found) if found else None


def ask_squawk(
    program: Path, statements: Iterable[tuple[str, bool]], *, major: int | None = None
) -> Mapping[str, tuple[Opinion, ...]]:
    """Return what it says of each text, by the text; ``statements``: (text, whether it runs in a transaction).

    Two processes at most. Nothing is kept, and no configuration of the project's is read. Raises SquawkFailed.
    """
    found: dict[str, tuple[Opinion, ...]] = {}
    given = list(dict.fromkeys(statements))
    for inside in (True, False):
        texts = [text for text, transaction in given if transaction is inside]
        if texts:
            found.update(_ask(program, texts, major, inside))
    return found


def _ask(program: Path, texts: list[str], major: int | None, inside: bool) -> dict[str, tuple[Opinion, ...]]:
    with tempfile.TemporaryDirectory(prefix="mig-kit-squawk-") as folder:
        files = {f"{number}.sql": text for number, text in enumerate(texts)}
        for name, text in files.items():
            Path(folder, name).write_text(text, encoding="utf-8")
        command = [str(program), "--reporter=json", *(["--assume-in-transaction"] if inside else [])]
        command += [f"--pg-version={major}.0"] if major else []
        try:
            done = subprocess.run(
                [*command, *files], cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
            )
            remarks = json.loads(done.stdout)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SquawkFailed(str(error)) from None
        except ValueError:
            said = (done.stderr or done.stdout).strip().partition("\n")[0]
            raise SquawkFailed(said or f"it ended with {done.returncode}") from None
    opinions: dict[str, list[Opinion]] = {name: [] for name in files}
    for each in remarks:
        name = Path(str(each["file"])).name
        if each["rule_name"] not in _STYLE and name in opinions:
            opinion = Opinion(each["rule_name"], str(each["message"]).rstrip("."), str(each.get("help") or ""))
            if opinion not in opinions[name]:
                opinions[name].append(opinion)
    return {files[name]: tuple(listed) for name, listed in opinions.items()}
