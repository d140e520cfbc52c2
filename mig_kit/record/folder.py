"""The folder that keeps one run: its journal, its executed notebook, its report."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..errors import RecordError
from .journal import Journal

__all__ = ["RunFolder", "hidden_folder"]

_HIDDEN = ".mig"
_SAFE = re.compile(r"[^\w.-]+")


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Name the files of one run, all in ``path``; only their owner may enter it (mode 0700)."""

    path: Path

    @classmethod
    def create(cls, root: Path, name: str) -> RunFolder:
        """Make a new folder ``<root>/.mig/runs/<UTC time>-<name>/`` that no other run has.

        ``name`` may hold anything: what is awkward in a file name becomes a hyphen. ``.mig`` is kept out of
        git. RecordError when ``root`` does not exist or the folder cannot be made.
        """
        if not root.is_dir():
            raise RecordError(f"There is no folder {str(root)!r} to keep the record in.", hint="name one that exists")
        runs = root / _HIDDEN / "runs"
        stem = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{_file_name(name)}"
        try:
            hidden_folder(root)
            runs.mkdir(mode=0o700, exist_ok=True)
            return cls(_unique(runs, stem))
        except OSError as error:
            raise RecordError(
                f"The run's folder below {str(runs)!r} could not be made: {error.strerror or error}.",
                hint="check the folder's permissions and the disk's free space",
            ) from error

    @classmethod
    def open(cls, path: Path | str) -> RunFolder:
        """Return the run that lives in ``path``; RecordError when there is none."""
        folder = cls(Path(path))
        if not folder.path.is_dir():
            raise RecordError(f"There is no run at {str(path)!r}.", hint="name a folder below .mig/runs")
        return folder

    @classmethod
    def existing(cls, root: Path) -> tuple[RunFolder, ...]:
        """Return the runs kept below ``root``, the oldest first."""
        return tuple(cls(path) for path in sorted((root / _HIDDEN / "runs").glob("*")) if path.is_dir())

    @property
    def name(self) -> str:
        """The folder's own name: when the run began, and what it was called."""
        return self.path.name

    @property
    def journal(self) -> Journal:
        """What happened, entry by entry."""
        return Journal(self.path / "journal.jsonl")

    @property
    def notebook_path(self) -> Path:
        """Where the executed notebook is kept."""
        return self.path / "notebook.ipynb"

    @property
    def report_path(self) -> Path:
        """Where the HTML report is kept."""
        return self.path / "report.html"


def hidden_folder(root: Path) -> Path:
    """Return ``<root>/.mig``, made where it is missing: private to the user, and kept out of git; OSError."""
    folder = root / _HIDDEN
    folder.mkdir(mode=0o700, exist_ok=True)
    _ignore(folder)
    return folder


def _file_name(name: str) -> str:
    # 120 bytes leave room for the time before it in every file system's 255.
    short = _SAFE.sub("-", name).strip("-.").encode("utf-8", "ignore")[:120].decode("utf-8", "ignore")
    return short or "run"


def _unique(runs: Path, stem: str) -> Path:
    number = 1
    while True:
        path = runs / (stem if number == 1 else f"{stem}-{number}")
        try:
            path.mkdir(mode=0o700)
            return path
        except FileExistsError:
            number += 1


def _ignore(folder: Path) -> None:
    path = folder / ".gitignore"
    if not path.exists():
        path.write_text("*\n", encoding="utf-8")
