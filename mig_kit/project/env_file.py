"""The project's ``.env``: what stands in it, by name, and who else can read it."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv.parser import Binding, parse_stream
from dotenv.variables import parse_variables

from mig_kit.errors import ConfigError
from mig_kit.project._files import is_file

__all__ = ["EnvFile", "Variables", "find_env_file", "read_env_file"]


class Variables(Mapping[str, str]):
    """Hold environment variables so that a repr, and so a traceback or an output, shows their names only."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values = dict(values or {})

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<{', '.join(self._values)}>" if self._values else "<none>"


@dataclass(frozen=True, slots=True)
class EnvFile:
    """A ``.env`` as read: its path, its variables (values hidden), and ``notes`` worth saying about it."""

    path: Path
    variables: Variables = field(default_factory=Variables)
    notes: tuple[str, ...] = ()


def find_env_file(work_dir: Path, root: Path) -> tuple[Path | None, tuple[str, ...]]:
    """Return the ``.env`` nearest to manage.py and, in plain sentences, how it was chosen.

    A folder of that name is a virtual environment, not this file.
    """
    found = [folder / ".env" for folder in dict.fromkeys((work_dir, root)) if is_file(folder / ".env")]
    if not found:
        return None, (f"No .env in {' or '.join(str(f) for f in dict.fromkeys((work_dir, root)))}.",)
    if len(found) > 1:
        return found[0], (
            f"Two .env files: {found[0]} is used, because it lies nearer to manage.py; {found[1]} is not.",
        )
    return found[0], ()


def read_env_file(path: Path, environ: Mapping[str, str]) -> EnvFile:
    """Read a ``.env`` by python-dotenv's rules, without touching this process's environment.

    ``${NAME}`` is filled in as ``load_dotenv()`` does: from ``environ`` first, then from the lines above.
    A name without ``=`` sets nothing. Raises ConfigError, with the line and never its text, for a file that
    cannot be read, is not UTF-8 or holds a NUL.
    """
    bindings = list(parse_stream(io.StringIO(_text(path))))
    values: dict[str, str] = {}
    differs: dict[str, None] = {}
    for binding in bindings:
        if binding.error or binding.key is None or binding.value is None:
            continue
        known = {**values, **environ}
        values[binding.key] = "".join(atom.resolve(known) for atom in parse_variables(binding.value))
        if _bare(binding) != values[binding.key]:
            differs[binding.key] = None
        else:
            differs.pop(binding.key, None)

    names = f"{len(values)} variable{'' if len(values) == 1 else 's'}"
    notes = [f".env: {path} ({names}, used where the environment does not set them)."]
    notes += [f"Line {b.original.line} of {path} cannot be read and was left out." for b in bindings if b.error]
    if differs:
        # Other readers (django-environ, decouple) treat $, \ and # otherwise, and what is offered here
        # comes before what they read: a wrong password would otherwise be hard to trace to its cause.
        notes.append(
            f"{', '.join(differs)} in {path}: quotes, $, \\ or # were read by python-dotenv's rules; "
            "when the project reads them otherwise, name the value with environ=…."
        )
    return EnvFile(path, Variables(values), (*notes, *_mode_note(path)))


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror or error}.",
            hint=f"let this user read it (ls -l {path}), or name the variables with environ=…",
        ) from error
    where = -1
    text = ""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = error.start
    # Raised out here: the decoding error carries the whole file, secrets and all.
    if where >= 0:
        line = raw.count(b"\n", 0, where) + 1
        raise ConfigError(f"{path} is not UTF-8: line {line}.", hint="save the file as UTF-8") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ConfigError(f"{path} holds a NUL character: line {line}.", hint="remove it") from None
    return text


def _bare(binding: Binding) -> str:
    """Return the value as it stands in the file, less one pair of quotes."""
    raw = binding.original.string.partition("=")[2].strip()
    return raw[1:-1] if len(raw) > 1 and raw[0] == raw[-1] and raw[0] in "'\"" else raw


def _mode_note(path: Path) -> tuple[str, ...]:
    if os.name != "posix":
        return ()
    mode = stat.S_IMODE(path.stat().st_mode)
    if not mode & (stat.S_IRGRP | stat.S_IROTH):
        return ()
    return (f"Other users can read {path} (mode {mode:04o}); chmod 600 keeps it to its owner.",)
