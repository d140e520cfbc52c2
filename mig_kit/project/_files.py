"""Questions to the file system that answer no, rather than raise, about what may not be looked at."""

# ruff: noqa: PTH100, PTH110, PTH111, PTH112, PTH113, PTH114, PTH116, PTH118, PTH208
# pathlib raises PermissionError for a file inside a folder closed to this user, and ValueError for an
# impossible name; os.path answers no. And pathlib cannot make a path absolute, free of "..", and keep its
# symlinks: a virtual environment's python is one, and to follow it would be to leave the environment.

from __future__ import annotations

import os
from pathlib import Path

__all__ = [
    "absolute",
    "exists",
    "home",
    "is_closed",
    "is_dir",
    "is_file",
    "is_link",
    "matching",
    "names_in",
    "real",
]


def absolute(path: str | os.PathLike[str]) -> Path:
    """Return the path made absolute, symlinks kept and ``~`` filled in."""
    return Path(os.path.abspath(os.path.expanduser(path)))


def exists(path: Path) -> bool:
    """Tell whether something is there, behind any symlinks."""
    return os.path.exists(path)


def home() -> Path:
    """Return the user's home folder, symlinks followed."""
    return real(Path(os.path.expanduser("~")))


def is_closed(folder: Path) -> bool:
    """Tell whether a folder is there that this user may not list or enter."""
    try:
        os.listdir(folder)
        os.stat(os.path.join(folder, "."))
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def is_dir(path: Path) -> bool:
    """Tell whether a folder is there."""
    return os.path.isdir(path)


def is_file(path: Path) -> bool:
    """Tell whether a file is there."""
    return os.path.isfile(path)


def is_link(path: Path) -> bool:
    """Tell whether a symlink is there, be it a broken one."""
    return os.path.islink(path)


def matching(folder: Path, pattern: str) -> list[Path]:
    """Return the sorted paths below a folder that fit a pattern; none when it may not be read."""
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []


def names_in(folder: Path) -> list[str]:
    """Return the sorted names in a folder; none when it may not be read."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def real(path: Path) -> Path:
    """Return the path with every symlink followed, as far as they lead."""
    return Path(os.path.realpath(path))
