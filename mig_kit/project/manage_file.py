"""The file manage.py: where it lies."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from mig_kit.errors import AmbiguousProject
from mig_kit.project._files import exists, home, is_dir, is_file, real

__all__ = ["DEPTH", "MOST_FOLDERS", "find_manage_py"]

DEPTH = 3
"""How many folders below the one named manage.py is looked for."""

MOST_FOLDERS = 5000
"""How many folders are looked into at most, so that a search from / ends within seconds."""

_SKIPPED = frozenset({"__pycache__", "bower_components", "dist-packages", "node_modules", "site-packages"})


def find_manage_py(folder: Path) -> tuple[Path, str] | None:
    """Return the project's manage.py (symlinks followed, as Python does) and how it was found; or None.

    Looks in ``folder``, in what lies up to DEPTH folders below it (not in virtual environments, node_modules,
    hidden folders) and upwards, as git does, as far as the repository, the home folder or the file system's
    root. Raises AmbiguousProject when two are found.
    """
    folder = real(folder)
    if _has_one(folder):
        return _in(folder), f"in {folder}"
    below = _below(folder)
    for ancestor in [] if _is_repository(folder) else _ancestors(folder):
        if _has_one(ancestor):
            return _only([_in(ancestor), *below], f"from {folder}")
        if _is_repository(ancestor):
            # A sibling folder such as notebooks/ or execution/: the project lies elsewhere in the repository.
            if not below:
                return _only(_below(ancestor), f"below {ancestor}, the repository of {folder}")
            break
    return _only(below, f"below {folder}")


def _only(candidates: Iterable[Path], how: str) -> tuple[Path, str] | None:
    found = list(dict.fromkeys(candidates))
    if len(found) > 1:
        # Other tools have a manage.py as well; the doubt is only about those that mention Django.
        found = [path for path in found if b"django" in _bytes(path).lower()] or found
    if len(found) > 1:
        many = "Two" if len(found) == 2 else len(found)
        raise AmbiguousProject(
            f"{many} Django projects were found: {' and '.join(map(str, found))}.",
            candidates=[str(path) for path in found],
            hint=f"name the one that is meant: its folder or its manage.py, for example {found[0]}",
        )
    return (found[0], how) if found else None


def _below(folder: Path) -> list[Path]:
    found: list[Path] = []
    seen = {folder}
    level = [folder]
    for _ in range(DEPTH):
        following: list[Path] = []
        for child in (child for parent in level for child in _folders(parent)):
            place = real(child)
            if place in seen or len(seen) > MOST_FOLDERS:
                continue
            seen.add(place)
            if _has_one(child):
                found.append(_in(child))  # what lies below it is its own affair
            else:
                following.append(child)
        level = following
    return found


def _folders(parent: Path) -> Iterator[Path]:
    try:
        with os.scandir(parent) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir())
    except OSError:
        return  # a folder that may not be read holds no project of this user's
    for name in names:
        child = parent / name
        environment = is_file(child / "pyvenv.cfg") or is_dir(child / "conda-meta")
        if not name.startswith(".") and name not in _SKIPPED and not environment:
            yield child


def _ancestors(folder: Path) -> Iterator[Path]:
    last = home()
    for ancestor in folder.parents if folder != last else ():
        yield ancestor
        if ancestor == last:
            return


def _has_one(folder: Path) -> bool:
    return is_file(folder / "manage.py")


def _is_repository(folder: Path) -> bool:
    return exists(folder / ".git") or is_file(folder / "mig_kit.toml")


def _in(folder: Path) -> Path:
    return real(folder / "manage.py")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
