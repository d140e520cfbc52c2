"""What a command's exit code says, and how an error is told in a terminal."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Any

from mig_kit import errors
from mig_kit.cli.words import for_terminal

__all__ = ["Exit", "Stopped", "Terminated", "error_document", "exit_code", "hint_for"]


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
    if isinstance(exc, errors.NotebookError) and getattr(exc.__cause__, "ename", "") in _REFUSAL_NAMES:
        return Exit.REFUSED
    return Exit.FAILED


def hint_for(exc: errors.MigKitError) -> str:
    """Return the next step as a person at a terminal would take it."""
    if isinstance(exc, errors.UnansweredQuestions) and exc.questions:
        first = exc.questions[0]
        value = "yes" if list(first["choices"]) == ["yes", "no"] else first.get("suggestion") or "VALUE"
        return f"answer by id: mig-kit generate --answer '{first['id']}={value}'"
    if isinstance(exc, errors.GateClosed) and exc.gate == "name typed":
        return re.sub(r"rb\.apply\(confirm='(.*?)'\)", r"mig-kit apply --confirm '\1'", for_terminal(exc.hint))
    if isinstance(exc, errors.NotebookError):
        # In a run, what a cell would be given is a parameter; Python's dict is YAML too.
        hint = re.sub(r"answers=(\{.*\})", r'-p answers "\1"', exc.hint)
        return for_terminal(re.sub(r"rb\.apply\(confirm='(.*?)'\)", r"-p confirm '\1'", hint))
    return for_terminal(exc.hint)


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
