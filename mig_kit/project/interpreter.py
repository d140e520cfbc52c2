"""The project's interpreter: where it is looked for, and which one is meant."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mig_kit.errors import AmbiguousProject, InterpreterError
from mig_kit.project._files import absolute, exists, is_dir, is_file, names_in, real
from mig_kit.project.environment import (
    Candidate,
    django_in,
    inspect_environment,
    is_environment,
    python_in,
    too_old,
)

__all__ = ["Interpreter", "find_interpreter"]

_NAME_IT = 'python="…" (--python), or python = "…" in mig_kit.toml'
_USUAL = (".venv", "venv", "env")
_PROBE_TIMEOUT_S = 30
# Runs in whatever was named, Python 2 included.
_PROBE = """
import sys
try:
    import django
    found = ".".join(str(part) for part in django.VERSION[:3])
except Exception:
    found = "-"
sys.stdout.write("\\nmig_kit:%d:%d:%s\\n" % (sys.version_info[0], sys.version_info[1], found))
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """The interpreter chosen: ``python`` as it is started (a venv's symlink is kept), and how it was found.

    ``version`` and ``django`` are None where they were not read; ``notes`` are plain sentences, the first
    about the choice and the rest about what was passed over.
    """

    python: Path
    version: tuple[int, int] | None
    django: str | None
    notes: tuple[str, ...] = ()


def find_interpreter(
    folders: Sequence[Path],
    *,
    named: str | os.PathLike[str] | None = None,
    named_where: str = "as named",
    bases: Sequence[Path] = (),
    environ: Mapping[str, str],
) -> Interpreter:
    """Choose the project's interpreter; nothing is started unless one is named whose facts cannot be read.

    In this order: ``named`` (a virtual environment's folder, a path, a command; relative ones count from
    ``bases``), one virtual environment in ``folders``, VIRTUAL_ENV, CONDA_PREFIX, the one that runs this.
    Those without Django are passed over. Raises AmbiguousProject when two virtual environments in ``folders``
    have Django and neither is the active one, InterpreterError when none will do.
    """
    if named is not None:
        return _take(_settle(_named(named, bases, environ), folders, environ), named_where, ())

    looked: list[str] = []
    neighbours = [inspect_environment(prefix, environ) for prefix in _neighbours(folders)]
    usable = [candidate for candidate in neighbours if not candidate.flaw]
    looked += [f"{candidate.prefix} {candidate.flaw}" for candidate in neighbours if candidate.flaw]
    # One of these is the project's own and cannot be used: another Django would be a surprise, not a help.
    spoilt = [candidate for candidate in neighbours if candidate.flaw and candidate.django is not None]
    active: list[tuple[str, Candidate]] = []
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        if not environ.get(variable):
            looked.append(f"{variable} is not set")
            continue
        candidate = inspect_environment(absolute(environ[variable]), environ)
        if candidate.flaw:
            looked.append(f"{variable}, {candidate.prefix}, {candidate.flaw}")
        else:
            active.append((variable, candidate))
    if usable:
        chosen, how = usable[0], "a virtual environment beside the project"
        if len(usable) > 1:
            chosen, how = _active_one(usable, active), "the active one of those beside the project"
        others = [
            *(f"{c.prefix}, also beside the project" for c in usable if c is not chosen),
            *(f"{variable}, {c.prefix}" for variable, c in active if not _same(c.prefix, chosen.prefix)),
        ]
        return _take(chosen, how, _passed_over(looked, others))
    if active:
        variable, chosen = active[0]
        others = [f"{v}, {c.prefix}" for v, c in active[1:] if not _same(c.prefix, chosen.prefix)]
        return _take(chosen, f"the active environment, {variable}", _passed_over(looked, others))
    running = _running()
    if running.flaw:
        looked.append(f"{running.python}, which runs mig_kit, {running.flaw}")
    elif spoilt:
        looked.append(f"{running.python}, which runs mig_kit, has a Django, but not this project's")
    else:
        return _take(running, "the one that runs mig_kit", _passed_over(looked, ()))
    whose = folders[0] if folders else "the project"
    raise InterpreterError(
        f"No interpreter with Django was found for {whose}: {'; '.join(looked)}.",
        hint=f"name the project's own: {_NAME_IT}",
    )


def _take(candidate: Candidate, how: str, notes: Iterable[str]) -> Interpreter:
    note = f"Interpreter: {candidate.python}{candidate.facts}, {how}."
    return Interpreter(candidate.python, candidate.version, candidate.django or None, (note, *notes))


def _passed_over(looked: Iterable[str], others: Iterable[str]) -> tuple[str, ...]:
    return (
        *(f"Passed over: {what}." for what in looked if not what.endswith("is not set")),
        *(f"Not used: {what}; to use it, name {_NAME_IT}." for what in others),
    )


def _active_one(usable: Sequence[Candidate], active: Iterable[tuple[str, Candidate]]) -> Candidate:
    for _, candidate in active:
        for neighbour in usable:
            if _same(neighbour.prefix, candidate.prefix):
                return neighbour
    names = [str(candidate.prefix) for candidate in usable]
    many = "Two" if len(names) == 2 else len(names)
    raise AmbiguousProject(
        f"{many} virtual environments with Django lie beside the project: {' and '.join(names)}.",
        candidates=names,
        hint=f"activate the one that is meant, or name it: {_NAME_IT}, for example {names[0]}",
    )


def _neighbours(folders: Iterable[Path]) -> Iterator[Path]:
    seen: set[Path] = set()
    for folder in folders:
        names = sorted(names_in(folder), key=lambda name: name not in _USUAL)
        for prefix in (folder, *(folder / name for name in names)):
            if is_environment(prefix) and (place := real(prefix)) not in seen:
                seen.add(place)
                yield prefix


def _same(one: Path, other: Path) -> bool:
    return real(one) == real(other)


def _running() -> Candidate:
    python = Path(sys.executable)
    django = None
    for entry in sys.path:
        if entry and (django := django_in(Path(entry))) is not None:
            break
    flaw = "" if sys.executable and django is not None else "has no Django"
    return Candidate(python, Path(sys.prefix), sys.version_info[:2], django, flaw)


def _named(named: str | os.PathLike[str], bases: Sequence[Path], environ: Mapping[str, str]) -> Path:
    text = os.fspath(named)
    if not text.strip():
        raise InterpreterError("The interpreter named is an empty string.", hint=f"name {_NAME_IT}, or leave it out")
    places = [absolute(base / Path(text).expanduser()) for base in (*bases, Path.cwd())]
    for place in places:
        if is_dir(place) and exists(python := python_in(place)):
            return python
    if os.sep not in text and (os.altsep is None or os.altsep not in text):
        command = shutil.which(text, path=environ.get("PATH"))
        if command:
            return absolute(command)
    for place in places:
        if is_file(place):
            return place
    folder = next((place for place in places if is_dir(place)), None)
    if folder:
        raise InterpreterError(
            f"{folder} has no interpreter: no {python_in(folder)}.",
            hint="name a virtual environment's folder, or the interpreter itself",
        )
    raise InterpreterError(
        f"There is no interpreter {text!r}: no such path, and no such command on PATH.",
        hint=f"name a virtual environment's folder, a path to python or a command on PATH: {_NAME_IT}",
    )


def _settle(python: Path, folders: Sequence[Path], environ: Mapping[str, str]) -> Candidate:
    prefix = python.parent.parent if python.parent.name in ("bin", "Scripts") else python.parent
    if is_environment(prefix):
        read = inspect_environment(prefix, environ)
        if not read.flaw and read.version:
            return Candidate(python, prefix, read.version, read.django, "")
    found = _probe(python, prefix, folders[0] if folders else Path.cwd(), environ)
    if found.flaw:
        raise InterpreterError(
            f"The interpreter named, {python}, {found.flaw}.",
            hint=f"name the one that runs the project: {_NAME_IT}",
        )
    return found


def _probe(python: Path, prefix: Path, cwd: Path, environ: Mapping[str, str]) -> Candidate:
    """Start what was named and ask it; it and all it started have ended when this returns."""

    def flawed(flaw: str) -> Candidate:
        return Candidate(python, prefix, None, None, flaw)

    try:
        process = subprocess.Popen(
            [str(python), "-B", "-c", _PROBE],
            cwd=cwd,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        return flawed(f"does not start: {error.strerror or error}")
    try:
        said, complained = process.communicate(timeout=_PROBE_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        _end(process)
        return flawed(f"did not answer within {_PROBE_TIMEOUT_S} s")
    except BaseException:
        _end(process)
        raise
    answer = re.search(r"^mig_kit:(\d+):(\d+):(\S+)$", said, re.MULTILINE)
    if answer is None:
        lines = (complained.strip() or said.strip() or "it says nothing").splitlines()
        told = lines[-1] if lines[0].startswith("Traceback") else lines[0]
        return flawed(f"does not answer as a Python: {told[:200]}")
    version = int(answer[1]), int(answer[2])
    django = None if answer[3] == "-" else answer[3]
    flaw = too_old(version) or ("has no Django" if django is None else "")
    return Candidate(python, prefix, version, django, flaw)


def _end(process: subprocess.Popen[str]) -> None:
    # The group, not the process alone: what a wrapper script started would hold the pipes open.
    try:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except ProcessLookupError:
        pass
    process.communicate()
