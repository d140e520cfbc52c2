"""The words of a terminal: the library's hints name a notebook's calls."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

__all__ = ["count", "for_terminal", "program"]

# The library speaks to notebooks; these are the same steps in a shell.
_NAMES = "apply|backup|check|gates|generate|preview|query|rehearse|resume|review|rollback|safer|status|verify"
_CALL = re.compile(rf"rb\.({_NAMES})\(((?:'[^']*'(?:, )?)*)\)")
_CALLS = (
    (re.compile(r"rb\.preview\('([^']+)', '([^']+)', backwards=True\)"), r"mig-kit preview \1 \2 --backwards"),
    (re.compile(r"rb\.preview\(app, name, backwards=True\)"), "mig-kit preview APP NAME --backwards"),
    (re.compile(r"rb\.acknowledge\('([^']+)', migration='([^']+)', reason='…'\)"), r"--acknowledge '\1 in \2=REASON'"),
    (re.compile(r"rb\.(acknowledge|override)\('([^']+)', reason='…'\)"), r"--\1 '\2=REASON'"),
    (re.compile(r"rb\.rollback\('([^']+)', '([^']+)', confirm='([^']*)'\)"), r"mig-kit rollback \1 \2 --confirm '\3'"),
    (re.compile(r"rb\.apply\('([^']+)', '([^']+)', confirm='([^']*)'\)"), r"mig-kit apply \1 \2 --confirm '\3'"),
    (re.compile(r"rb\.apply\('([^']+)', confirm='([^']*)'\)"), r"mig-kit apply \1 --confirm '\2'"),
    (re.compile(r"rb\.resume\(choice='([^']*)'\)"), r"mig-kit resume --choice \1"),
    (re.compile(r"rb\.resume\(confirm='([^']*)'\)"), r"mig-kit resume --confirm '\1'"),
    (re.compile(r"rb\.unfinished\(\)"), "mig-kit resume --look"),
    (re.compile(r"rb\.backup\(script=True\)"), "mig-kit backup --script"),
    (re.compile(r"rb\.verify_backup\('([^']+)'\)"), r"mig-kit verify-backup \1"),
    (re.compile(r"\bscratch=… / (--\w+)"), r"\1"),
    (re.compile(r"\bwithout_extensions=True"), "--without-extensions"),
    (re.compile(r"rb\.backups\(\)"), "mig-kit backup --list"),
    (re.compile(r"rb\.rehearse_rollback\('([^']+)', '([^']+)'\)"), r"mig-kit rollback \1 \2 --rehearse"),
    (re.compile(r"rb\.merge\(\)"), "manage.py makemigrations --merge"),
    (re.compile(r"rb\.rollback\('([^']+)', the migration before it\)"), r"mig-kit rollback \1 to the one before it"),
    (re.compile(r"rb\.history\(\)"), "mig-kit query 'SELECT * FROM django_migrations ORDER BY id'"),
    (re.compile(r"rb\.preflight\(\)"), "mig-kit doctor --project DIR"),
    (re.compile(r"rb\.diagnose\(\)"), "mig-kit status"),
    (re.compile(r"run the (?:cell|step) again"), "run the command again"),
    (re.compile(r"open the runbook again"), "run the command again"),
    (re.compile(r"script='…'"), 'backup_script = "…" in mig_kit.toml'),
    (re.compile(r"\b(?:python|settings|stage|database)=… / (--\w+)"), r"\1"),
    (re.compile(r"python=… and settings=… \(--python, --settings\)"), "--python and --settings"),
    (re.compile(r"\b(?:python|settings|stage|database)=(?:…|\"…\"|'[^']*') \((--\w+)\)"), r"\1"),
    (re.compile(r"\bdatabase=…"), "--database"),
    (re.compile(r"and the variables it needs with environ=…"), "and the variables it needs in the environment"),
    (re.compile(r"\btimeout_s\b"), "--timeout"),
)


def for_terminal(text: str) -> str:
    """Return a hint with the calls of a notebook turned into commands."""
    for pattern, command in _CALLS:
        text = pattern.sub(command, text)
    return _CALL.sub(_command, text)


def _command(call: re.Match[str]) -> str:
    arguments = (shlex.quote(each) for each in re.findall(r"'([^']*)'", call.group(2)))
    return " ".join(("mig-kit", call.group(1), *arguments))


def count(number: int, noun: str) -> str:
    """Return a number with its noun: 1 file, 2 files."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def program() -> str:
    """Return how this command is called from here: by its name where the PATH finds it, else by its path."""
    own = Path(sys.argv[0]).absolute()
    found = shutil.which("mig-kit")
    if own.name != "mig-kit" or (found and Path(found).absolute() == own):
        return "mig-kit"
    try:
        return shlex.quote(str(own.relative_to(Path.cwd())))
    except (ValueError, OSError):
        return shlex.quote(str(own))
