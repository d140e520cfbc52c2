"""What a command's exit code says, and how an error is told in a terminal."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Any

from mig_kit import errors

__all__ = ["Exit", "Stopped", "Terminated", "error_document", "exit_code", "for_terminal", "hint_for"]


class Exit(IntEnum):
    """The exit codes of every command."""

    FINE = 0
    FOUND = 1  # it found what it looks for: pending changes, a check that failed, an error in a migration
    REFUSED = 2  # wrong usage, or a gate that is closed
    FAILED = 3
    INTERRUPTED = 130  # Ctrl-C
    PIPE = 141  # nobody reads the output any more
    TERMINATED = 143


class Terminated(KeyboardInterrupt):
    """SIGTERM, which every step takes as it takes Ctrl-C."""


class Stopped(Exception):
    """A command was interrupted; ``standing`` says in one sentence where things stand."""

    def __init__(self, standing: str, *, by: BaseException) -> None:
        super().__init__(standing)
        self.standing = standing
        self.code = Exit.TERMINATED if isinstance(by, Terminated) else Exit.INTERRUPTED


_REFUSALS = (errors.UsageError, errors.GateClosed, errors.UnansweredQuestions)
_REFUSAL_NAMES = frozenset(each.__name__ for each in _REFUSALS)
# What an error class knows beside its message, where it helps a program.
_FACTS = ("app", "name", "nearest", "candidates", "gate", "kind", "applied", "failed", "not_applied", "executed")


def exit_code(exc: errors.MigKitError) -> Exit:
    """Return the exit code of an error; a notebook's cell that was refused counts as refused."""
    if isinstance(exc, _REFUSALS):
        return Exit.REFUSED
    if isinstance(exc, errors.NotebookError) and getattr(exc, "cause", "") in _REFUSAL_NAMES:
        return Exit.REFUSED
    return Exit.FAILED


def hint_for(exc: errors.MigKitError) -> str:
    """Return the next step as a person at a terminal would take it."""
    if isinstance(exc, errors.UnansweredQuestions) and exc.questions:
        first = exc.questions[0]
        value = "yes" if list(first["choices"]) == ["yes", "no"] else first.get("suggestion") or "VALUE"
        return f"answer by id: mig-kit generate --answer '{first['id']}={value}'"
    if isinstance(exc, errors.GateClosed) and exc.gate == "name typed":
        return re.sub(r"rb\.apply\(confirm='(.*?)'\)", r"mig-kit apply --confirm '\1'", exc.hint)
    return for_terminal(exc.hint)


# The library speaks to notebooks; these are the same steps in a shell.
_CALLS = (
    (re.compile(r"rb\.preview\('([^']+)', '([^']+)', backwards=True\)"), r"mig-kit preview \1 \2 --backwards"),
    (re.compile(r"rb\.preview\(app, name, backwards=True\)"), "mig-kit preview APP NAME --backwards"),
    (re.compile(r"rb\.backup\(script=True\)"), "mig-kit backup --script"),
    (re.compile(r"rb\.(apply|backup|generate|preview|review|status|verify)\(\)"), r"mig-kit \1"),
    (re.compile(r"rb\.backups\(\)"), "mig-kit backup --list"),
    (re.compile(r"rb\.history\(\)"), "mig-kit query 'SELECT * FROM django_migrations ORDER BY id'"),
    (re.compile(r"run the (?:cell|step) again"), "run the command again"),
    (re.compile(r"open the runbook again"), "run the command again"),
    (re.compile(r"script='…'"), 'backup_script = "…" in mig_kit.toml'),
    (re.compile(r"\b(?:python|settings|stage|database)=… / (--\w+)"), r"\1"),
    (re.compile(r"python=… and settings=… \(--python, --settings\)"), "--python and --settings"),
    (re.compile(r"\b(?:python|settings|stage|database)=(?:…|\"…\"|'[^']*') \((--\w+)\)"), r"\1"),
    (re.compile(r"\bdatabase=…"), "--database"),
    (re.compile(r"and the variables it needs with environ=…"), "and the variables it needs in the environment"),
    (re.compile(r"rb\.diagnose\(\)"), "mig-kit status"),
)


def for_terminal(text: str) -> str:
    """Return a hint with the calls of a notebook turned into commands."""
    for pattern, command in _CALLS:
        text = pattern.sub(command, text)
    return text


def error_document(exc: errors.MigKitError) -> dict[str, Any]:
    """Return an error as JSON carries it: kind, message, hint, exit code, and what else it knows."""
    facts = {name: getattr(exc, name) for name in _FACTS if getattr(exc, name, None)}
    if isinstance(exc, errors.UnansweredQuestions):
        facts["questions"] = list(exc.questions)
    cause = {"raised": facts.pop("kind")} if "kind" in facts else {}
    return {
        "kind": type(exc).__name__,
        "message": exc.message,
        "hint": hint_for(exc),
        "exit_code": int(exit_code(exc)),
        **facts,
        **cause,
    }
