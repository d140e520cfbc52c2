"""The files of a safer migration: where they lie before they are the project's, and how they come to be."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mig_kit import errors

__all__ = ["Replacement", "digest", "private_folder"]


def private_folder(root: Path, name: str) -> Path:
    """Return an empty folder below ``.mig/safer`` in the project, for its owner only; what was there is removed."""
    folder = root / ".mig" / "safer" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    folder.chmod(0o700)
    return folder


def digest(path: Path) -> str:
    """Return a file's SHA-256, '' where there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


@dataclass(frozen=True, slots=True)
class Replacement:
    """Files that take the place of one file; the last of them has its name. ``sha256``: of the file as it was."""

    path: Path
    sha256: str
    files: Mapping[str, str]

    def put(self) -> tuple[Path, ...]:
        """Write every file beside its place and flush it, then put all in; whatever fails, nothing is left of it.

        The original is replaced last, and in one step.
        """
        if digest(self.path) != self.sha256:
            raise errors.GateClosed(
                f"{self.path} was changed since its files were rehearsed.", gate="unchanged", hint="run the step again"
            )
        paths = [self.path.with_name(f"{name}.py") for name in self.files]
        taken = [path for path in paths[:-1] if path.exists()]
        if taken:
            raise errors.WriteError(f"{taken[0]} is already there.", hint="move it away, then run the step again")
        made: list[Path] = []
        try:
            for path, source in zip(paths, self.files.values(), strict=True):
                beside = path.with_name(f".{path.name}.tmp")
                made.append(beside)
                with beside.open("x", encoding="utf-8") as out:
                    out.write(source)
                    out.flush()
                    os.fsync(out.fileno())
            shutil.copymode(self.path, made[-1])
            for n, path in enumerate(paths[:-1]):
                made[n] = made[n].rename(path)
            made[-1].replace(self.path)
        except BaseException as exc:
            for path in made:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
            if isinstance(exc, OSError):
                raise errors.WriteError(
                    f"The migration files could not be written: {exc.filename or self.path}: {exc.strerror}.",
                    hint="make the folder writable or free the disk, then run the step again; nothing was left behind",
                ) from exc
            raise
        return tuple(paths)
