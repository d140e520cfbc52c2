"""Virtual environments for the tests, one for each pair of a Python and a list of packages.

They are built once, kept in ``.cache/venvs`` (or where ``MIG_KIT_TEST_CACHE`` says), and shared by all test
processes.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple, NoReturn

import pytest

__all__ = ["MATRIX", "Pair", "environ", "find_python", "venv"]

REPO = Path(__file__).resolve().parents[1]
_STAMP = ".complete.json"


class Pair(NamedTuple):
    """A Python, a Django that supports it, and the PostgreSQL driver that this Django knows."""

    python: str
    django: str
    driver: str

    @property
    def packages(self) -> tuple[str, ...]:
        """Return what to install: the newest patch release of that Django and a driver that has a wheel."""
        return (f"django=={self.django}.*", self.driver)

    def __str__(self) -> str:
        return f"py{self.python}-django{self.django}"


# From each Django's release notes, "Python compatibility".
_PYTHONS = {
    "3.2": ("3.8", "3.9"),
    "4.2": ("3.8", "3.9", "3.11", "3.12"),
    "5.2": ("3.11", "3.12", "3.13"),
    "6.0": ("3.12", "3.13"),
    "6.1": ("3.12", "3.13"),
}

# Django learned psycopg 3 in 4.2.
MATRIX: tuple[Pair, ...] = tuple(
    Pair(python, django, "psycopg2-binary>=2.9" if django == "3.2" else "psycopg[binary]>=3.1.18")
    for django, pythons in _PYTHONS.items()
    for python in pythons
)


def venv(python: str, packages: Sequence[str]) -> Path:
    """Return the interpreter of a virtual environment that has just these packages, building it when needed.

    ``python`` is "3.11" and the like. Safe to call from several processes at once: one builds, the others
    wait, and an environment that was left half-built is built again. Without that Python, or when the
    packages cannot be had, the test fails in CI and is skipped elsewhere.
    """
    folder = _cache() / _name(python, packages)
    interpreter = folder / "bin" / "python"
    with _lock(folder.with_name(f"{folder.name}.lock")):
        if (folder / _STAMP).is_file() and interpreter.exists():
            return interpreter
        shutil.rmtree(folder, ignore_errors=True)
        base = find_python(python)
        output = _build(base, folder, packages)
        if output is not None:
            shutil.rmtree(folder, ignore_errors=True)
            _missing(f"no environment of Python {python} with {', '.join(packages)}: {output[-600:]}")
        (folder / _STAMP).write_text(json.dumps({"python": str(base), "packages": list(packages)}))
    return interpreter


@cache
def find_python(version: str) -> Path:
    """Return an interpreter of that minor version ("3.8"): on PATH, in pyenv's root, or one that uv manages.

    A pyenv shim does not count, since it starts whatever Python pyenv has selected for the folder.
    """
    for candidate in _candidates(version):
        found = _ask(candidate, version)
        if found is not None:
            return found
    _missing(f"no Python {version} on PATH, in pyenv or from uv; `uv python install {version}` brings one")


def _candidates(version: str) -> Iterator[Path]:
    yield Path(sys.executable)
    search_path = [Path(entry) for entry in os.get_exec_path()]
    for folder in search_path:
        yield folder / f"python{version}"
    # HOME may be another one than pyenv's owner has, so the shims on PATH say where pyenv is, too.
    roots = [Path(os.environ["PYENV_ROOT"])] if os.environ.get("PYENV_ROOT") else []
    roots += [folder.parent for folder in search_path if folder.name == "shims"]
    roots += [folder.parent for folder in search_path if folder.name == "bin" and (folder / "pyenv").exists()]
    roots.append(Path("~/.pyenv").expanduser())
    for root in dict.fromkeys(roots):
        releases = [path for path in root.glob(f"versions/{version}.*") if re.fullmatch(r"[\d.]+", path.name)]
        for release in sorted(releases, key=lambda path: int(path.name.rpartition(".")[2]), reverse=True):
            yield release / "bin" / "python"
    for uv in _uv():
        finder = [*uv, "python", "find", "--managed-python", "--no-python-downloads", version]
        found = subprocess.run(finder, capture_output=True, text=True, check=False)
        if found.returncode == 0:
            yield Path(found.stdout.strip())


def _ask(candidate: Path, version: str) -> Path | None:
    """Return the interpreter behind the candidate, past a virtual environment, when it is of that version."""
    if not candidate.exists() or candidate.parent.name == "shims":
        return None
    command = [candidate, "-c", "import sys; print(*sys.version_info[:2], sys._base_executable)"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env=environ())
    if answer.returncode != 0:
        return None
    major, minor, executable = answer.stdout.strip().split(" ", 2)
    return Path(executable) if f"{major}.{minor}" == version else None


def _build(base: Path, folder: Path, packages: Sequence[str]) -> str | None:
    """Build with uv, else with pip; return None, or what the last try printed."""
    interpreter = str(folder / "bin" / "python")
    ways = [
        [
            [*uv, "venv", "--quiet", "--python", str(base), str(folder)],
            [*uv, "pip", "install", "--quiet", "--python", interpreter, *packages],
        ]
        for uv in _uv()
    ]
    pip = [interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--prefer-binary"]
    ways.append([[str(base), "-m", "venv", "--clear", str(folder)], [*pip, *packages]])
    output = ""
    for way in ways:
        for command in way:
            done = subprocess.run(
                command,
                env=environ(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            output = done.stdout.strip()
            if done.returncode != 0:
                break
        else:
            return None
    return output


@cache
def _uv() -> tuple[list[str], ...]:
    """Return the ways to call uv: none when it is missing, or when only pip was told which index to use."""
    told_pip = any(os.environ.get(name) for name in ("PIP_INDEX_URL", "PIP_NO_INDEX"))
    told_uv = any(os.environ.get(name) for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_NO_INDEX"))
    if told_pip and not told_uv:
        return ()
    own = [sys.executable, "-m", "uv"]
    if subprocess.run([*own, "--version"], capture_output=True, check=False).returncode == 0:
        return (own,)
    return (["uv"],) if shutil.which("uv") else ()


def environ() -> dict[str, str]:
    """Return this environment without what would lead another interpreter astray."""
    astray = {"DJANGO_SETTINGS_MODULE", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"}
    return {name: value for name, value in os.environ.items() if name not in astray}


def _cache() -> Path:
    folder = Path(os.environ.get("MIG_KIT_TEST_CACHE") or REPO / ".cache" / "venvs")
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def _name(python: str, packages: Sequence[str]) -> str:
    key = hashlib.sha256(json.dumps([python, *sorted(packages)]).encode()).hexdigest()[:10]
    words = re.sub(r"[^a-z0-9.]+", "-", " ".join(packages).lower())[:40].rstrip("-.")
    return f"py{python}-{words}-{key}"


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)  # released when the file is closed, also by a crash
        yield


def _missing(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
