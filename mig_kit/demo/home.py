"""A demo's folder: the marker that makes it one, and what is known about it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from mig_kit.errors import UsageError
from mig_kit.postgres import ConnectionInfo

__all__ = [
    "Demo",
    "Marker",
    "is_demo",
    "locked",
    "read_marker",
    "refuse_foreign",
    "remove_marker",
    "write_marker",
]

_FORMAT = 1


@dataclass(frozen=True)
class Demo:
    """Describe a demo whose server is running.

    ``root``: the folder named by the user, with ``.env`` in it. ``backend``: where manage.py is.
    ``database``: how the project connects, as a role that is no superuser. ``server_data``: the data folder.
    ``python``: the interpreter that its migrations were applied with. ``rows``: how many each table was
    filled with. ``created``: False when the demo was there already.
    """

    root: Path
    backend: Path
    database: ConnectionInfo
    server_data: Path
    python: Path
    rows: Mapping[str, int] = field(repr=False)
    created: bool = True

    @property
    def manage_py(self) -> Path:
        return self.backend / "manage.py"

    @property
    def env_file(self) -> Path:
        return self.root / ".env"

    @property
    def backups(self) -> Path:
        return self.root / ".tmp" / "backups"


@dataclass(frozen=True, slots=True)
class Marker:
    """State what ``.mig/demo.json`` says: no secrets.

    ``state`` is "creating" from before the first file until after the last, so that a demo that was
    interrupted is known for one.
    """

    state: Literal["creating", "ready"]
    python: str
    rows: dict[str, int] = field(default_factory=dict)
    format: int = _FORMAT


def is_demo(directory: Path) -> bool:
    """Tell whether a demo was made in the directory, finished or not."""
    return _marker_path(directory).is_file()


def read_marker(directory: Path) -> Marker | None:
    """Return the directory's marker, None where there is none; raise UsageError for one that is not ours."""
    path = _marker_path(directory)
    try:
        data = json.loads(path.read_text("utf-8"))
        marker = Marker(**data)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        marker = None
    if marker is None or marker.format != _FORMAT:
        raise UsageError(
            f"{path} was not written by this version of mig_kit.",
            hint="make the demo in another directory, or remove this one",
        )
    return marker


def write_marker(directory: Path, marker: Marker) -> None:
    """Write the marker; it is there whole or not at all."""
    path = _marker_path(directory)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name("demo.json.partial")
    partial.write_text(json.dumps(asdict(marker), indent=2) + "\n", "utf-8")
    partial.replace(path)


def remove_marker(directory: Path) -> None:
    """Remove the marker and what comes with it, where the directory holds nothing else.

    Backups, records or files of the user's in it keep the marker: without it the directory would be refused.
    """
    path = _marker_path(directory)
    ours = {path, path.with_name("demo.json.partial"), path.with_name("demo.lock")}
    if set(directory.iterdir()) == {path.parent} and set(path.parent.iterdir()) <= ours:
        for leftover in ours:
            leftover.unlink(missing_ok=True)
        path.parent.rmdir()


def refuse_foreign(directory: Path) -> None:
    """Raise UsageError unless the directory is missing, empty or a demo."""
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"{directory} is a file.", hint="name a directory that is empty or not there yet")
    if not directory.is_dir() or is_demo(directory):
        return
    # A run that was killed before it wrote the marker leaves these and nothing else.
    ours = {".mig", ".mig/demo.lock", ".mig/demo.json.partial"}
    for entry in [*directory.iterdir(), *(directory / ".mig").glob("*")]:
        if entry.relative_to(directory).as_posix() not in ours:
            raise UsageError(
                f"{directory} holds no demo and is not empty ({entry.name} is in it); nothing was changed.",
                hint="name a directory that is empty or not there yet",
            )


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keep others from making, opening or stopping the same demo meanwhile; they get UsageError."""
    path = directory / ".mig" / "demo.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"Another process is at work on the demo in {directory}.",
                hint="wait until it is done, then try again",
            ) from None
        yield
    finally:
        os.close(descriptor)


def _marker_path(directory: Path) -> Path:
    return directory / ".mig" / "demo.json"
